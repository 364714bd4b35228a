//! A board of things to do: a hub in Rust, hosted by axum, and the page in Rust that shares its contract.

mod lists;

use std::{error::Error, path::PathBuf};

use axum::Router;
use hubwire::server::Identity;
use hubwire_board_contract::Board;
use lists::Lists;
use tokio::net::TcpListener;
use tower_http::services::ServeDir;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let board = Board::serve(Lists::default())
        // Who a client is: here, any name that it gives. A real server takes the user from its own sign-in.
        .authenticate(|request| {
            let user = request.query("user").map(str::to_owned);
            async move { Ok(user.map_or_else(Identity::anonymous, Identity::user)) }
        })
        .build();
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../page/dist/board");
    let app = Router::new().nest_service("/board", board.clone()).fallback_service(ServeDir::new(page));

    let listener = TcpListener::bind(("127.0.0.1", port()?)).await?;
    println!("the board: http://{}/", listener.local_addr()?);
    let interrupted = async move {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        board.shut_down().await;
    };
    axum::serve(listener, app).with_graceful_shutdown(interrupted).await?;
    Ok(())
}

fn port() -> Result<u16, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next(), arguments.next()) {
        (None, ..) => Ok(5080),
        (Some("--port"), Some(port), None) => Ok(port.parse()?),
        _ => Err("usage: hubwire-board-server [--port N]".into()),
    }
}
