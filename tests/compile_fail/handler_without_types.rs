//! A handler whose argument has no type.

fn wrong(hub: hubwire::HubConnection) {
    hub.on("Say", |text| println!("{text}"));
}

fn main() {}
