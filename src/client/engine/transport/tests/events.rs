//! Server-Sent Events: the events of one answer are the frames.

use super::*;

#[tokio::test]
async fn events_are_frames() {
    let mut server = Server::start().await;
    let opening = server.open(Transport::ServerSentEvents, &Tokens::new("one", []));
    let request = server.next().await;
    assert_eq!((&*request.method, &*request.query), ("GET", "id=7"));
    assert_eq!((request.token(), request.header("Accept")), ("one", "text/event-stream"));
    assert_eq!(request.header("X-Test"), "mine");
    // The head of the answer opens it; no event is awaited.
    let pieces = request.stream();
    let mut link = opening.await.unwrap().expect("opens");
    pieces.send(b"data: a\r\n\r\ndata: b\r\nda").unwrap();
    pieces.send(b"ta: c\r\n\r\n").unwrap();
    assert_eq!(receive(&mut link).await.unwrap(), "a");
    let mut rest = receive(&mut link).await.unwrap();
    if rest.is_empty() {
        rest = receive(&mut link).await.unwrap();
    }
    assert_eq!(rest, "b\nc");
    pieces.send(b":\r\n").unwrap();
    assert_eq!(receive(&mut link).await.unwrap(), "", "a comment is a sign of life");
    drop(pieces);
    let error = receive(&mut link).await.unwrap_err();
    assert_eq!(error.to_string(), "the server ended the event stream");
}

/// The network goes away in the middle of an answer.
#[tokio::test]
async fn a_broken_answer_is_the_end() {
    /// A piece of a body, and the end of the connection when the other half is dropped.
    fn breakable() -> (Body, oneshot::Sender<()>) {
        let (whole, broken) = oneshot::channel();
        let end = async move {
            let _ = broken.await;
            Err("broken")
        };
        let pieces = futures_util::stream::iter([Ok("data: ")]).chain(futures_util::stream::once(end));
        (Body::from_stream(pieces), whole)
    }

    let mut server = Server::start().await;
    let tokens = Tokens::new("one", []);
    let opening = server.open(Transport::ServerSentEvents, &tokens);
    let (body, whole) = breakable();
    server.next().await.answer(200, body);
    let mut link = opening.await.unwrap().expect("opens");
    assert_eq!(receive(&mut link).await.unwrap(), "", "the event has no end");
    drop(whole);
    let error = receive(&mut link).await.unwrap_err();
    assert!(!error.message.contains("ended"), "{error}");

    let polling = receiving(server.polling(TransferFormat::Text, &tokens).await);
    let (body, whole) = breakable();
    server.next().await.answer(200, body);
    drop(whole);
    assert!(polling.await.unwrap().1.is_err());
}

#[tokio::test]
async fn events_that_are_no_text_end_the_stream() {
    let mut server = Server::start().await;
    let (mut link, pieces) = server.events(&Tokens::new("one", [])).await;
    pieces.send(b"data: \xff\n\n").unwrap();
    let error = receive(&mut link).await.unwrap_err();
    assert!(ErrorChain::new(&error).to_string().contains("not UTF-8"), "{error:?}");
}
