//! A handler that borrows its argument.

fn wrong(hub: hubwire::HubConnection) {
    hub.on("Say", |text: &str| println!("{text}"));
}

fn main() {}
