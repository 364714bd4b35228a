//! More arguments than a call can have.

async fn wrong(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    hub.send("Many", (1, 2, 3, 4, 5, 6, 7, 8, 9)).await
}

fn main() {}
