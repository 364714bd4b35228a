//! An argument that is not in a tuple.
//!
//! says: `&str` cannot be the arguments of a hub method
//! says: these are not arguments
//! says: note: arguments are a tuple of up to eight values, `()` for none, or a list of values of one type
//! says: note: one argument is a tuple with a comma: `(value,)`
//! says: note: each value implements `serde::Serialize`, or is a `hubwire::Upload`

async fn wrong(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    hub.invoke("Say", "hello").await
}
