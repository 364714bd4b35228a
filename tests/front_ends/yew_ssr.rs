//! A server that renders Yew connects nowhere, and sends what the browser begins with.

#![cfg(feature = "yew")]

#[path = "../yew_hooks/served.rs"]
mod served;

use std::io::ErrorKind;
use std::net::TcpListener;
use std::time::Duration;

use served::{HTML, Page, Props};

/// Leaves the names of components out of the marks for hydration, which debug builds write.
fn without_names(html: &str) -> String {
    let mut parts = html.split('[');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        all += "[]";
        all += part.split_once(']').unwrap().1;
    }
    all
}

#[tokio::test]
async fn rendering_connects_nowhere_and_waits_for_nothing() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let url = format!("http://{}/hub", server.local_addr().unwrap());
    let page = yew::ServerRenderer::<Page>::with_props(move || Props { url: url.into() });
    let html = tokio::time::timeout(Duration::from_secs(20), page.render()).await.unwrap();
    assert_eq!(without_names(&html), HTML);
    assert_eq!(server.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[tokio::test]
async fn a_relative_url_is_no_obstacle() {
    let page = yew::ServerRenderer::<Page>::with_props(|| Props { url: "/hub".into() });
    let html = tokio::time::timeout(Duration::from_secs(20), page.render()).await.unwrap();
    assert_eq!(without_names(&html), HTML);
}
