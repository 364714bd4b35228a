//! A handler that answers without a `Result`.

fn wrong(hub: hubwire::HubConnection) {
    hub.on_invoke("Ask", |text: String| text.len());
}

fn main() {}
