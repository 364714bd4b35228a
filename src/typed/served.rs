//! What `hub!` makes for the server of a hub: the trait that it implements, and the typed clients that it calls.

/// The server's side of a hub: `visibility Hub [Server] [{method}…] [(visibility) {client's method}…]`. Nothing where no
/// server is named.
#[cfg(all(native, feature = "server"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_server {
    ($visible:vis $Hub:ident [] $($rest:tt)*) => {};
    ($visible:vis $Hub:ident [$Server:ident]
        [$({ $($method:tt)* })*] [$(($client_visible:vis) $({ $($client_method:tt)* })*)?]
    ) => {
        #[doc = ::std::concat!(
            "The hub [`", ::std::stringify!($Hub), "`] as its server implements it. [`", ::std::stringify!($Hub),
            "::serve`] makes a server of what implements this."
        )]
        $visible trait $Server: ::std::marker::Send + ::std::marker::Sync + ::std::marker::Sized + 'static {
            /// What is kept for each connection, from [`connected`](Self::connected) until it ends.
            type Session: ::std::marker::Send + ::std::marker::Sync + 'static;

            /// A client is connected: what is to be kept for it? An error refuses it, and ends the connection. None of its
            /// calls runs before.
            fn connected(
                &self,
                who: $crate::server::Caller<$Hub>,
            ) -> impl ::std::future::Future<Output = $crate::server::HubResult<Self::Session>> + ::std::marker::Send;

            /// A connection has ended. Does nothing unless it is implemented.
            fn disconnected(
                &self,
                who: $crate::server::Caller<$Hub, Self::Session>,
            ) -> impl ::std::future::Future<Output = ()> + ::std::marker::Send {
                ::std::mem::drop(who);
                ::std::future::ready(())
            }

            $($crate::__hub_served_method! { [trait $Hub] [] [] $($method)* })*
        }

        impl $Hub {
            #[doc = ::std::concat!(
                "Begins to build a server of this hub, whose methods are those of a [`", ::std::stringify!($Server), "`]."
            )]
            #[allow(dead_code, reason = "a program need not use all of a description")]
            $visible fn serve<ServedHub: $Server>(hub: ServedHub) -> $crate::server::HubServerBuilder {
                let hub = ::std::sync::Arc::new(hub);
                let (coming, leaving) = (hub.clone(), hub.clone());
                let mut builder = $crate::server::HubServer::builder()
                    .on_connected(move |caller: $crate::server::Caller| {
                        let hub = coming.clone();
                        async move {
                            let session = <ServedHub as $Server>::connected(&hub, caller.without_session()).await?;
                            caller.begin_session(session);
                            ::std::result::Result::Ok(())
                        }
                    })
                    .on_disconnected(move |caller: $crate::server::Caller| {
                        let hub = leaving.clone();
                        async move {
                            if let ::std::option::Option::Some(who) = caller.typed() {
                                <ServedHub as $Server>::disconnected(&hub, who).await;
                            }
                        }
                    });
                $($crate::__hub_served_method! { [serve builder hub ServedHub $Server] [] [] $($method)* })*
                builder
            }
        }

        const _: () = {
            #[doc = ::std::concat!("Clients of [`", ::std::stringify!($Hub), "`] that are called.")]
            #[derive(Clone, Debug)]
            #[must_use = "nothing is sent until a method is called"]
            pub struct TypedReceivers<'h>($crate::server::Receivers<'h>);

            #[doc = ::std::concat!("One client of [`", ::std::stringify!($Hub), "`], which also answers.")]
            #[derive(Clone, Debug)]
            #[must_use = "nothing is sent until a method is called"]
            pub struct TypedClient<'h>($crate::server::Client<'h>);

            impl<'h> ::std::convert::From<$crate::server::Receivers<'h>> for TypedReceivers<'h> {
                fn from(receivers: $crate::server::Receivers<'h>) -> Self {
                    Self(receivers)
                }
            }

            impl<'h> ::std::convert::From<$crate::server::Client<'h>> for TypedClient<'h> {
                fn from(client: $crate::server::Client<'h>) -> Self {
                    Self(client)
                }
            }

            impl $crate::server::method::HubContract for $Hub {
                type Receivers<'h> = TypedReceivers<'h>;
                type Client<'h> = TypedClient<'h>;
            }

            #[allow(dead_code, reason = "a program need not use all of a description")]
            impl TypedReceivers<'_> {
                $($($crate::__hub_served_method! { [receivers $client_visible] [] [] $($client_method)* })*)?
            }

            #[allow(dead_code, reason = "a program need not use all of a description")]
            impl TypedClient<'_> {
                $($($crate::__hub_served_method! { [client $client_visible] [] [] $($client_method)* })*)?
            }
        };
    };
}

/// Nothing is served.
#[cfg(not(all(native, feature = "server")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_server {
    ($($anything:tt)*) => {};
}

