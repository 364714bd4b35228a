//! A handler whose argument has no type.
//!
//! says: type annotations needed
//! says: help: consider giving this closure parameter an explicit type

fn wrong(hub: hubwire::HubConnection) {
    hub.on("Say", |text| println!("{text}"));
}
