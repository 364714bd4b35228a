//! A call that is not awaited.
//!
//! says: help: consider `await`ing on the `Future`

async fn wrong(hub: hubwire::HubConnection) -> Result<i32, hubwire::CallError> {
    let sum: i32 = hub.invoke("Add", (1, 2))?;
    Ok(sum)
}
