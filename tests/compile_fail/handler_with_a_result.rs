//! A handler that returns something, where nothing is awaited.

fn wrong(hub: hubwire::HubConnection) {
    hub.on("Ask", |text: String| text.len());
}

fn main() {}
