//! A handler that borrows what does not live as long.
//!
//! says: closure may outlive the current function, but it borrows `prefix`
//! says: use the `move` keyword

fn wrong(hub: hubwire::HubConnection) {
    let prefix = String::from("> ");
    hub.on("Say", |text: String| println!("{prefix}{text}"));
}
