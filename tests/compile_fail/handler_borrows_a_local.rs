//! A handler that borrows what does not live as long.

fn wrong(hub: hubwire::HubConnection) {
    let prefix = String::from("> ");
    hub.on("Say", |text: String| println!("{prefix}{text}"));
}

fn main() {}
