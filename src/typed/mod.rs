//! Typed hubs: the macro [`hub!`](crate::hub), and what its expansion needs.

mod answers;
mod description;
#[cfg(doctest)]
mod mistakes;
mod names;
mod served;

pub use self::answers::{Answers, MaybeSend};
pub use self::names::{text, wire_name, wire_name_length};

/// A typed handle over a connection, as [`hub!`](crate::hub) makes them. A [`HubConnection`](crate::HubConnection) is
/// one too, of names that nothing checks.
pub trait TypedHub: 'static {
    /// Over a connection, which may or may not be up yet.
    fn over(connection: crate::client::HubConnection) -> Self;
}

impl TypedHub for crate::client::HubConnection {
    fn over(connection: crate::client::HubConnection) -> Self {
        connection
    }
}

/// Describes a hub once: the methods that it offers, and those that it calls. The result is a typed handle over a
/// [`HubConnection`](crate::HubConnection); names, arguments and results are checked when the program is compiled.
///
/// It is written like two traits, as strongly typed hubs are in C#. In the hub's own,
///
/// | item | is | and becomes |
/// | --- | --- | --- |
/// | `fn add(a: i32, b: i32) -> i32;` | a method, and its result | `async fn add(&self, a: i32, b: i32) -> Result<i32, CallError>` |
/// | `fn join(room: &str);` | a method without a result; its end is awaited | `async fn join(&self, room: &str) -> Result<(), CallError>` |
/// | `send fn log(line: &str);` | a method whose end is not awaited | `async fn log(&self, line: &str) -> Result<(), CallError>` |
/// | `stream fn count(to: u32) -> u32;` | a method that answers with a stream of these | `async fn count(&self, to: u32) -> Result<HubStream<u32>, CallError>` |
///
/// and in the trait that `Hub<…>` names, if there is one,
///
/// | item | is | and becomes |
/// | --- | --- | --- |
/// | `fn receive(text: String);` | what the hub calls | `fn receive(&self, handler: impl FnMut(String)) -> Subscription` |
/// | `fn ask(question: String) -> bool;` | what the hub calls, to wait for an answer | `fn ask(&self, handler: impl FnMut(String) -> bool) -> Subscription` |
///
/// - On the wire a method is called as ASP.NET Core would name it: `send_message` is `SendMessage`. An attribute
///   `#[name = "…"]` gives it any other name.
/// - The arguments of the hub's methods are whatever [`Arguments`](crate::Arguments) takes: references, and
///   [`Upload`](crate::Upload)s. What the hub sends (results, items, the arguments of what it calls) is read from
///   messages, so these types are owned.
/// - Handlers may be `async`. One that answers may return a `Result`; the hub gets the text of its error.
/// - Documentation, `#[cfg(…)]` and other attributes stay with their methods. Methods are as visible as their trait.
/// - An attribute `#[typescript]` at the hub's trait describes the hub in TypeScript as well: see
///   [`typescript`](https://docs.rs/hubwire/latest/hubwire/typescript/).
/// - The handle has `new`, `on` (what the hub calls) and `connection` besides; it is cheap to clone.
/// - `Hub<…> + Served<ChatHub>` describes the hub for its server as well: `ChatHub` becomes the trait that the server
///   implements, where hubwire has the feature `server`. See
///   [`server`](https://docs.rs/hubwire/latest/hubwire/server/#one-contract-for-both-ends).
///
/// ```no_run
/// use hubwire::{HubConnection, Upload};
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
///         /// Counts.
///         stream fn counter(count: u32, delay_milliseconds: u32) -> u32;
///         /// Adds many numbers.
///         fn upload_sum(numbers: Upload<i64>) -> i64;
///     }
///
///     /// What the chat server calls.
///     pub trait ChatClient {
///         /// A message was sent to the room.
///         fn receive_message(user: String, text: String);
///         /// Asks for a confirmation.
///         fn confirm(question: String) -> bool;
///     }
/// }
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = HubConnection::builder("https://example.com/chat").build()?;
/// let chat = Chat::new(hub.clone());
/// chat.on().receive_message(|user, text| println!("{user}: {text}"));
/// chat.on().confirm(|question| async move { !question.is_empty() });
/// hub.start().await?;
///
/// let sum = chat.add(1, 2).await?;
/// chat.send_message("alice", &format!("1 + 2 = {sum}")).await?;
/// let mut numbers = chat.counter(10, 100).await?;
/// while let Some(number) = numbers.next().await {
///     println!("{}", number?);
/// }
/// # Ok(())
/// # }
/// ```
#[macro_export]
macro_rules! hub {
    (
        $(#[$($about:tt)*])*
        $visible:vis trait $Hub:ident
            $(: Hub<$Client:ident> $(+ Served<$Server:ident>)?)? $(: Served<$OnlyServer:ident>)?
        {
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
        $crate::__hub_handle! { [hub] [] $(#[$($about)*])* $visible $Hub }

        #[allow(dead_code, reason = "a program need not use all of a description")]
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

        $crate::__hub_description! {
            [] [] $(#[$($about)*])*
            $Hub [$($Client)?]
            [$({ $(#[$($attribute)*])* $($word)+ ($($argument)*) $(-> $Result)? })*]
            $(
                [$(#[$($client_about)*])*]
                $Called
                [$({ $(#[$($client_attribute)*])* $($client_word)+ ($($client_argument)*) $(-> $ClientResult)? })*]
            )?
        }

        $crate::__hub_server! {
            $visible $Hub [$($($Server)?)? $($OnlyServer)?]
            [$({ $(#[$($attribute)*])* $($word)+ ($($argument)*) $(-> $Result)? })*]
            [$(
                ($client_visible)
                $({ $(#[$($client_attribute)*])* $($client_word)+ ($($client_argument)*) $(-> $ClientResult)? })*
            )?]
        }

        $(
            $crate::__hub_handle! { [client] [] $(#[$($client_about)*])* $client_visible $Called }

            #[allow(dead_code, reason = "a program need not use all of a description")]
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
             pub trait ChatClient { fn receive(text: String); }`; methods have no body and end in `;`; for its server the \
             first line is `pub trait Chat: Hub<ChatClient> + Served<ChatHub> {`"
        }
    };
}

/// A handle over a connection: `[whose] [attributes to keep] attributes… visibility name`.
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_handle {
    // What `__hub_description!` is told.
    ([hub] $kept:tt #[typescript] $($rest:tt)*) => {
        $crate::__hub_handle! { [hub] $kept $($rest)* }
    };
    ([hub] $kept:tt #[cfg_attr($condition:meta, typescript)] $($rest:tt)*) => {
        $crate::__hub_handle! { [hub] $kept $($rest)* }
    };
    ([client] $kept:tt #[typescript] $($rest:tt)*) => {
        ::std::compile_error! { "`#[typescript]` stands at the trait of the hub, and is for that of its clients as well" }
    };
    ($whose:tt [$($kept:tt)*] #[$($attribute:tt)*] $($rest:tt)*) => {
        $crate::__hub_handle! { $whose [$($kept)* #[$($attribute)*]] $($rest)* }
    };

    ($whose:tt [$($kept:tt)*] $visible:vis $Handle:ident) => {
        $($kept)*
        #[derive(Clone, Debug)]
        $visible struct $Handle {
            connection: $crate::HubConnection,
        }

        #[allow(dead_code, reason = "a program need not use all of a description")]
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

        impl $crate::__private::TypedHub for $Handle {
            fn over(connection: $crate::HubConnection) -> Self {
                Self { connection }
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

    ([hub $visible:vis] [$($kept:tt)*] $name:tt
        stream fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?) -> $Item:ty
    ) => {
        $($kept)*
        $visible async fn $method(
            &self $(, $argument: $Argument)*
        ) -> ::std::result::Result<$crate::HubStream<$Item>, $crate::CallError> {
            const _: ::std::option::Option<fn() -> $Item> = ::std::option::Option::None;
            self.connection.stream($crate::__hub_name!($name $method), ($($argument,)*)).await
        }
    };

    // The methods of the client.
    ([client $visible:vis] [$($kept:tt)*] $name:tt
        fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?)
    ) => {
        $($kept)*
        $visible fn $method<R, M: 'static>(
            &self,
            handler: impl ::std::ops::FnMut($($Argument),*) -> R + $crate::Handler<M>,
        ) -> $crate::Subscription {
            const _: ::std::option::Option<fn() -> ($($Argument,)*)> = ::std::option::Option::None;
            self.connection.on($crate::__hub_name!($name $method), handler)
        }
    };
    ([client $visible:vis] [$($kept:tt)*] $name:tt
        fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?) -> $Result:ty
    ) => {
        $($kept)*
        $visible fn $method<R: $crate::__private::Answers<$Result, K>, K>(
            &self,
            mut handler: impl ::std::ops::FnMut($($Argument),*) -> R + $crate::__private::MaybeSend + 'static,
        ) -> $crate::Subscription {
            const _: ::std::option::Option<fn() -> ($($Argument,)* $Result)> = ::std::option::Option::None;
            let handler = move |$($argument: $Argument),*| {
                $crate::__private::Answers::into_answer(handler($($argument),*))
            };
            self.connection.on_invoke($crate::__hub_name!($name $method), handler)
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
            "the result of `send fn ", ::std::stringify!($method), "` is not awaited: leave out `send`, or the result"
        ) }
    };
    ([hub $visible:vis] $kept:tt $name:tt stream fn $method:ident ($($argument:tt)*)) => {
        ::std::compile_error! { ::std::concat!(
            "a stream needs the type of its items: give `stream fn ", ::std::stringify!($method), "` a result type"
        ) }
    };
    ([$whose:ident $visible:vis] $kept:tt $name:tt $($word:ident)+ ($($argument:tt)*) $(-> $Result:ty)?) => {
        ::std::compile_error! { ::std::concat!(
            "the methods of a ", ::std::stringify!($whose), " are `fn name(argument: Type)`, with or without a result; \
             those of a hub may also begin with `send` or `stream`. This is something else: ",
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
        const NAME: [u8; $crate::__private::wire_name_length(::std::stringify!($method))] =
            $crate::__private::wire_name(::std::stringify!($method));
        const { $crate::__private::text(&NAME) }
    }};
}