/// One method: `[what is made of it] [attributes to keep] [name on the wire] attributes… words… (arguments) -> result`.
#[cfg(all(native, feature = "server"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_served_method {
    ($what:tt $kept:tt $name:tt #[name = $wire:literal] $($rest:tt)*) => {
        $crate::__hub_served_method! { $what $kept [$wire] $($rest)* }
    };
    // Statements have no documentation.
    ([serve $($what:tt)*] [$($kept:tt)*] $name:tt #[cfg($($condition:tt)*)] $($rest:tt)*) => {
        $crate::__hub_served_method! { [serve $($what)*] [$($kept)* #[cfg($($condition)*)]] $name $($rest)* }
    };
    ([serve $($what:tt)*] $kept:tt $name:tt #[$($attribute:tt)*] $($rest:tt)*) => {
        $crate::__hub_served_method! { [serve $($what)*] $kept $name $($rest)* }
    };
    // Clients are to call something else; until then the server performs it.
    ([trait $($what:tt)*] $kept:tt $name:tt #[deprecated $($details:tt)*] $($rest:tt)*) => {
        $crate::__hub_served_method! { [trait $($what)*] $kept $name $($rest)* }
    };
    ($what:tt [$($kept:tt)*] $name:tt #[$($attribute:tt)*] $($rest:tt)*) => {
        $crate::__hub_served_method! { $what [$($kept)* #[$($attribute)*]] $name $($rest)* }
    };

    // What is called: clients with what they read, owned.
    ([receivers $visible:vis] [$($kept:tt)*] $name:tt
        fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?)
    ) => {
        $($kept)*
        $visible async fn $method(
            &self $(, $argument: impl $crate::server::method::SentAs<$Argument>)*
        ) -> ::std::result::Result<(), $crate::server::error::SendError> {
            self.0.send($crate::__hub_name!($name $method), ($($argument,)*)).await
        }
    };
    // Of many clients no answer is expected.
    ([receivers $visible:vis] $kept:tt $name:tt $($rest:tt)*) => {};
    ([client $visible:vis] [$($kept:tt)*] $name:tt
        fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?)
    ) => {
        $($kept)*
        $visible async fn $method(
            &self $(, $argument: impl $crate::server::method::SentAs<$Argument>)*
        ) -> ::std::result::Result<(), $crate::server::error::SendError> {
            self.0.send($crate::__hub_name!($name $method), ($($argument,)*)).await
        }
    };
    ([client $visible:vis] [$($kept:tt)*] $name:tt
        fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?) -> $Result:ty
    ) => {
        $($kept)*
        $visible async fn $method(
            &self $(, $argument: impl $crate::server::method::SentAs<$Argument>)*
        ) -> ::std::result::Result<$Result, $crate::server::error::ClientResultError> {
            self.0.invoke($crate::__hub_name!($name $method), ($($argument,)*)).await
        }
    };

    // What is served: the arguments as the server owns them.
    ([trait $($what:tt)*] $kept:tt $name:tt
        $(send)? fn $method:ident ($($argument:tt)*) $(-> $Result:ty)?
    ) => {
        $crate::__hub_owned! { { [trait $($what)*] $kept $name [fn $method $(-> $Result)?] } [] [] $($argument)* }
    };
    ([serve $($what:tt)*] $kept:tt $name:tt
        $(send)? fn $method:ident ($($argument:tt)*) $(-> $Result:ty)?
    ) => {
        $crate::__hub_owned! { { [serve $($what)*] $kept $name [fn $method $(-> $Result)?] } [] [] $($argument)* }
    };
    ($what:tt $kept:tt $name:tt stream fn $method:ident ($($argument:tt)*) -> $Item:ty) => {
        $crate::__hub_owned! { { $what $kept $name [stream $method -> $Item] } [] [] $($argument)* }
    };

    // A mistake, which `__hub_method!` explains.
    ($what:tt $kept:tt $name:tt $($other:tt)*) => {};
}

