//! Which of several endpoints a client is sent to, and which ones a request goes to.

use std::{fmt, sync::Arc};

use crate::service::{
    endpoints::{connected::ConnectedEndpoint, endpoint::EndpointRole},
    negotiate::options::NegotiateOptions,
    random,
    rest::scope::Scope,
};

/// One of a client's endpoints, as an [`EndpointRouter`] and [`ServiceClient::endpoints`] see it.
///
/// [`ServiceClient::endpoints`]: crate::service::ServiceClient::endpoints
#[derive(Clone)]
pub struct EndpointStatus(pub(in crate::service) Arc<ConnectedEndpoint>);

impl EndpointStatus {
    /// Its name, empty unless one was given.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.endpoint.name()
    }

    /// Its address: scheme, host and port.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.endpoint.endpoint()
    }

    /// Whether clients are sent there, or only while no primary one is online.
    #[must_use]
    pub fn role(&self) -> EndpointRole {
        self.0.endpoint.role()
    }

    /// Its share of new clients among the endpoints of its role.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.0.endpoint.weight()
    }

    /// Whether it was healthy at the last check and nothing has failed there since, so that clients may be sent there.
    /// The only endpoint of a client always counts as online.
    #[must_use]
    pub fn is_online(&self) -> bool {
        self.0.health.is_trusted()
    }
}

impl fmt::Debug for EndpointStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointStatus")
            .field("name", &self.name())
            .field("endpoint", &self.endpoint())
            .field("role", &self.role())
            .field("weight", &self.weight())
            .field("online", &self.is_online())
            .finish()
    }
}

/// Chooses among several endpoints. Every method has the behaviour of [`DefaultRouter`] unless it is overridden.
///
/// ```
/// use hubwire::service::{NegotiateOptions, endpoints::{EndpointRouter, EndpointStatus, choose_endpoint}};
///
/// /// Sends the users of a region to the endpoint of that name, and all others anywhere.
/// struct ByRegion;
///
/// impl EndpointRouter for ByRegion {
///     fn negotiate_endpoint(
///         &self,
///         client: &NegotiateOptions,
///         endpoints: &[EndpointStatus],
///     ) -> Option<EndpointStatus> {
///         let region = client.user_id().and_then(|user| user.split_once('@')).map(|(_, region)| region);
///         let near = endpoints.iter().find(|e| e.is_online() && Some(e.name()) == region);
///         near.cloned().or_else(|| choose_endpoint(endpoints))
///     }
/// }
/// ```
pub trait EndpointRouter: Send + Sync {
    /// The endpoint that a client is sent to. `endpoints` are those that have not failed for this client yet, online
    /// or not. `None` lets the negotiation fail.
    fn negotiate_endpoint(
        &self,
        client: &NegotiateOptions,
        endpoints: &[EndpointStatus],
    ) -> Option<EndpointStatus> {
        let _ = client;
        choose_endpoint(endpoints)
    }

    /// The endpoints that get requests about every connection of a hub. Those that are offline are left out
    /// afterwards, here and in the other methods; so do not leave one out because it
    /// [is not online](EndpointStatus::is_online): it may be in doubt only, and then has clients.
    fn endpoints_for_broadcast(&self, endpoints: &[EndpointStatus]) -> Vec<EndpointStatus> {
        endpoints.to_vec()
    }

    /// The endpoints that get requests about a user.
    fn endpoints_for_user(&self, user_id: &str, endpoints: &[EndpointStatus]) -> Vec<EndpointStatus> {
        let _ = user_id;
        endpoints.to_vec()
    }

    /// The endpoints that get requests about a group. Requests about a user's membership in a group go to those that
    /// are chosen for both.
    fn endpoints_for_group(&self, group: &str, endpoints: &[EndpointStatus]) -> Vec<EndpointStatus> {
        let _ = group;
        endpoints.to_vec()
    }

    /// The endpoints that get requests about a connection, its membership in a group included.
    fn endpoints_for_connection(
        &self,
        connection_id: &str,
        endpoints: &[EndpointStatus],
    ) -> Vec<EndpointStatus> {
        let _ = connection_id;
        endpoints.to_vec()
    }
}

/// Sends clients to the primary endpoints that are online, by weight; to the secondary ones when no primary one is.
/// Messages go to every endpoint that is online.
#[derive(Debug, Clone, Copy, Default)]
pub struct DefaultRouter;

impl EndpointRouter for DefaultRouter {}

/// What [`DefaultRouter`] does: at random by weight among the primary endpoints that are online, else among the
/// secondary ones.
#[must_use]
pub fn choose_endpoint(endpoints: &[EndpointStatus]) -> Option<EndpointStatus> {
    let online = |role| -> Vec<&EndpointStatus> {
        endpoints.iter().filter(|e| e.role() == role && e.is_online()).collect()
    };
    let mut candidates = online(EndpointRole::Primary);
    if candidates.is_empty() {
        candidates = online(EndpointRole::Secondary);
    }
    let even = candidates.iter().all(|e| e.weight() == 0);
    let weight = |e: &EndpointStatus| if even { 1 } else { u64::from(e.weight()) };
    let total: u64 = candidates.iter().map(|e| weight(e)).sum();
    let mut at = random::number().checked_rem(total)?;
    for candidate in candidates {
        match at.checked_sub(weight(candidate)) {
            Some(rest) => at = rest,
            None => return Some(candidate.clone()),
        }
    }
    None
}

