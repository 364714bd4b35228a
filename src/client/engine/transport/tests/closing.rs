//! Closing a transport, dropping it, and a connection's messages on it.

use super::*;

#[tokio::test]
async fn what_is_dropped_is_aborted() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    // While it opens.
    for transport in BOTH {
        let opening = server.open(transport, &tokens);
        let request = server.next().await;
        opening.abort();
        request.aborted().await;
    }
    // An event stream, and a message on its way.
    let (mut link, pieces) = server.events(&tokens).await;
    let request = server.sent(&mut link, "first").await;
    drop(link);
    limited(pieces.closed()).await;
    request.aborted().await;
    // A poll.
    let mut link = server.polling(TransferFormat::Text, &tokens).await;
    let polled = server.polled(&mut link).await;
    drop(link);
    polled.aborted().await;
}

#[tokio::test]
async fn closing_sends_what_is_left_and_says_goodbye() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    let left = || VecDeque::from([Frame::from("left"), Frame::from("close")]);

    let mut link = server.polling(TransferFormat::Text, &tokens).await;
    let polled = server.polled(&mut link).await;
    let first = server.sent(&mut link, "first").await;
    let closing = tokio::spawn(link.close(left()));
    first.answer(200, "");
    for wanted in ["left", "close"] {
        let request = server.next().await;
        assert_eq!((&*request.method, &*request.body), ("POST", wanted.as_bytes()));
        request.answer(200, "");
    }
    let goodbye = server.next().await;
    assert_eq!((&*goodbye.method, &*goodbye.query, goodbye.token()), ("DELETE", "id=7", "one"));
    polled.aborted().await;
    goodbye.answer(404, "");
    limited(closing).await.unwrap();

    let (link, pieces) = server.events(&tokens).await;
    let closing = tokio::spawn(link.close(left()));
    server.next().await.answer(200, "");
    server.next().await.answer(200, "");
    limited(closing).await.unwrap();
    limited(pieces.closed()).await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_server_that_is_gone() {
    let mut server = Server::start().await;
    let mut link = server.polling(TransferFormat::Text, &Tokens::new("one", [])).await;
    let _first = server.sent(&mut link, "first").await;
    let begun = Instant::now();
    let closing = tokio::spawn(link.close(VecDeque::from([Frame::from("left")])));
    // Nothing of what was left goes out while the first waits, but the goodbye does.
    let goodbye = server.next().await;
    assert_eq!(goodbye.method, "DELETE");
    limited(closing).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// What is written while a POST is on its way goes out together in the next.
#[tokio::test]
async fn a_connection_batches_what_it_sends() {
    use crate::HubConnection;

    let mut server = Server::start().await;
    let hub =
        HubConnection::builder(server.url.to_text()).with_transports(Transport::LongPolling).build().unwrap();
    let starting = tokio::spawn({
        let hub = hub.clone();
        async move { hub.start().await }
    });
    let negotiate = server.next().await;
    assert_eq!(negotiate.query, "id=7&negotiateVersion=1");
    negotiate.answer(
        200,
        r#"{"connectionId":"c","connectionToken":"t","negotiateVersion":1,
            "availableTransports":[{"transport":"LongPolling","transferFormats":["Text"]}]}"#,
    );
    server.next().await.answer(200, "");
    let mut polled = None;
    for _ in 0..2 {
        let request = server.next().await;
        match &*request.method {
            "POST" => {
                assert_eq!(&*request.body, b"{\"protocol\":\"json\",\"version\":1}\x1e");
                request.answer(200, "");
            }
            _ => polled = Some(request),
        }
    }
    polled.take().unwrap().answer(200, "{}\x1e");
    limited(starting).await.unwrap().unwrap();
    let polled = server.next().await;
    assert_eq!(polled.method, "GET");

    let message = |n: u32| format!("{{\"type\":1,\"target\":\"Take\",\"arguments\":[{n}]}}\x1e");
    hub.send("Take", (1,)).await.unwrap();
    let first = server.next().await;
    assert_eq!(String::from_utf8_lossy(&first.body), message(1));
    for n in 2..=4 {
        hub.send("Take", (n,)).await.unwrap();
    }
    first.answer(200, "");
    let rest = server.next().await;
    assert_eq!(String::from_utf8_lossy(&rest.body), message(2) + &message(3) + &message(4));
    rest.answer(200, "");

    let stopping = tokio::spawn(async move { hub.stop().await });
    let close = server.next().await;
    assert_eq!(&*close.body, b"{\"type\":7}\x1e");
    close.answer(200, "");
    let goodbye = server.next().await;
    assert_eq!((&*goodbye.method, &*goodbye.query), ("DELETE", "id=7&id=t"));
    goodbye.answer(202, "");
    limited(stopping).await.unwrap();
    polled.aborted().await;
}
