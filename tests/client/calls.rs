//! Calls in situations that no server gets into when asked: each test plays the server itself.

#[path = "calls/back_pressure.rs"]
mod back_pressure;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, poll, stream};
use hubwire::{CallError, ConnectionError, Upload};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc, oneshot};

/// A connection nobody sets up specially.
async fn plain() -> (hubwire::HubConnection, crate::peer::Hear, crate::peer::Speak) {
    crate::peer::connect(|builder| builder).await
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("nothing hangs")
}

/// `signalr-client` panics at a completion without a result, and the call waits for ever; `signalrs-client` calls it
/// an error.
#[tokio::test]
async fn completions_without_a_result_are_results() {
    let (hub, mut hear, mut speak) = plain().await;
    let server = async {
        for completion in ["", r#","result":null"#, r#","error":"""#, r#","result":null,"error":null"#] {
            let id = hear.next().await["invocationId"].clone();
            speak.say(&[&format!(r#"{{"type":3,"invocationId":{id}{completion}}}"#)]).await;
        }
    };
    let client = async {
        hub.invoke::<()>("Void", ()).await.unwrap();
        assert_eq!(hub.invoke::<Option<String>>("Null", ()).await.unwrap(), None);
        hub.invoke::<()>("NoError", ()).await.unwrap();
        assert_eq!(hub.invoke::<Value>("Both", ()).await.unwrap(), Value::Null);
    };
    soon(futures_util::future::join(server, client)).await;
}

/// tokio runs next what was woken last: a driver that the first caller wakes would write the call of that one alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn callers_that_go_on_together_write_one_frame() {
    const CALLERS: usize = 8;
    let (hub, mut hear, mut speak) = plain().await;
    let call_twice = |_| {
        let hub = hub.clone();
        tokio::spawn(async move {
            for _ in 0..2 {
                hub.invoke::<()>("Again", ()).await.unwrap();
            }
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(call_twice).collect();
    for is_second in [false, true] {
        let mut ends = Vec::new();
        for _ in 0..CALLERS {
            let id = soon(hear.next()).await["invocationId"].clone();
            ends.push(format!(r#"{{"type":3,"invocationId":{id}}}"#));
            if is_second {
                assert_eq!(hear.more_in_frame(), CALLERS - ends.len());
            }
        }
        let ends: Vec<_> = ends.iter().map(String::as_str).collect();
        speak.say(&ends).await;
    }
    for caller in callers {
        soon(caller).await.unwrap();
    }
}

/// `signalr-client` only logs that the server closes, and pending calls wait for ever.
#[tokio::test]
async fn a_close_message_ends_pending_calls_and_streams() {
    let (hub, mut hear, mut speak) = plain().await;
    let server = async {
        assert_eq!(hear.next().await["type"], 1);
        assert_eq!(hear.next().await["type"], 4);
        // In one frame, and what follows the end counts no more.
        let item = r#"{"type":2,"invocationId":"1","item":7}"#;
        speak.say(&[item, r#"{"type":7,"error":"enough"}"#, item]).await;
    };
    let client = async {
        let call = hub.invoke::<()>("Never", ());
        let stream = async {
            let mut stream = hub.stream::<i32>("Numbers", ()).await.unwrap();
            assert_eq!(stream.next().await.unwrap().unwrap(), 7);
            let last = stream.next().await.unwrap();
            assert!(stream.next().await.is_none());
            last.map(|_| ())
        };
        let (call, stream) = futures_util::join!(call, stream);
        for end in [call, stream] {
            let Err(CallError::Connection(ConnectionError::ServerClosed { error, .. })) = end else {
                panic!("{end:?}")
            };
            assert_eq!(error.as_deref(), Some("enough"));
        }
    };
    soon(futures_util::future::join(server, client)).await;
}

/// `signalr-client` drops what follows the handshake in the same frame, and `signalrs-client` fails to connect.
#[tokio::test]
async fn a_message_right_behind_the_handshake_reaches_its_first_handler() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    let builder = hubwire::HubConnection::builder(url).with_skip_negotiation(true);
    let welcome = r#"{"type":1,"target":"Welcome","arguments":["hello"]}"#;
    let greeting = ["{}", welcome];
    let accept = crate::peer::accept(&listener, &greeting);
    let (hub, _server) = soon(futures_util::future::join(builder.connect(), accept)).await;
    let hub = hub.unwrap();
    let (tell, mut told) = mpsc::unbounded_channel();
    hub.on("Welcome", move |text: String| tell.send(text).unwrap());
    assert_eq!(soon(told.recv()).await.as_deref(), Some("hello"));
}

/// The official JavaScript client sends `{"observers":[]}` for the second of two streams. Also: no argument is left
/// for a stream, and ids, items and ends are those of the protocol.
#[tokio::test]
async fn two_uploads_on_the_wire() {
    let (hub, mut hear, mut speak) = plain().await;
    let arguments = (1, Upload::new(stream::iter(["a"])), Upload::new(stream::iter([2])), "end");
    let server = async {
        let call = hear.next().await;
        assert_eq!(
            call,
            json!({"type":1,"invocationId":"0","target":"Two","arguments":[1,"end"],"streamIds":["1","2"]})
        );
        let mut of: [Vec<Value>; 2] = Default::default();
        for _ in 0..4 {
            let message = hear.next().await;
            of[usize::from(message["invocationId"] == "2")].push(message);
        }
        for (id, item, got) in [("1", json!("a"), &of[0]), ("2", json!(2), &of[1])] {
            let item = json!({"type":2,"invocationId":id,"item":item});
            assert_eq!(*got, [item, json!({"type":3,"invocationId":id})]);
        }
        speak.say(&[r#"{"type":3,"invocationId":"0","result":true}"#]).await;
    };
    let (result, ()) = soon(futures_util::future::join(hub.invoke::<bool>("Two", arguments), server)).await;
    assert!(result.unwrap());
    // The numbers are not used again.
    let mut next = Box::pin(hub.invoke::<()>("Next", ()));
    assert!(poll!(&mut next).is_pending());
    assert_eq!(soon(hear.next()).await["invocationId"], "3");
}

/// A call that is dropped, and its upload: the server hears of both, once, and before anything else.
#[tokio::test]
async fn dropping_a_call_cancels_it_and_its_uploads() {
    let (hub, mut hear, mut speak) = plain().await;
    let upload = Upload::new(stream::iter([1]).chain(stream::pending()));
    let mut call = Box::pin(hub.invoke::<()>("Take", (upload,)));
    assert!(poll!(&mut call).is_pending());
    assert_eq!(hear.next().await["streamIds"], json!(["1"]));
    assert_eq!(hear.next().await, json!({"type":2,"invocationId":"1","item":1}));
    drop(call);
    assert_eq!(hear.next().await, json!({"type":5,"invocationId":"0"}));
    let end = json!({"type":3,"invocationId":"1","error":"Stream canceled by client."});
    assert_eq!(hear.next().await, end);
    // An answer that comes all the same ends nobody else's call.
    speak.say(&[r#"{"type":3,"invocationId":"0","result":"late"}"#]).await;
    let server = async {
        assert_eq!(hear.next().await["target"], "Next");
        speak.say(&[r#"{"type":3,"invocationId":"2","result":"next"}"#]).await;
    };
    let (next, ()) = soon(futures_util::future::join(hub.invoke::<String>("Next", ()), server)).await;
    assert_eq!(next.unwrap(), "next");
}

/// A time limit does what dropping does.
#[tokio::test]
async fn a_call_that_takes_too_long_is_cancelled() {
    let (hub, mut hear, _speak) =
        crate::peer::connect(|b| b.with_call_timeout(Duration::from_millis(20))).await;
    let error = soon(hub.invoke::<()>("Never", ())).await.unwrap_err();
    assert!(matches!(error, CallError::Timeout { .. }), "{error:?}");
    assert_eq!(hear.next().await["target"], "Never");
    assert_eq!(hear.next().await, json!({"type":5,"invocationId":"0"}));
}

/// `signalr-client` sends no cancellation, and loses the errors of streams.
#[tokio::test]
async fn streams_on_the_wire() {
    let (hub, mut hear, mut speak) = plain().await;
    let mut dropped = hub.stream::<i32>("A", (1,)).await.unwrap();
    assert_eq!(hear.next().await, json!({"type":4,"invocationId":"0","target":"A","arguments":[1]}));
    speak.say(&[r#"{"type":2,"invocationId":"0","item":1}"#]).await;
    assert_eq!(soon(dropped.next()).await.unwrap().unwrap(), 1);
    drop(dropped);
    assert_eq!(hear.next().await, json!({"type":5,"invocationId":"0"}));

    let mut wrong = hub.stream::<i32>("B", ()).await.unwrap();
    hear.next().await;
    // Late items of the first, an item of another type, and items behind it.
    let item = |id: u32, item: &str| format!(r#"{{"type":2,"invocationId":"{id}","item":{item}}}"#);
    speak.say(&[&item(0, "2"), &item(1, "3"), &item(1, "\"4\""), &item(1, "5")]).await;
    assert_eq!(hear.next().await, json!({"type":5,"invocationId":"1"}));
    assert_eq!(soon(wrong.next()).await.unwrap().unwrap(), 3);
    let last = soon(wrong.next()).await.unwrap();
    assert!(matches!(last, Err(CallError::Result(_))), "{last:?}");
    assert!(wrong.next().await.is_none());
    drop(wrong);

    // Its end is told by the server, and so is not told to it.
    let mut ended = hub.stream::<Option<i32>>("C", ()).await.unwrap();
    hear.next().await;
    let end = r#"{"type":3,"invocationId":"2","error":"the well is dry"}"#;
    speak.say(&[&item(2, "null"), end, &item(2, "6")]).await;
    assert_eq!(soon(ended.next()).await.unwrap().unwrap(), None);
    let last = soon(ended.next()).await.unwrap();
    assert!(matches!(&last, Err(CallError::Server(text)) if text == "the well is dry"), "{last:?}");
    assert!(ended.next().await.is_none());
    drop(ended);

    // An item for a call that has one result ends that call, and only that.
    let server = async {
        assert_eq!(hear.next().await, json!({"type":1,"invocationId":"3","target":"D","arguments":[]}));
        speak.say(&[&item(3, "7"), r#"{"type":3,"invocationId":"3"}"#]).await;
    };
    let (result, ()) = soon(futures_util::future::join(hub.invoke::<i32>("D", ()), server)).await;
    assert!(matches!(result, Err(CallError::NotAStream)), "{result:?}");
}

/// One completion for each invocation with an id, whatever its handler does. (With the official clients' texts.)
#[tokio::test]
async fn exactly_one_answer_goes_back() {
    let (hub, mut hear, mut speak) = plain().await;
    hub.on("Heard", |_: Value| {});
    hub.on_invoke("Fine", |n: i32| Ok::<_, Infallible>(n + 1));
    hub.on_invoke("Void", || Ok::<(), Infallible>(()));
    hub.on_invoke("Fails", || Err::<(), _>("no"));
    hub.on_invoke("Panics", || -> Result<(), Infallible> { panic!("on purpose") });
    let no_result = json!({"error": "Client didn't provide a result."});
    for (target, arguments, wanted) in [
        ("fine", "[1]", json!({"result": 2})),
        ("Fine", "[1,2,3]", json!({"result": 2})),
        ("Fine", "[\"one\"]", json!({"error": "Client failed to parse argument(s)."})),
        ("Fine", "[]", json!({"error": "Client failed to parse argument(s)."})),
        ("Void", "[]", json!({"result": null})),
        ("Fails", "[]", json!({"error": "no"})),
        ("Panics", "[]", json!({"error": "Client's handler panicked."})),
        ("Heard", "[1]", no_result.clone()),
        ("Nobody", "[1]", no_result),
    ] {
        speak
            .say(&[&format!(
                r#"{{"type":1,"invocationId":"s1","target":"{target}","arguments":{arguments}}}"#
            )])
            .await;
        let mut wanted = wanted;
        wanted["type"] = json!(3);
        wanted["invocationId"] = json!("s1");
        assert_eq!(hear.next().await, wanted, "{target}");
    }
    speak.say(&[r#"{"type":4,"invocationId":"s2","target":"Fine","arguments":[1]}"#]).await;
    assert_eq!(hear.next().await["error"], "Clients have no methods that stream.");
    // Nothing else: the next message is the client's own.
    hub.send("Marker", ()).await.unwrap();
    assert_eq!(hear.next().await["target"], "Marker");
}

/// The server no longer wants an answer: the handler's future is dropped, wherever it is.
#[tokio::test]
async fn the_server_cancels_what_it_asked() {
    let (hub, mut hear, mut speak) = plain().await;
    let (tell, mut started) = mpsc::unbounded_channel();
    hub.on_invoke("Slow", move |name: String| {
        let (held, dropped) = oneshot::channel::<()>();
        tell.send((name.clone(), dropped)).unwrap();
        async move {
            if name != "quick" {
                std::future::pending::<()>().await;
            }
            drop(held);
            Ok::<_, Infallible>(name)
        }
    });
    let ask = |id: &str, name: &str| {
        format!(r#"{{"type":1,"invocationId":"{id}","target":"Slow","arguments":["{name}"]}}"#)
    };
    let cancel = |id: &str| format!(r#"{{"type":5,"invocationId":"{id}"}}"#);
    speak.say(&[&ask("a", "first"), &ask("b", "second"), &ask("c", "quick")]).await;
    let (name, dropped) = soon(started.recv()).await.unwrap();
    assert_eq!(name, "first");
    // One that waits for its turn, one that runs, one nobody knows.
    speak.say(&[&cancel("b"), &cancel("a"), &cancel("z"), &cancel("a")]).await;
    for id in ["b", "a"] {
        let end = json!({"type":3,"invocationId":id,"error":"The invocation was canceled."});
        assert_eq!(hear.next().await, end);
    }
    assert!(soon(dropped).await.is_err());
    assert_eq!(soon(started.recv()).await.unwrap().0, "quick");
    assert_eq!(hear.next().await, json!({"type":3,"invocationId":"c","result":"quick"}));
}

/// aspnetcore issue 43054: a result that comes too late closed the connection. Here it is an answer to a question of
/// an earlier connection, whose id is in use again.
#[tokio::test]
async fn a_late_answer_is_not_sent_on_the_next_connection() {
    let gate = Arc::new(Notify::new());
    let (tell, mut started) = mpsc::unbounded_channel();
    let opened = Arc::clone(&gate);
    let configure = move |builder: hubwire::HubConnectionBuilder| {
        builder
            .on_invoke("Ask", move |n: i32| {
                let gate = Arc::clone(&opened);
                tell.send(n).unwrap();
                async move {
                    gate.notified().await;
                    Ok::<_, Infallible>(n)
                }
            })
            .with_automatic_reconnect(hubwire::RetryPolicy::delays([Duration::ZERO; 20]))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hub", listener.local_addr().unwrap());
    let builder = configure(hubwire::HubConnection::builder(url).with_skip_negotiation(true));
    let (hub, (mut first_hear, mut first)) =
        futures_util::join!(builder.connect(), crate::peer::accept(&listener, &["{}"]));
    let hub = hub.unwrap();
    first.say(&[r#"{"type":1,"invocationId":"1","target":"Ask","arguments":[1]}"#]).await;
    assert_eq!(soon(started.recv()).await, Some(1));
    first.0.close().await.unwrap();
    while first_hear.try_next().await.is_some() {}
    let (mut hear, mut speak) = soon(crate::peer::accept(&listener, &["{}"])).await;
    speak.say(&[r#"{"type":1,"invocationId":"1","target":"Ask","arguments":[2]}"#]).await;
    assert_eq!(soon(started.recv()).await, Some(2));
    gate.notify_one();
    assert_eq!(hear.next().await, json!({"type":3,"invocationId":"1","result":2}));
    hub.send("Marker", ()).await.unwrap();
    assert_eq!(hear.next().await["target"], "Marker");
}

/// Calls to a server that does not read wait for room before they are written. The official clients write them at once,
/// and what was given up stays queued: 232 MiB in ten seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_leave_nothing_behind() {
    let (hub, mut hear, _speak) = plain().await;
    let text = "x".repeat(64 << 10);
    let impatient = hub.with_call_timeout(Duration::from_millis(1));
    for _ in 0..2_000 {
        let error = soon(impatient.invoke::<()>("Big", (&text,))).await.unwrap_err();
        assert!(matches!(error, CallError::Timeout { .. }), "{error:?}");
    }
    let big = async {
        let mut big = 0;
        loop {
            match hear.next().await {
                marker if marker["target"] == "Marker" => return big,
                call if call["target"] == "Big" => big += 1,
                cancellation => assert_eq!(cancellation["type"], 5),
            }
        }
    };
    let (sent, big) = soon(futures_util::future::join(hub.send("Marker", ()), big)).await;
    sent.unwrap();
    // A quarter of a MiB, and what was in the sockets' buffers, of 128 MiB.
    assert!((1..400).contains(&big), "{big} calls were written");
}

/// ASP.NET Core takes a close frame as the end of a connection, and a socket that is silent may still deliver one.
#[tokio::test]
async fn a_silent_socket_of_a_stateful_connection_is_dropped_without_a_close_frame() {
    const ANSWER: &str = r#"{"negotiateVersion":1,"connectionId":"i","connectionToken":"t","useStatefulReconnect":true,
        "availableTransports":[{"transport":"WebSockets","transferFormats":["Text"]}]}"#;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let builder = hubwire::HubConnection::builder(format!("http://{}/hub", listener.local_addr().unwrap()));
    let builder = builder.with_stateful_reconnect().with_server_timeout(Duration::from_millis(200));
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
        let answer = format!("{head}: {}\r\n\r\n{ANSWER}", ANSWER.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
        drop(stream);
        crate::peer::accept(&listener, &["{}"]).await
    };
    let (hub, (mut hear, _speak)) = soon(futures_util::future::join(builder.connect(), server)).await;
    let _hub = hub.unwrap();
    assert!(!hear.ends_with_close_frame().await);

    let (hub, mut hear, _speak) = plain().await;
    let (ends_with_close_frame, ()) = futures_util::join!(hear.ends_with_close_frame(), hub.stop());
    assert!(ends_with_close_frame);
}

/// Those who wait for room go on in the order in which they came.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sends_that_wait_keep_their_order() {
    let (hub, mut hear, _speak) = plain().await;
    let text = "x".repeat(64 << 10);
    let mut waiting = Vec::new();
    for n in 0..500 {
        let mut send = Box::pin(hub.send("Number", (n, text.as_str())));
        if poll!(&mut send).is_pending() {
            waiting.push((n, send));
        }
    }
    // One that is given up while it waits holds up nobody.
    let waited = waiting.len();
    waiting.retain(|(n, _)| *n != 400);
    assert_eq!(waiting.len() + 1, waited);
    let server = async {
        for n in (0..500).filter(|n| *n != 400) {
            assert_eq!(hear.next().await["arguments"][0], n);
        }
    };
    // Polled in another order than they came in.
    let client = futures_util::future::try_join_all(waiting.into_iter().rev().map(|(_, send)| send));
    let (_, sent) = soon(futures_util::future::join(server, client)).await;
    sent.unwrap();
}

/// An upload whose stream panics, or whose items cannot be written, ends with an error; the connection does not.
#[tokio::test]
async fn an_upload_that_fails_tells_the_server() {
    let (hub, mut hear, _speak) = plain().await;
    let panics = stream::iter(0..3).inspect(|n| assert!(*n < 1, "a panic on purpose"));
    hub.send("Take", (Upload::new(panics),)).await.unwrap();
    assert_eq!(hear.next().await["streamIds"], json!(["0"]));
    assert_eq!(hear.next().await["item"], 0);
    assert_eq!(hear.next().await, json!({"type":3,"invocationId":"0","error":"The client's stream failed."}));
    hub.send("Marker", ()).await.unwrap();
    assert_eq!(hear.next().await["target"], "Marker");
}

/// A server that asks for what is not there and does not read the refusals gets no more of them at some point.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_that_nobody_reads_are_bounded() {
    let (hub, mut hear, mut speak) = plain().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    hub.on("Done", move || tell.send(()).unwrap());
    let long = "x".repeat(1000);
    for _ in 0..600 {
        let question = format!(r#"{{"type":1,"invocationId":"{long}","target":"Nobody","arguments":[]}}"#);
        speak.say(&[question.as_str(); 100]).await;
    }
    speak.say(&[r#"{"type":1,"target":"Done","arguments":[]}"#]).await;
    soon(told.recv()).await.unwrap();
    let refusals = async {
        let mut refusals = 0;
        while hear.next().await["target"] != "Marker" {
            refusals += 1;
        }
        refusals
    };
    let (sent, refusals) = soon(futures_util::future::join(hub.send("Marker", ()), refusals)).await;
    sent.unwrap();
    // 4 MiB, and what was in the sockets' buffers, of 60 MB.
    assert!((4_000..40_000).contains(&refusals), "{refusals}");
}

/// Calls, handlers and uploads work from threads that belong to no runtime.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_need_no_runtime_of_their_own() {
    let (hub, mut hear, mut speak) =
        crate::peer::connect(|b| b.with_call_timeout(Duration::from_secs(20))).await;
    speak.say(&[r#"{"type":1,"target":"Early","arguments":[1]}"#]).await;
    let server = tokio::spawn(async move {
        let call = hear.next().await;
        assert_eq!(hear.next().await["item"], 5);
        assert_eq!(hear.next().await["type"], 3);
        speak.say(&[&format!(r#"{{"type":3,"invocationId":{},"result":6}}"#, call["invocationId"])]).await;
        // Held until the client has what it needs.
        hear.try_next().await
    });
    let (tell, told) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        block_on(async {
            assert_eq!(hub.invoke::<i32>("Take", (Upload::new(stream::iter([5])),)).await.unwrap(), 6);
            hub.on("Early", move |n: i32| tell.send(n).unwrap());
            assert_eq!(told.recv_timeout(Duration::from_secs(20)), Ok(1));
            hub.stop().await;
        });
    });
    assert_eq!(soon(server).await.unwrap().unwrap()["type"], 7);
    client.join().unwrap();
}

/// Runs a future on this thread, without a runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(value) =
            future.as_mut().poll(&mut std::task::Context::from_waker(&waker))
        {
            return value;
        }
        std::thread::park();
    }
}
