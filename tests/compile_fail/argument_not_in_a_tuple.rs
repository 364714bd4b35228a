//! An argument that is not in a tuple.

async fn wrong(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    hub.invoke("Say", "hello").await
}

fn main() {}
