//! More arguments than a call can have.
//!
//! says: cannot be the arguments of a hub method
//! says: note: arguments are a tuple of up to eight values, `()` for none, or a list of values of one type
//! says: note: one argument is a tuple with a comma: `(value,)`
//! says: note: each value implements `serde::Serialize`, or is a `hubwire::Upload`

async fn wrong(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    hub.send("Many", (1, 2, 3, 4, 5, 6, 7, 8, 9)).await
}
