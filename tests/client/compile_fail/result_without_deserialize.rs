//! A result that serde cannot read.
//!
//! says: the trait bound `Point: serde::de::DeserializeOwned` is not satisfied

struct Point {
    x: i32,
}

async fn wrong(hub: hubwire::HubConnection) -> Result<Point, hubwire::CallError> {
    hub.invoke("Origin", ()).await
}
