//! The descriptions of hubs, and the uses of them, that the compiler refuses.

/// What must not compile does not. Each case compiles once its mistake is mended.
///
/// ```
/// hubwire::hub! {
///     trait Chat: Hub<Client> { fn add(a: i32, b: i32) -> i32; stream fn count() -> u32; }
///     trait Client { fn receive(text: String); fn ask(question: String) -> bool; }
/// }
/// async fn right(chat: Chat) -> Result<i32, hubwire::CallError> {
///     chat.on().receive(|text| assert_eq!(text.len(), 1));
///     chat.on().receive(|text| async move { assert_eq!(text.len(), 1) });
///     chat.on().ask(|question| question.len() == 1);
///     chat.on().ask(|question| question.parse::<bool>());
///     chat.on().ask(|question| async move { question.len() == 1 });
///     chat.on().ask(|question| async move { question.parse::<bool>() });
///     let _: hubwire::HubStream<u32> = chat.count().await?;
///     chat.add(1, 2).await
/// }
/// ```
/// An argument of another type:
/// ```compile_fail,E0308
/// hubwire::hub! { trait Chat { fn add(a: i32, b: i32) -> i32; } }
/// async fn wrong(chat: Chat) -> Result<i32, hubwire::CallError> { chat.add(1, "2").await }
/// ```
/// A result of another type:
/// ```compile_fail,E0308
/// hubwire::hub! { trait Chat { fn add(a: i32, b: i32) -> i32; } }
/// async fn wrong(chat: Chat) -> Result<String, hubwire::CallError> { chat.add(1, 2).await }
/// ```
/// Fewer arguments:
/// ```compile_fail,E0061
/// hubwire::hub! { trait Chat { fn add(a: i32, b: i32) -> i32; } }
/// async fn wrong(chat: Chat) -> Result<i32, hubwire::CallError> { chat.add(1).await }
/// ```
/// A method that is not described:
/// ```compile_fail,E0599
/// hubwire::hub! { trait Chat { fn add(a: i32, b: i32) -> i32; } }
/// async fn wrong(chat: Chat) -> Result<i32, hubwire::CallError> { chat.subtract(1, 2).await }
/// ```
/// A handler that takes another type:
/// ```compile_fail,E0631
/// hubwire::hub! { trait Chat: Hub<Client> {} trait Client { fn receive(text: String); } }
/// fn wrong(chat: Chat) { chat.on().receive(|text: u32| drop(text)); }
/// ```
/// A handler that takes more arguments:
/// ```compile_fail,E0593
/// hubwire::hub! { trait Chat: Hub<Client> {} trait Client { fn receive(text: String); } }
/// fn wrong(chat: Chat) { chat.on().receive(|user, text| drop((user, text))); }
/// ```
/// A result that would have to be borrowed from nowhere:
/// ```compile_fail,E0106
/// hubwire::hub! { trait Chat { fn name() -> &str; } }
/// ```
/// ```compile_fail,E0106
/// hubwire::hub! { trait Chat { stream fn names() -> &str; } }
/// ```
/// The same for a handler:
/// ```compile_fail,E0106
/// hubwire::hub! { trait Chat: Hub<Client> {} trait Client { fn receive(text: &str); } }
/// ```
/// An answer of another type, or none at all:
/// ```compile_fail,E0277
/// hubwire::hub! { trait Chat: Hub<Client> {} trait Client { fn ask(question: String) -> bool; } }
/// fn wrong(chat: Chat) { chat.on().ask(|question| async move { question }); }
/// ```
/// ```compile_fail,E0277
/// hubwire::hub! { trait Chat: Hub<Client> {} trait Client { fn ask(question: String) -> bool; } }
/// fn wrong(chat: Chat) { chat.on().ask(|question| drop(question)); }
/// ```
/// An answer where the hub expects none:
/// ```compile_fail,E0277
/// hubwire::hub! { trait Chat: Hub<Client> {} trait Client { fn receive(text: String); } }
/// fn wrong(chat: Chat) { chat.on().receive(|text| text.len()); }
/// ```
/// Items of another type:
/// ```compile_fail,E0308
/// hubwire::hub! { trait Chat { stream fn count() -> u32; } }
/// async fn wrong(chat: Chat) -> Result<hubwire::HubStream<String>, hubwire::CallError> { chat.count().await }
/// ```
/// More arguments than a call can have:
/// ```compile_fail,E0277
/// hubwire::hub! { trait Chat { fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8); } }
/// ```
/// A receiver, `async`, `pub`, a result of `send`, no items of a stream, two names, a body:
/// ```compile_fail
/// hubwire::hub! { trait Chat { fn add(&self, a: i32, b: i32) -> i32; } }
/// ```
/// ```compile_fail
/// hubwire::hub! { trait Chat { async fn add(a: i32, b: i32) -> i32; } }
/// ```
/// ```compile_fail
/// hubwire::hub! { trait Chat { pub fn add(a: i32, b: i32) -> i32; } }
/// ```
/// ```compile_fail
/// hubwire::hub! { trait Chat { send fn add(a: i32, b: i32) -> i32; } }
/// ```
/// ```compile_fail
/// hubwire::hub! { trait Chat { stream fn count(to: i32); } }
/// ```
/// ```compile_fail
/// hubwire::hub! { trait Chat { #[name = "a"] #[name = "b"] fn add(a: i32, b: i32) -> i32; } }
/// ```
/// ```compile_fail
/// hubwire::hub! { trait Chat { fn add(a: i32, b: i32) -> i32 { a + b } } }
/// ```
struct Mistakes;

