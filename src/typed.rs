//! Typed hubs: the macro [`hub!`](crate::hub), and what its expansion needs.

/// `Send`, where there are threads.
pub trait MaybeSend: crate::platform::MaybeSend {}
impl<T: crate::platform::MaybeSend> MaybeSend for T {}

/// Describes a hub once: what it offers, and what it calls. Out comes a typed handle over a
/// [`HubConnection`](crate::HubConnection); names, arguments and results are checked when the program is compiled.
///
/// It is written like two traits, as strongly typed hubs are in C#. In the hub's own,
///
/// | item | is | and becomes |
/// | --- | --- | --- |
/// | `fn add(a: i32, b: i32) -> i32;` | a method, and its result | `async fn add(&self, a: i32, b: i32) -> Result<i32, CallError>` |
/// | `fn join(room: &str);` | a method without a result; its end is waited for | `async fn join(&self, room: &str) -> Result<(), CallError>` |
/// | `send fn log(line: &str);` | a method whose end is not waited for | `async fn log(&self, line: &str) -> Result<(), CallError>` |
///
/// and in the trait that `Hub<…>` names, if there is one,
///
/// | item | is | and becomes |
/// | --- | --- | --- |
/// | `fn receive(text: String);` | what the hub calls | `fn receive(&self, handler: impl FnMut(String)) -> Subscription` |
///
/// - On the wire a method is called as ASP.NET Core would name it: `send_message` is `SendMessage`. An attribute
///   `#[name = "…"]` gives it any other name.
/// - The arguments of the hub's methods are whatever [`Arguments`](crate::Arguments) takes, references too. What the
///   hub sends (results, and the arguments of what it calls) is read from messages, so these types are owned.
/// - Documentation, `#[cfg(…)]` and other attributes stay with their methods. Methods are as visible as their trait.
/// - The handle has `new`, `on` (what the hub calls) and `connection` besides; it is cheap to clone.
///
/// ```no_run
/// use hubwire::HubConnection;
///
/// hubwire::hub! {
///     /// What the chat server offers.
///     pub trait Chat: Hub<ChatClient> {
///         /// Sends a message to everyone.
///         fn send_message(user: &str, text: &str);
///         /// Adds two numbers.
///         fn add(a: i32, b: i32) -> i32;
///         /// Who is there.
///         #[name = "people.online"]
///         fn people() -> Vec<String>;
///         /// Tells the server what happens here.
///         send fn log(line: &str);
///     }
///
///     /// What the chat server calls.
///     pub trait ChatClient {
///         /// Somebody has said something.
///         fn receive_message(user: String, text: String);
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = HubConnection::builder("https://example.com/chat").build()?;
/// let chat = Chat::new(hub.clone());
/// chat.on().receive_message(|user, text| println!("{user}: {text}"));
/// hub.start().await?;
///
/// let sum = chat.add(1, 2).await?;
/// chat.send_message("alice", &format!("1 + 2 = {sum}")).await?;
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! hub {
    (
        $(#[$($about:tt)*])*
        $visible:vis trait $Hub:ident $(: Hub<$Client:ident>)? {
            $(
                $(#[$($attribute:tt)*])*
                $($word:ident)+ ($($argument:tt)*) $(-> $Result:ty)? ;
            )*
        }
        $(
            $(#[$($client_about:tt)*])*
            $client_visible:vis trait $Called:ident {
                $(
                    $(#[$($client_attribute:tt)*])*
                    $($client_word:ident)+ ($($client_argument:tt)*) $(-> $ClientResult:ty)? ;
                )*
            }
        )?
    ) => {
        $crate::__hub_handle! { $(#[$($about)*])* $visible $Hub }

        #[allow(dead_code, reason = "a description may say more than one program uses")]
        impl $Hub {
            $(
                /// What the hub calls: register handlers here, before or after connecting.
                #[must_use]
                $visible fn on(&self) -> $Client {
                    $Client::new(self.connection.clone())
                }
            )?

            $(
                $crate::__hub_method! {
                    [hub $visible] [] [] $(#[$($attribute)*])* $($word)+ ($($argument)*) $(-> $Result)?
                }
            )*
        }

        $(
            $crate::__hub_handle! { $(#[$($client_about)*])* $client_visible $Called }

            #[allow(dead_code, reason = "a description may say more than one program uses")]
            impl $Called {
                $(
                    $crate::__hub_method! {
                        [client $client_visible] [] []
                        $(#[$($client_attribute)*])*
                        $($client_word)+ ($($client_argument)*) $(-> $ClientResult)?
                    }
                )*
            }
        )?
    };
    ($($other:tt)*) => {
        ::std::compile_error! {
            "a hub is described as `pub trait Chat: Hub<ChatClient> { fn add(a: i32, b: i32) -> i32; } \
             pub trait ChatClient { fn receive(text: String); }`; methods have no body and end in `;`"
        }
    };
}

/// A handle over a connection.
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_handle {
    ($(#[$($about:tt)*])* $visible:vis $Handle:ident) => {
        $(#[$($about)*])*
        #[derive(Clone, Debug)]
        $visible struct $Handle {
            connection: $crate::HubConnection,
        }

        #[allow(dead_code, reason = "a description may say more than one program uses")]
        impl $Handle {
            /// Over a connection, which may or may not be up yet.
            #[must_use]
            $visible fn new(connection: $crate::HubConnection) -> Self {
                Self { connection }
            }

            /// The connection under it.
            #[must_use]
            $visible fn connection(&self) -> &$crate::HubConnection {
                &self.connection
            }
        }
    };
}

/// One method: `[whose visibility] [attributes to keep] [name on the wire] attributes… words… (arguments) -> result`.
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_method {
    // The attributes: the name apart from all others.
    ($whose:tt $kept:tt [] #[name = $name:literal] $($rest:tt)*) => {
        $crate::__hub_method! { $whose $kept [$name] $($rest)* }
    };
    ($whose:tt $kept:tt [$name:literal] #[name = $other:literal] $($rest:tt)*) => {
        ::std::compile_error! { ::std::concat!("a method with two names: ", $name, " and ", $other) }
    };
    ($whose:tt [$($kept:tt)*] $name:tt #[$($attribute:tt)*] $($rest:tt)*) => {
        $crate::__hub_method! { $whose [$($kept)* #[$($attribute)*]] $name $($rest)* }
    };

    // The methods of the hub.
    ([hub $visible:vis] [$($kept:tt)*] $name:tt
        fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?)
    ) => {
        $($kept)*
        $visible async fn $method(
            &self $(, $argument: $Argument)*
        ) -> ::std::result::Result<(), $crate::CallError> {
            self.connection.invoke($crate::__hub_name!($name $method), ($($argument,)*)).await
        }
    };
    ([hub $visible:vis] [$($kept:tt)*] $name:tt
        fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?) -> $Result:ty
    ) => {
        $($kept)*
        $visible async fn $method(
            &self $(, $argument: $Argument)*
        ) -> ::std::result::Result<$Result, $crate::CallError> {
            const _: ::std::option::Option<fn() -> $Result> = ::std::option::Option::None;
            self.connection.invoke($crate::__hub_name!($name $method), ($($argument,)*)).await
        }
    };
    ([hub $visible:vis] [$($kept:tt)*] $name:tt
        send fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?)
    ) => {
        $($kept)*
        $visible async fn $method(
            &self $(, $argument: $Argument)*
        ) -> ::std::result::Result<(), $crate::CallError> {
            self.connection.send($crate::__hub_name!($name $method), ($($argument,)*)).await
        }
    };

    // The methods of the client.
    ([client $visible:vis] [$($kept:tt)*] $name:tt
        fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?)
    ) => {
        $($kept)*
        $visible fn $method(
            &self,
            mut handler: impl ::std::ops::FnMut($($Argument),*) + $crate::typed::MaybeSend + 'static,
        ) -> $crate::Subscription {
            const _: ::std::option::Option<fn() -> ($($Argument,)*)> = ::std::option::Option::None;
            let handler = move |$($argument: $Argument),*| handler($($argument),*);
            self.connection.on($crate::__hub_name!($name $method), handler)
        }
    };

    // Mistakes.
    ($whose:tt $kept:tt $name:tt async $($rest:tt)*) => {
        ::std::compile_error! { "the methods of a hub are asynchronous anyway: leave out `async`" }
    };
    ($whose:tt $kept:tt $name:tt pub $($rest:tt)*) => {
        ::std::compile_error! { "the methods of a hub are as visible as their trait: leave out `pub`" }
    };
    ($whose:tt $kept:tt $name:tt $($word:ident)+ ($(&)? $(mut)? self $($argument:tt)*) $($result:tt)*) => {
        ::std::compile_error! { "the methods of a hub have no receiver: leave out `self`" }
    };
    ([hub $visible:vis] $kept:tt $name:tt send fn $method:ident ($($argument:tt)*) -> $Result:ty) => {
        ::std::compile_error! { ::std::concat!(
            "nobody waits for the result of `send fn ", ::std::stringify!($method), "`: leave out `send`, or the result"
        ) }
    };
    ([$whose:ident $visible:vis] $kept:tt $name:tt $($word:ident)+ ($($argument:tt)*) $(-> $Result:ty)?) => {
        ::std::compile_error! { ::std::concat!(
            "the methods of a ", ::std::stringify!($whose), " are `fn name(argument: Type)`, with or without a result; \
             those of a hub may also begin with `send`. This is something else: ",
            ::std::stringify!($($word)+ ($($argument)*) $(-> $Result)?)
        ) }
    };
}

/// A method's name on the wire.
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_name {
    ([$name:literal] $method:ident) => {
        $name
    };
    ([] $method:ident) => {{
        const NAME: [u8; $crate::typed::wire_name_length(::std::stringify!($method))] =
            $crate::typed::wire_name(::std::stringify!($method));
        const { $crate::typed::text(&NAME) }
    }};
}

/// `send_message` is `SendMessage`, and `r#type` is `Type`.
#[must_use]
pub const fn wire_name<const N: usize>(method: &str) -> [u8; N] {
    let method = method.as_bytes();
    let mut name = [0; N];
    let (mut from, mut to) = (after_raw(method), 0);
    let mut starts_word = true;
    while from < method.len() {
        if method[from] == b'_' {
            starts_word = true;
        } else {
            name[to] = if starts_word { method[from].to_ascii_uppercase() } else { method[from] };
            to += 1;
            starts_word = false;
        }
        from += 1;
    }
    name
}

/// How long [`wire_name`] is.
#[must_use]
pub const fn wire_name_length(method: &str) -> usize {
    let method = method.as_bytes();
    let mut at = after_raw(method);
    let mut length = 0;
    while at < method.len() {
        if method[at] != b'_' {
            length += 1;
        }
        at += 1;
    }
    length
}

const fn after_raw(method: &[u8]) -> usize {
    if matches!(method, [b'r', b'#', ..]) { 2 } else { 0 }
}

/// A name as text.
#[must_use]
pub const fn text(name: &[u8]) -> &str {
    match std::str::from_utf8(name) {
        Ok(name) => name,
        Err(_) => panic!("a method's name without its underscores is text"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_asp_net() {
        for (method, wanted) in [
            ("add", "Add"),
            ("send_message", "SendMessage"),
            ("r#type", "Type"),
            ("r2_d2", "R2D2"),
            ("_private__twice_", "PrivateTwice"),
            ("alreadyCamel", "AlreadyCamel"),
            ("größe_ändern", "Größeändern"),
            ("_", ""),
        ] {
            assert_eq!(wire_name_length(method), wanted.len(), "{method}");
            let name: [u8; 16] = wire_name(method);
            assert_eq!(text(&name[..wanted.len()]), wanted);
        }
    }
}

/// What must not compile does not. Each case compiles once its mistake is mended.
///
/// ```
/// hubwire::hub! { trait Chat: Hub<Client> { fn add(a: i32, b: i32) -> i32; } trait Client { fn receive(text: String); } }
/// async fn right(chat: Chat) -> Result<i32, hubwire::CallError> {
///     chat.on().receive(|text| assert_eq!(text.len(), 1));
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
/// The same for a handler:
/// ```compile_fail,E0106
/// hubwire::hub! { trait Chat: Hub<Client> {} trait Client { fn receive(text: &str); } }
/// ```
/// More arguments than a call can have:
/// ```compile_fail,E0277
/// hubwire::hub! { trait Chat { fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8); } }
/// ```
/// A receiver, `async`, `pub`, a result of `send`, two names, a body:
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
/// hubwire::hub! { trait Chat { #[name = "a"] #[name = "b"] fn add(a: i32, b: i32) -> i32; } }
/// ```
/// ```compile_fail
/// hubwire::hub! { trait Chat { fn add(a: i32, b: i32) -> i32 { a + b } } }
/// ```
#[cfg(doctest)]
struct Mistakes;
