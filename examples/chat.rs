//! Chats in a hub from a terminal.
//!
//! `cargo run --example chat -- http://127.0.0.1:5080/chat NAME` joins the room of `cargo xtask demo`.

use std::error::Error;
use std::process::ExitCode;

use hubwire::{ErrorChain, HubConnection};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

#[tokio::main]
async fn main() -> ExitCode {
    match chat().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", ErrorChain::new(&*error));
            ExitCode::FAILURE
        }
    }
}

async fn chat() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(url), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("usage: chat URL NAME".into());
    };
    let user = hubwire::core::url::encode_component(&name);

    let hub = HubConnection::builder(format!("{url}?user={user}"))
        .on("ReceiveMessage", |user: String, text: String| println!("{user}: {text}"))
        .connect()
        .await?;
    println!("connected as {name}; type a line to send it, an end of file to leave");

    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(text) if !text.trim().is_empty() => hub.invoke::<()>("Say", (text,)).await?,
                Some(_) => {}
                None => break,
            },
            reason = hub.closed() => return Err(reason.into()),
        }
    }
    hub.stop().await;
    Ok(())
}
