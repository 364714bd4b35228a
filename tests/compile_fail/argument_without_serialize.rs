//! An argument that serde cannot write.

struct Point {
    x: i32,
}

async fn wrong(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    hub.send("Draw", (Point { x: 1 },)).await
}

fn main() {}
