//! A handler of a type that serde cannot read.

struct Point {
    x: i32,
}

fn wrong(hub: hubwire::HubConnection) {
    hub.on("Draw", |point: Point| println!("{}", point.x));
}

fn main() {}
