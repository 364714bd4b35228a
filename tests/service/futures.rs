//! Every public future is `Send`, so that it can be spawned, and handles are what they promise. It holds when it
//! compiles; nothing of it runs. What is new in the crate belongs into these lists.

use std::time::Duration;

use hubwire::service::check::CheckReport;
use hubwire::service::credentials::{ClientSecret, Credential};
use hubwire::service::hub::{Commands, ConnectionPages, GroupConnections};
use hubwire::service::{HubClient, NegotiateOptions, NegotiateService, ServiceClient, ServiceEndpoint};

fn is_send<T: Send>(_: T) {}

macro_rules! futures {
    ($(|$($value:ident: $Type:ty),+| { $($future:expr;)+ })+) => {
        $(const _: fn($($Type),+) = |$($value),+| { $(is_send($future);)+ };)+
    };
}

macro_rules! promises {
    ($($bound:path: { $($Type:ty),+ $(,)? })+) => {
        $(
            const _: fn() = || {
                fn holds<T: $bound>() {}
                $(holds::<$Type>();)+
            };
        )+
    };
}

futures! {
    |service: ServiceClient| {
        service.is_healthy();
        service.refresh_access_key();
        service.check();
    }
    |hub: HubClient| {
        hub.negotiate(NegotiateOptions::for_user("alice"));
        hub.refresh_authentication("token", NegotiateOptions::for_user("alice"));
        hub.connection_claims("token");
        hub.execute("filter", Commands::default());
        hub.all().send("M", (1, "text"));
        hub.all().excluding(["id"]).close_connections(Some("reason"));
        hub.user("alice").send("M", (1, "text"));
        hub.user("alice").exists();
        hub.user("alice").close_connections(Some("reason"));
        hub.user("alice").excluding(["id"]).close_connections(Some("reason"));
        hub.user("alice").remove_from_all_groups();
        hub.users(["alice"]).send("M", (1, "text"));
        hub.group("g").send("M", (1, "text"));
        hub.group("g").exists();
        hub.group("g").close_connections(Some("reason"));
        hub.group("g").add_connection("id");
        hub.group("g").remove_connection("id");
        hub.group("g").add_user("alice");
        hub.group("g").add_user_for("alice", Duration::from_secs(1));
        hub.group("g").remove_user("alice");
        hub.group("g").contains_user("alice");
        hub.groups(["g"]).send("M", (1, "text"));
        hub.connection("id").send("M", (1, "text"));
        hub.connection("id").invoke::<String>("M", (1, "text"));
        hub.connection("id").exists();
        hub.connection("id").close(Some("reason"));
        hub.connection("id").remove_from_all_groups();
        hub.connection("id").stream("s").send(&1);
        hub.connection("id").stream("s").send_last(&1);
        hub.connection("id").stream("s").complete(Some("reason"));
        hub.connections(["id"]).send("M", (1, "text"));
    }
}

promises! {
    Clone: { ServiceClient, HubClient, ServiceEndpoint, Credential, ClientSecret, NegotiateOptions }
    Send: { GroupConnections, ConnectionPages }
    Send: { ServiceClient, HubClient, ServiceEndpoint, Credential, NegotiateService, CheckReport }
    Sync: { ServiceClient, HubClient, ServiceEndpoint, Credential, NegotiateService, CheckReport }
}

#[cfg(feature = "client")]
mod client {
    use hubwire::{
        CallError, ConnectionError, ConnectionEvents, HubConnection, HubConnectionBuilder, HubStream,
        RetryPolicy, Subscription, Upload, WeakHubConnection,
    };

    use super::{Duration, is_send};

    futures! {
        |builder: HubConnectionBuilder| { builder.connect(); }
        |hub: HubConnection| {
            hub.start();
            hub.stop();
            hub.invoke::<String>("M", (1, "text"));
            hub.with_call_timeout(Duration::from_secs(1)).invoke::<()>("M", ());
            hub.send("M", (1, Upload::new(futures_util::stream::iter([1]))));
            hub.stream::<String>("M", [1, 2]);
            hub.refresh_authentication();
            hub.closed();
        }
        |stream: &mut HubStream<String>| { stream.next(); }
        |events: &mut ConnectionEvents| { events.next(); }
    }

    promises! {
        Clone: { HubConnection, WeakHubConnection, HubConnectionBuilder, Subscription, RetryPolicy, ConnectionError }
        Send: { HubConnection, WeakHubConnection, HubConnectionBuilder, Subscription, RetryPolicy, CallError, Upload<u8> }
        Sync: { HubConnection, WeakHubConnection, HubConnectionBuilder, Subscription, RetryPolicy, CallError }
    }
}

#[cfg(feature = "local")]
mod local {
    use hubwire::local::{LocalService, LocalServiceBuilder};

    use super::is_send;

    futures! {
        |builder: LocalServiceBuilder| { builder.start(); }
        |local: LocalService| { local.stop(); }
    }

    promises! {
        Send: { LocalService, LocalServiceBuilder }
        Sync: { LocalService, LocalServiceBuilder }
    }
}
