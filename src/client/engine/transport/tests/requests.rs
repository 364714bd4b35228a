//! Opening a transport and sending on it: statuses, and tokens that are rejected.

use super::*;

#[tokio::test]
async fn a_refusal_to_open_has_its_status() {
    for transport in BOTH {
        let mut server = Server::start().await;
        for status in [204, 403, 404, 500] {
            let opening = server.open(transport, &Tokens::new("one", []));
            server.next().await.answer(status, "");
            let error = opening.await.unwrap().err().expect("refused");
            assert_eq!(error.status, Some(status), "{transport}: {error}");
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    for transport in BOTH {
        let mut server = Server::start().await;
        let tokens = Tokens::new("one", [Ok(Some("two"))]);
        let opening = server.open(transport, &tokens);
        let request = server.next().await;
        assert_eq!(request.token(), "one");
        request.answer(401, "");
        let request = server.next().await;
        assert_eq!(request.token(), "two");
        request.answer(200, "");
        assert!(opening.await.unwrap().is_ok());
        assert_eq!(tokens.rejected(), [Some("one".into())]);

        let tokens = Tokens::new("one", [Ok(Some("two"))]);
        let opening = server.open(transport, &tokens);
        server.next().await.answer(401, "");
        server.next().await.answer(401, "");
        assert_eq!(opening.await.unwrap().err().expect("refused").status, Some(401));

        for (renewed, wanted) in [(Ok(None), "access token is missing"), (Err("no vault"), "no vault")] {
            let opening = server.open(transport, &Tokens::new("one", [renewed]));
            server.next().await.answer(401, "");
            let error = opening.await.unwrap().err().expect("refused");
            assert_eq!(error.status, Some(401));
            assert!(ErrorChain::new(&error).to_string().contains(wanted), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_for_a_web_socket_as_well() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", [Ok(Some("two"))]);
    let opening = server.open(Transport::WebSockets, &tokens);
    let request = server.next().await;
    assert_eq!((request.token(), request.header("Upgrade")), ("one", "websocket"));
    request.answer(401, "");
    let request = server.next().await;
    assert_eq!(request.token(), "two");
    request.answer(401, "");
    assert_eq!(opening.await.unwrap().err().expect("refused").status, Some(401));
    assert_eq!(tokens.rejected(), [Some("one".into())]);
}

#[tokio::test]
async fn one_message_goes_at_a_time() {
    let mut server = Server::start().await;
    let tokens = Tokens::new("one", [Ok(Some("two"))]);
    let (mut link, _pieces) = server.events(&tokens).await;
    let request = server.sent(&mut link, "first").await;
    assert_eq!((&*request.method, &*request.query, request.token()), ("POST", "id=7", "one"));
    assert_eq!(request.header("Content-Type"), "text/plain;charset=UTF-8");
    assert_eq!(&*request.body, b"first");
    assert!(is_pending(|cx| link.poll_ready(cx)));
    request.answer(202, "");
    flush(&mut link).await.unwrap();
    assert!(!is_pending(|cx| link.poll_ready(cx)));

    // A token that is refused meanwhile is renewed, and the same message sent again.
    server.sent(&mut link, "second").await.answer(401, "");
    let request = server.next_while(|cx| link.poll_flush(cx)).await;
    assert_eq!((request.token(), &*request.body), ("two", &b"second"[..]));
    request.answer(200, "");
    flush(&mut link).await.unwrap();

    for status in [404, 500] {
        server.sent(&mut link, "third").await.answer(status, "");
        assert_eq!(flush(&mut link).await.unwrap_err().status, Some(status));
    }
    assert_eq!(tokens.rejected(), [Some("one".into())]);
}
