//! The example of an Azure Functions app, against the local service.
#![cfg(all(feature = "axum", feature = "local", feature = "client"))]

#[path = "../../examples/functions.rs"]
mod example;

use std::time::Duration;

use futures_channel::mpsc;
use futures_util::StreamExt;
use hubwire::{
    CallError, HubConnection,
    local::{EntraApplication, LocalService, Role},
    service::configuration::Configuration,
};
use tokio::net::TcpListener;

/// Where the app listens, before there is one.
async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

fn run(listener: TcpListener, configuration: &Configuration) {
    let app = example::app(configuration, None).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
}

/// A client, and what it receives.
async fn client(url: &str, name: &str) -> (HubConnection, mpsc::UnboundedReceiver<(String, String)>) {
    let (sender, received) = mpsc::unbounded();
    let connection = HubConnection::builder(format!("{url}/chat"))
        .with_header("x-ms-client-principal-name", name)
        .on("ReceiveMessage", move |user: String, text: String| {
            let _ = sender.unbounded_send((user, text));
        })
        .connect()
        .await
        .unwrap();
    (connection, received)
}

async fn next(received: &mut mpsc::UnboundedReceiver<(String, String)>) -> (String, String) {
    tokio::time::timeout(Duration::from_secs(10), received.next()).await.expect("a message comes").unwrap()
}

#[tokio::test]
async fn clients_of_the_functions_app_talk_to_each_other() {
    let (listener, url) = listen().await;
    let local = LocalService::builder().upstream(format!("{url}/upstream")).start().await.unwrap();
    let settings = [("AzureSignalRConnectionString", local.connection_string())];
    run(listener, &Configuration::new().variables(settings));

    let (alice, mut alices) = client(&url, "alice").await;
    let (_bob, mut bobs) = client(&url, "bob").await;
    alice.invoke::<()>("Say", ("hello",)).await.unwrap();
    let said = ("alice".to_owned(), "hello".to_owned());
    assert_eq!((next(&mut alices).await, next(&mut bobs).await), (said.clone(), said));
    let error = alice.invoke::<()>("Say", (7,)).await.unwrap_err();
    assert!(matches!(&error, CallError::Server(_)), "{error:?}");

    let stranger = HubConnection::builder(format!("{url}/chat")).connect().await;
    assert!(stranger.is_err(), "nobody has signed in");
}

/// With an identity there is no key that signs, so without a validator no upstream request is let in.
#[tokio::test]
async fn the_functions_app_takes_an_identity_of_its_settings() {
    let (listener, url) = listen().await;
    let application = EntraApplication::new("tenantId", "clientId", "clientSecret").role(Role::ServiceOwner);
    let local = LocalService::builder().application(application).upstream(format!("{url}/upstream"));
    let local = local.start().await.unwrap();
    let settings = [
        ("AzureSignalRConnectionString__serviceUri", local.endpoint()),
        ("AzureSignalRConnectionString__clientId", "clientId"),
        ("AzureSignalRConnectionString__clientSecret", "clientSecret"),
        ("AzureSignalRConnectionString__tenantId", "tenantId"),
        ("AZURE_AUTHORITY_HOST", local.authority()),
    ];
    run(listener, &Configuration::new().variables(settings));

    let (alice, _alices) = client(&url, "alice").await;
    let error = alice.invoke::<()>("Say", ("hello",)).await.unwrap_err();
    assert!(error.to_string().contains("401"), "{error}");
}

mod bindings {
    //! What the Functions host sends and takes, with its own spelling.

    use hubwire::service::{
        ServiceError,
        event_grid::{EventGridMessage, SignalREventType},
        functions::{FunctionError, FunctionRequest, FunctionResponse, SignalROutput},
    };
    use serde_json::{Value, json};

    fn trigger() -> Value {
        json!({
            "Arguments": ["hello", 7], "Error": null, "Category": "messages", "Event": "Say", "Hub": "chat",
            "ConnectionId": "c1", "UserId": "alice", "Headers": { "X-ASRS-Hub": "chat" },
            "Query": { "a": ["1", "2"], "b": null }, "Claims": null,
        })
    }

