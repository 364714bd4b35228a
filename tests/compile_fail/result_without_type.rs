//! A result whose type nothing tells.

async fn wrong(hub: hubwire::HubConnection) -> Result<(), hubwire::CallError> {
    hub.invoke("Join", ("lobby",)).await?;
    Ok(())
}

fn main() {}