/// The endpoints that a request goes to.
pub(in crate::service) fn route(
    router: &dyn EndpointRouter,
    scope: &Scope,
    endpoints: &[EndpointStatus],
) -> Vec<EndpointStatus> {
    match scope {
        Scope::Hub => router.endpoints_for_broadcast(endpoints),
        Scope::User(user) => router.endpoints_for_user(user.as_str(), endpoints),
        Scope::Group(group) => router.endpoints_for_group(group.as_str(), endpoints),
        Scope::Connection(connection) | Scope::ConnectionInGroup { connection, .. } => {
            router.endpoints_for_connection(connection.as_str(), endpoints)
        }
        Scope::UserInGroup { user, group } => {
            let of_user = router.endpoints_for_user(user.as_str(), endpoints);
            let of_group = router.endpoints_for_group(group.as_str(), endpoints);
            of_user.into_iter().filter(|e| of_group.iter().any(|g| Arc::ptr_eq(&g.0, &e.0))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, sync::Mutex};

    use super::*;
    use crate::service::{
        credentials::access_key::AccessKey,
        endpoints::{connected::Setup, endpoint::ServiceEndpoint},
        error::ServiceError,
        rest::scope::Name,
    };

    fn endpoints(described: &[(&str, EndpointRole, u32)]) -> Vec<EndpointStatus> {
        let status = |&(name, role, weight): &(&str, EndpointRole, u32)| {
            let endpoint = ServiceEndpoint::new(&format!("https://{name}"), AccessKey::new("k"));
            let endpoint = endpoint.unwrap_or_else(|error| panic!("{error}"));
            let endpoint = endpoint.named(name).in_role(role).weighted(weight);
            let connected = ConnectedEndpoint::new(endpoint, &Setup::default());
            let connected = connected.unwrap_or_else(|error| panic!("{error}"));
            connected.health.set_watched(true);
            EndpointStatus(connected)
        };
        described.iter().map(status).collect()
    }

    fn shares(endpoints: &[EndpointStatus]) -> HashMap<String, usize> {
        let mut shares = HashMap::new();
        for _ in 0..10_000 {
            let name = choose_endpoint(endpoints).map(|e| e.name().to_owned()).unwrap_or_default();
            *shares.entry(name).or_default() += 1;
        }
        shares
    }

    #[test]
    fn clients_are_shared_out_by_weight_among_primary_endpoints_that_are_online() {
        use EndpointRole::{Primary, Secondary};
        let all = endpoints(&[("a", Primary, 3), ("b", Primary, 1), ("c", Secondary, 9), ("d", Primary, 0)]);
        let found = shares(&all);
        assert!((7_000..8_000).contains(&found["a"]) && (2_000..3_000).contains(&found["b"]), "{found:?}");
        assert_eq!(found.len(), 2);

        let offline = |e: &EndpointStatus| {
            e.0.health.note(Err(ServiceError::InvalidLifetime));
        };
        offline(&all[0]);
        assert_eq!(shares(&all).into_keys().collect::<Vec<_>>(), ["b"]);
        offline(&all[1]);
        assert_eq!(
            shares(&all).into_keys().collect::<Vec<_>>(),
            ["d"],
            "the last one, in spite of its weight"
        );
        offline(&all[3]);
        assert_eq!(shares(&all).into_keys().collect::<Vec<_>>(), ["c"]);
        offline(&all[2]);
        assert!(choose_endpoint(&all).is_none());
        assert!(choose_endpoint(&[]).is_none());
    }

    #[test]
    fn a_request_goes_to_the_endpoints_of_what_it_addresses() {
        #[derive(Default)]
        struct Asked(Mutex<Vec<String>>);
        impl Asked {
            fn note(&self, what: String, endpoints: &[EndpointStatus]) -> Vec<EndpointStatus> {
                self.0.lock().unwrap_or_else(|e| e.into_inner()).push(what);
                endpoints.to_vec()
            }
        }
        impl EndpointRouter for Asked {
            fn endpoints_for_broadcast(&self, all: &[EndpointStatus]) -> Vec<EndpointStatus> {
                self.note("all".to_owned(), all)
            }
            fn endpoints_for_user(&self, id: &str, all: &[EndpointStatus]) -> Vec<EndpointStatus> {
                self.note(format!("user {id}"), &all[..2])
            }
            fn endpoints_for_group(&self, group: &str, all: &[EndpointStatus]) -> Vec<EndpointStatus> {
                self.note(format!("group {group}"), &all[1..])
            }
            fn endpoints_for_connection(&self, id: &str, all: &[EndpointStatus]) -> Vec<EndpointStatus> {
                self.note(format!("connection {id}"), all)
            }
        }
        let primary = EndpointRole::Primary;
        let all = endpoints(&[("a", primary, 1), ("b", primary, 1), ("c", primary, 1)]);
        let name = |text: &str| Name::new("test", text).unwrap_or_else(|error| panic!("{error}"));
        let (user, group, connection) = (name("a/b ä"), name("g"), name("c"));
        for (scope, asked, chosen) in [
            (Scope::Hub, &["all"][..], 3),
            (Scope::User(user.clone()), &["user a/b ä"], 2),
            (Scope::UserInGroup { user, group: group.clone() }, &["user a/b ä", "group g"], 1),
            (Scope::Group(group.clone()), &["group g"], 2),
            (Scope::Group(name("users")), &["group users"], 2),
            (Scope::ConnectionInGroup { group, connection: connection.clone() }, &["connection c"], 3),
            (Scope::Connection(connection), &["connection c"], 3),
        ] {
            let router = Asked::default();
            assert_eq!(route(&router, &scope, &all).len(), chosen, "{scope:?}");
            assert_eq!(router.0.into_inner().unwrap_or_default(), asked, "{scope:?}");
        }
    }
}