    /// An object is written as it is, a text as JSON in a text, and one that the host binds as a text twice so.
    #[test]
    fn a_trigger_is_read_however_the_host_writes_it() {
        let text = trigger().to_string();
        for invocation in [trigger(), Value::from(text.clone()), Value::from(Value::from(text).to_string())] {
            let body = json!({
                "Data": { "invocation": invocation },
                "Metadata": { "text": "\"hello\"", "count": "7", "item": { "a": 1 }, "sys": { "MethodName": "Say" } },
            });
            let request = FunctionRequest::parse(body.to_string().as_bytes()).unwrap();
            let call = request.signalr_trigger("invocation").unwrap();
            assert_eq!((&*call.hub, &*call.category, &*call.event), ("chat", "messages", "Say"));
            assert_eq!(
                (&*call.connection_id, call.user_id.as_deref(), &call.error),
                ("c1", Some("alice"), &None)
            );
            assert_eq!(call.arguments::<(String, u8)>().unwrap(), ("hello".to_owned(), 7));
            assert!(matches!(call.arguments::<(String,)>(), Err(FunctionError::Type { .. })));
            assert_eq!(
                (&*call.headers["X-ASRS-Hub"], &*call.query["a"], call.query["b"].len()),
                (&["chat".to_owned()][..], &["1".to_owned(), "2".to_owned()][..], 0)
            );
            assert!(call.claims.is_empty());
            assert_eq!(request.parameter::<String>("text").unwrap(), "hello");
            assert_eq!(request.parameter::<u8>("Count").unwrap(), 7);
            assert_eq!(request.parameter::<Value>("item").unwrap(), json!({ "a": 1 }));
            assert!(matches!(request.parameter::<u8>("text"), Err(FunctionError::Type { .. })));
            assert!(matches!(request.signalr_trigger("other"), Err(FunctionError::Missing { .. })));
        }
        assert!(matches!(FunctionRequest::parse(b"[]x"), Err(FunctionError::Request(_))));
    }

    #[test]
    fn outputs_are_what_the_binding_takes() {
        let outputs = [
            SignalROutput::send("m", ("x", 1)).unwrap().to_all(),
            SignalROutput::send("m", ()).unwrap().to_user("u").unwrap(),
            SignalROutput::send("m", ()).unwrap().to_group("g").unwrap(),
            SignalROutput::send("m", ()).unwrap().to_connection("c").unwrap(),
            SignalROutput::add_user_to_group("u", "g").unwrap(),
            SignalROutput::remove_user_from_group("u", "g").unwrap(),
            SignalROutput::remove_user_from_all_groups("u").unwrap(),
            SignalROutput::add_connection_to_group("c", "g").unwrap(),
            SignalROutput::remove_connection_from_group("c", "g").unwrap(),
        ];
        let response = FunctionResponse::new().output("messages", &outputs).unwrap();
        let response = response.log("done").return_value(&(1, "x")).unwrap();
        let expected = json!({
            "Outputs": { "messages": [
                { "target": "m", "arguments": ["x", 1] },
                { "target": "m", "arguments": [], "userId": "u" },
                { "target": "m", "arguments": [], "groupName": "g" },
                { "target": "m", "arguments": [], "connectionId": "c" },
                { "action": "add", "userId": "u", "groupName": "g" },
                { "action": "remove", "userId": "u", "groupName": "g" },
                { "action": "removeAll", "userId": "u" },
                { "action": "add", "connectionId": "c", "groupName": "g" },
                { "action": "remove", "connectionId": "c", "groupName": "g" },
            ] },
            "Logs": ["done"],
            "ReturnValue": [1, "x"],
        });
        assert_eq!(serde_json::to_value(&response).unwrap(), expected);
        assert_eq!(serde_json::to_value(FunctionResponse::new()).unwrap(), json!({ "Outputs": {} }));
    }

