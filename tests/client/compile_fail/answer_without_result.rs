//! A handler that answers without a `Result`.
//!
//! says: this is not a handler that answers calls of a hub
//! says: note: what answers is a closure of up to eight arguments with their types written out, and returns a `Result`
//! says: note: where nothing can fail, name the error: `Ok::<_, std::convert::Infallible>(value)`

fn wrong(hub: hubwire::HubConnection) {
    hub.on_invoke("Ask", |text: String| text.len());
}