/// The same for hubs that are served.
///
/// ```
/// use hubwire::server::{Caller, HubResult};
/// hubwire::hub! {
///     trait Chat: Hub<Client> + Served<ChatHub> { fn add(a: i32, b: i32) -> i32; }
///     trait Client { fn receive(text: String); fn ask(question: String) -> bool; }
/// }
/// struct Right;
/// impl ChatHub for Right {
///     type Session = ();
///     async fn connected(&self, _: Caller<Chat>) -> HubResult { Ok(()) }
///     async fn add(&self, who: Caller<Chat>, a: i32, b: i32) -> HubResult<i32> {
///         who.clients().group("g").receive("x").await?;
///         Ok(if who.clients().caller().ask("x").await? { a + b } else { 0 })
///     }
/// }
/// Chat::serve(Right);
/// ```
/// A method that is left out:
/// ```compile_fail,E0046
/// use hubwire::server::{Caller, HubResult};
/// hubwire::hub! { trait Chat: Served<ChatHub> { fn add(a: i32, b: i32) -> i32; } }
/// struct Wrong;
/// impl ChatHub for Wrong {
///     type Session = ();
///     async fn connected(&self, _: Caller<Chat>) -> HubResult { Ok(()) }
/// }
/// ```
/// An argument that the server does not own:
/// ```compile_fail,E0053
/// use hubwire::server::{Caller, HubResult};
/// hubwire::hub! { trait Chat: Served<ChatHub> { fn say(text: &str); } }
/// struct Wrong;
/// impl ChatHub for Wrong {
///     type Session = ();
///     async fn connected(&self, _: Caller<Chat>) -> HubResult { Ok(()) }
///     async fn say(&self, _: Caller<Chat>, text: &str) -> HubResult { Ok(()) }
/// }
/// ```
/// Something else for a client than it reads, an answer of many, and a method that the client does not have:
/// ```compile_fail,E0277
/// hubwire::hub! { trait Chat: Hub<Client> + Served<ChatHub> {} trait Client { fn receive(text: String); } }
/// async fn wrong(who: hubwire::server::Caller<Chat>) { who.clients().all().receive(1).await; }
/// ```
/// ```compile_fail,E0599
/// hubwire::hub! { trait Chat: Hub<Client> + Served<ChatHub> {} trait Client { fn ask(text: String) -> bool; } }
/// async fn wrong(who: hubwire::server::Caller<Chat>) { who.clients().all().ask("x").await; }
/// ```
/// ```compile_fail,E0599
/// hubwire::hub! { trait Chat: Hub<Client> + Served<ChatHub> {} trait Client { fn receive(text: String); } }
/// async fn wrong(who: hubwire::server::Caller<Chat>) { who.clients().all().recieve("x").await; }
/// ```
/// Something that serves another hub:
/// ```compile_fail,E0277
/// hubwire::hub! { trait Chat: Served<ChatHub> {} }
/// fn wrong() { Chat::serve("a hub"); }
/// ```
/// Types that the server cannot read, and one that it does not know:
/// ```compile_fail,E0277
/// #[derive(serde::Serialize)] struct OneWay;
/// hubwire::hub! { trait Chat: Served<ChatHub> { fn take(it: OneWay); } }
/// ```
/// ```compile_fail
/// hubwire::hub! { trait Chat: Served<ChatHub> { fn take(it: impl serde::Serialize); } }
/// ```
#[cfg(all(native, feature = "server"))]
struct ServedMistakes;