/// Makes owned types of the arguments of a method that is served: `{method} [groups around] [done] to do…`. The references may
/// stand anywhere in a type.
#[cfg(all(native, feature = "server"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_owned {
    // The end, of all arguments or of what stands in a group.
    ({ $($method:tt)* } [] $done:tt) => {
        $crate::__hub_served! { $($method)* $done }
    };
    ($method:tt [{ ($($before:tt)*) [$($after:tt)*] } $($around:tt)*] [$($done:tt)*]) => {
        $crate::__hub_owned! { $method [$($around)*] [$($before)* ($($done)*)] $($after)* }
    };
    ($method:tt [{ [$($before:tt)*] [$($after:tt)*] } $($around:tt)*] [$($done:tt)*]) => {
        $crate::__hub_owned! { $method [$($around)*] [$($before)* [$($done)*]] $($after)* }
    };
    ($method:tt $around:tt [$($done:tt)*] & $($life:lifetime)? str $($rest:tt)*) => {
        $crate::__hub_owned! { $method $around [$($done)* ::std::string::String] $($rest)* }
    };
    ($method:tt $around:tt $done:tt & $($life:lifetime)? [$Item:ty; $length:expr] $($rest:tt)*) => {
        $crate::__hub_owned! { $method $around $done [$Item; $length] $($rest)* }
    };
    ($method:tt $around:tt [$($done:tt)*] & $($life:lifetime)? [$($item:tt)*] $($rest:tt)*) => {
        $crate::__hub_owned! { $method $around [$($done)* ::std::vec::Vec<] $($item)* > $($rest)* }
    };
    ($method:tt $around:tt $done:tt & $($life:lifetime)? $($rest:tt)*) => {
        $crate::__hub_owned! { $method $around $done $($rest)* }
    };
    ($method:tt $around:tt $done:tt && $($rest:tt)*) => {
        $crate::__hub_owned! { $method $around $done & $($rest)* }
    };
    ($method:tt $around:tt [$($done:tt)*] $(::)? hubwire::Upload $($rest:tt)*) => {
        $crate::__hub_owned! { $method $around [$($done)* $crate::server::Incoming] $($rest)* }
    };
    ($method:tt $around:tt [$($done:tt)*] Upload $($rest:tt)*) => {
        $crate::__hub_owned! { $method $around [$($done)* $crate::server::Incoming] $($rest)* }
    };
    ({ [trait $($what:tt)*] $($method:tt)* } $around:tt $done:tt impl $($rest:tt)*) => {
        ::std::compile_error! { "a server has to know what it reads: give the argument a type, not an `impl …`" }
    };
    ({ [serve $($what:tt)*] $($method:tt)* } $around:tt $done:tt impl $($rest:tt)*) => {};
    // What stands in a group.
    ($method:tt [$($around:tt)*] [$($done:tt)*] ($($inner:tt)*) $($rest:tt)*) => {
        $crate::__hub_owned! { $method [{ ($($done)*) [$($rest)*] } $($around)*] [] $($inner)* }
    };
    ($method:tt [$($around:tt)*] [$($done:tt)*] [$($inner:tt)*] $($rest:tt)*) => {
        $crate::__hub_owned! { $method [{ [$($done)*] [$($rest)*] } $($around)*] [] $($inner)* }
    };
    // Token by token, so that errors of the compiler point at the type.
    ($method:tt $around:tt [$($done:tt)*] $next:tt $($rest:tt)*) => {
        $crate::__hub_owned! { $method $around [$($done)* $next] $($rest)* }
    };
}

/// One method whose arguments are owned: of the trait, or given to the builder.
#[cfg(all(native, feature = "server"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_served {
    ([trait $Hub:ident] [$($kept:tt)*] $name:tt [fn $method:ident $(-> $Result:ty)?]
        [$($argument:ident: $Argument:ty),* $(,)?]
    ) => {
        $($kept)*
        fn $method(
            &self,
            who: $crate::server::Caller<$Hub, Self::Session>
            $(, $argument: $Argument)*
        ) -> impl ::std::future::Future<Output = $crate::server::HubResult$(<$Result>)?> + ::std::marker::Send;
    };
    ([trait $Hub:ident] [$($kept:tt)*] $name:tt [stream $method:ident -> $Item:ty]
        [$($argument:ident: $Argument:ty),* $(,)?]
    ) => {
        $($kept)*
        fn $method(
            &self,
            who: $crate::server::Caller<$Hub, Self::Session>
            $(, $argument: $Argument)*
        ) -> impl $crate::__private::Stream<Item = $crate::server::HubResult<$Item>> + ::std::marker::Send;
    };
    ([serve $builder:ident $hub:ident $Served:ident $Server:ident] [$($kept:tt)*] $name:tt
        [fn $method:ident $(-> $Result:ty)?] [$($argument:ident: $Argument:ty),* $(,)?]
    ) => {
        $($kept)*
        {
            // Errors of the compiler point at the contract's type.
            $($crate::__private::reads::<$Argument>();)*
            $($crate::__private::writes::<$Result>();)?
            let hub = $hub.clone();
            $builder = $builder.on(
                $crate::__hub_name!($name $method),
                move |caller: $crate::server::Caller $(, $argument: $Argument)*| {
                    let hub = hub.clone();
                    async move {
                        let who = $crate::__private::typed(&caller)?;
                        <$Served as $Server>::$method(&hub, who $(, $argument)*).await
                    }
                },
            );
        }
    };
    ([serve $builder:ident $hub:ident $Served:ident $Server:ident] [$($kept:tt)*] $name:tt
        [stream $method:ident -> $Item:ty] [$($argument:ident: $Argument:ty),* $(,)?]
    ) => {
        $($kept)*
        {
            $($crate::__private::reads::<$Argument>();)*
            $crate::__private::writes::<$Item>();
            let hub = $hub.clone();
            $builder = $builder.stream(
                $crate::__hub_name!($name $method),
                move |caller: $crate::server::Caller $(, $argument: $Argument)*| {
                    let hub = hub.clone();
                    // The stream borrows the hub, which lives as long as this block.
                    $crate::__private::items(move |to: $crate::__private::Taker<$Item>| async move {
                        match $crate::__private::typed(&caller) {
                            ::std::result::Result::Ok(who) => {
                                to.all(<$Served as $Server>::$method(&hub, who $(, $argument)*)).await
                            }
                            ::std::result::Result::Err(error) => to.error(error).await,
                        }
                    })
                },
            );
        }
    };
}