    /// The extension takes an empty receiver for none, and sends what has none to everybody.
    #[test]
    fn an_empty_receiver_is_not_everybody() {
        let message = || SignalROutput::send("m", ("private",)).unwrap();
        for (what, output) in [
            ("user", message().to_user("")),
            ("user", message().to_user(" ")),
            ("group", message().to_group("")),
            // A step in the path of the REST API: the hub's own, which is everybody again.
            ("group", message().to_group("..")),
            ("connection", message().to_connection("")),
            ("user", SignalROutput::add_user_to_group("", "g")),
            ("group", SignalROutput::add_user_to_group("u", "")),
            ("user", SignalROutput::remove_user_from_group("", "g")),
            ("group", SignalROutput::remove_user_from_group("u", "")),
            ("user", SignalROutput::remove_user_from_all_groups("")),
            ("connection", SignalROutput::add_connection_to_group("", "g")),
            ("group", SignalROutput::add_connection_to_group("c", "")),
            ("connection", SignalROutput::remove_connection_from_group("", "g")),
            ("group", SignalROutput::remove_connection_from_group("c", "")),
        ] {
            let error = output.expect_err(what);
            assert!(
                matches!(error, ServiceError::InvalidName { what: named, .. } if named == what),
                "{error:?}"
            );
        }
    }

    #[test]
    fn events_of_event_grid_are_read_in_both_schemas() {
        let data = json!({
            "timestamp": "2019-06-10T18:41:00.9584103Z", "hubName": "chat", "connectionId": "c1", "userId": "alice",
            "errorMessage": "Internal server error.",
        });
        let (topic, time) =
            ("/subscriptions/s/providers/Microsoft.SignalRService/SignalR/r", "2019-06-10T18:41:00Z");
        let kind = "Microsoft.SignalRService.ClientConnectionDisconnected";
        let own = json!([
            { "topic": topic, "subject": "/hub/chat", "eventType": kind, "eventTime": time, "id": "1", "data": data,
              "dataVersion": "1.0", "metadataVersion": "1" },
            { "eventType": "Microsoft.EventGrid.SubscriptionValidationEvent", "id": "2", "topic": topic, "subject": "",
              "data": { "validationCode": "512d38b6" } },
            { "eventType": "Other", "id": "3" },
        ]);
        let cloud = json!({
            "source": topic, "subject": "/hub/chat", "type": kind, "time": time, "id": "1", "data": data,
            "specversion": "1.0",
        });
        let read = |body: &Value| EventGridMessage::parse(body.to_string().as_bytes()).unwrap();
        let [
            EventGridMessage::SignalR(event),
            EventGridMessage::Validation { code },
            EventGridMessage::Other(_),
        ] = &read(&own)[..]
        else {
            panic!("{:?}", read(&own))
        };
        assert_eq!(read(&cloud), [EventGridMessage::SignalR(event.clone())]);
        assert_eq!(
            (event.kind, &*event.source, &*event.time),
            (SignalREventType::ClientConnectionDisconnected, topic, time)
        );
        assert_eq!((event.data.user_id.as_deref(), &*code.to_owned()), (Some("alice"), "512d38b6"));
        assert_eq!(event.data.error_message.as_deref(), Some("Internal server error."));
        let written = serde_json::to_value(event).unwrap();
        assert_eq!(read(&written), [EventGridMessage::SignalR(event.clone())]);

        let mut anonymous = cloud.clone();
        anonymous["type"] = "Microsoft.SignalRService.ClientConnectionConnected".into();
        anonymous["data"] = json!({ "timestamp": time, "hubName": "chat", "connectionId": "c1" });
        let [EventGridMessage::SignalR(event)] = &read(&anonymous)[..] else { panic!("an event") };
        assert_eq!((event.kind, &event.data.user_id), (SignalREventType::ClientConnectionConnected, &None));
        anonymous["data"] = json!({});
        assert!(EventGridMessage::parse(anonymous.to_string().as_bytes()).is_err());
    }
}
