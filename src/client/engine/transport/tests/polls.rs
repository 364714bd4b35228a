//! Long polling: one GET after the other.

use super::*;

#[tokio::test]
async fn polls_follow_each_other() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", [Ok(Some("two"))]);
    let opening = server.open(Transport::LongPolling, &tokens);
    let request = server.next().await;
    let (id, stamp) = request.query.split_once("&_=").expect("no cache may answer it");
    assert_eq!((&*request.method, id, request.token()), ("GET", "id=7", "one"));
    assert!(stamp.parse::<u64>().is_ok());
    request.answer(200, "");
    let link = opening.await.unwrap().expect("opens");

    let polling = receiving(link);
    server.next().await.answer(200, "");
    server.next().await.answer(200, "a message");
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap(), "a message");

    let polling = receiving(link);
    server.next().await.answer(401, "");
    let request = server.next().await;
    assert_eq!(request.token(), "two");
    request.answer(200, "another");
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap(), "another");

    let polling = receiving(link);
    server.next().await.answer(204, "");
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap_err().to_string(), "the server ended the long polling connection");

    let polling = receiving(link);
    server.next().await.answer(503, "");
    assert_eq!(polling.await.unwrap().1.unwrap_err().status, Some(503));
}

#[tokio::test]
async fn a_message_in_the_first_answer_is_not_lost() {
    let mut server = Server::start().await;
    let opening = server.open(Transport::LongPolling, &Tokens::new("one", []));
    server.next().await.answer(200, "early");
    let mut link = opening.await.unwrap().expect("opens");
    assert_eq!(receive(&mut link).await.unwrap(), "early");
}

#[tokio::test]
async fn a_poll_that_nothing_answers_is_asked_again() {
    let mut server = Server::start().await;
    let mut link = server.polling(TransferFormat::Text, &Tokens::new("one", [])).await;
    let unanswered = server.polled(&mut link).await;
    let polling = receiving(link);
    tokio::time::pause();
    tokio::time::advance(long_polling::POLL_TIMEOUT).await;
    tokio::time::resume();
    unanswered.aborted().await;
    server.next().await.answer(200, "at last");
    assert_eq!(polling.await.unwrap().1.unwrap(), "at last");
}

#[tokio::test]
async fn an_authentication_is_refreshed_when_the_server_asks() {
    const ASKS: &str = r#"{"error":"authentication_refresh_required"}"#;
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    let link = server.polling(TransferFormat::Text, &tokens).await;

    let polling = receiving(link);
    server.next().await.answer(409, ASKS);
    server.next().await.answer(200, "");
    server.next().await.answer(409, ASKS);
    server.next().await.answer(200, "refreshed");
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap(), "refreshed");
    assert_eq!(*tokens.refreshes.lock().unwrap(), 2);

    // Twice in a row is the end.
    let polling = receiving(link);
    server.next().await.answer(409, ASKS);
    server.next().await.answer(409, ASKS);
    let (link, received) = polling.await.unwrap();
    assert_eq!(received.unwrap_err().status, Some(409));
    assert_eq!(*tokens.refreshes.lock().unwrap(), 3);

    // So is a 409 of any other kind.
    let mut link = link;
    for body in ["", "{}", r#"{"error":"something else"}"#, r#"["authentication_refresh_required"]"#] {
        let polling = receiving(link);
        server.next().await.answer(409, body);
        let (polled, received) = polling.await.unwrap();
        assert_eq!(received.unwrap_err().status, Some(409), "{body}");
        link = polled;
    }
    assert_eq!(*tokens.refreshes.lock().unwrap(), 3);
}

#[tokio::test]
async fn bodies_are_of_the_format_and_not_endless() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    let polling = receiving(server.polling(TransferFormat::Text, &tokens).await);
    server.next().await.answer(200, &b"\xff"[..]);
    let (link, received) = polling.await.unwrap();
    assert!(received.unwrap_err().message.contains("not UTF-8"));

    let polling = receiving(link);
    server.next().await.answer(200, vec![b'x'; DEFAULT_MESSAGE_LIMIT + 1]);
    assert!(polling.await.unwrap().1.unwrap_err().message.contains("longer than 32 MiB"));

    let mut link = server.polling(TransferFormat::Binary, &tokens).await;
    link.start_send(Frame::binary(vec![0, 0xff])).unwrap();
    let polling = tokio::spawn(async move {
        flush(&mut link).await.unwrap();
        poll_fn(|cx| link.poll_next(cx)).await
    });
    let request = server.next().await;
    assert_eq!(request.header("Content-Type"), "application/octet-stream");
    assert_eq!(&*request.body, [0, 0xff]);
    request.answer(200, "");
    server.next().await.answer(200, &b"\xfe"[..]);
    let frame = limited(polling).await.unwrap().unwrap();
    assert!(!frame.is_text());
    assert_eq!(&*frame.bytes(), [0xfe]);
}
