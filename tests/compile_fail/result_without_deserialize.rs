//! A result that serde cannot read.

struct Point {
    x: i32,
}

async fn wrong(hub: hubwire::HubConnection) -> Result<Point, hubwire::CallError> {
    hub.invoke("Origin", ()).await
}

fn main() {}
