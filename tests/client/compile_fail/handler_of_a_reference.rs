//! A handler that borrows its argument.
//!
//! says: Deserialize` is not general enough

fn wrong(hub: hubwire::HubConnection) {
    hub.on("Say", |text: &str| println!("{text}"));
}
