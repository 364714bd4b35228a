//! An argument that serde cannot write.
//!
//! says: the trait bound `Point: serde::Serialize` is not satisfied
//! says: note: for local types consider adding `#[derive(serde::Serialize)]` to your `Point` type

struct Point {
    x: i32,
}

async fn wrong(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    hub.send("Draw", (Point { x: 1 },)).await
}
