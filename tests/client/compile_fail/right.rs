//! What the other files get wrong, got right.

async fn right(hub: hubwire::HubConnection) -> Result<Option<(i32, String)>, hubwire::CallError> {
    let prefix = String::from("> ");
    hub.on("Say", move |text: String| println!("{prefix}{text}"));
    hub.on_invoke("Ask", |text: String| Ok::<_, std::convert::Infallible>(text.len()));
    hub.invoke::<()>("Join", ("lobby",)).await?;
    hub.send("Draw", (1, 2.5, [Some("red")])).await?;
    hub.invoke("Origin", ()).await
}
