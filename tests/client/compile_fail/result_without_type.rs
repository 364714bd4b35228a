//! A result whose type nothing tells.
//!
//! says: DeserializeOwned
//! says: you might have intended to use the type `()` here instead

async fn wrong(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    hub.invoke("Join", ("lobby",)).await?;
    Ok(())
}
