//! A handler of a type that serde cannot read.
//!
//! says: this is not a handler for calls of a hub
//! says: note: a handler is a closure of up to eight arguments with their types written out
//! says: note: each argument implements `serde::Deserialize` and owns what it holds: `String`, not `&str`
//! says: note: it owns what it captures (`move`); natively that is `Send`: `Arc`, not `Rc`
//! says: note: it returns nothing; for a result, register it with `on_invoke`

struct Point {
    x: i32,
}

fn wrong(hub: hubwire::HubConnection) {
    hub.on("Draw", |point: Point| println!("{}", point.x));
}
