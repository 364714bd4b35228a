//! What `hub!` hands on to [`typescript`](https://docs.rs/hubwire/latest/hubwire/typescript/): names, documentation and types.

/// A hub that describes itself: `[condition] [documentation] attributes… Hub [Client] [{method}…]`, and then the same of
/// its client. There is no condition without an attribute `#[typescript]`, and then no description.
#[cfg(all(native, feature = "typescript"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_description {
    ([] $docs:tt #[typescript] $($rest:tt)*) => {
        $crate::__hub_description! { [all()] $docs $($rest)* }
    };
    ([] $docs:tt #[cfg_attr($condition:meta, typescript)] $($rest:tt)*) => {
        $crate::__hub_description! { [$condition] $docs $($rest)* }
    };
    ($condition:tt [$($doc:expr,)*] #[doc = $text:expr] $($rest:tt)*) => {
        $crate::__hub_description! { $condition [$($doc,)* $text,] $($rest)* }
    };
    ($condition:tt $docs:tt #[$($attribute:tt)*] $($rest:tt)*) => {
        $crate::__hub_description! { $condition $docs $($rest)* }
    };

    ([] $docs:tt $Hub:ident $($rest:tt)*) => {};
    ([$condition:meta] $docs:tt $Hub:ident [$($Client:ident)?] $methods:tt
        $([$($client_about:tt)*] $Called:ident $client_methods:tt)?
    ) => {
        $crate::__hub_interface! { [$condition] $docs $Hub [$($Client)?] $methods }
        $(
            $crate::__hub_description! { [$condition] [] $($client_about)* $Called [] $client_methods }
        )?
    };
}

/// Nothing is described.
#[cfg(not(all(native, feature = "typescript")))]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_description {
    ($($anything:tt)*) => {};
}

/// One of the two traits: `[condition] [documentation] Name [Client] [{method}…]`.
#[cfg(all(native, feature = "typescript"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_interface {
    ([$condition:meta] [$($doc:expr,)*] $Name:ident [$($Client:ident)?] [$({ $($method:tt)* })*]) => {
        #[cfg($condition)]
        impl $crate::typescript::Contract for $Name {
            fn describe(description: &mut $crate::typescript::Description<'_>) {
                description.interface(::std::stringify!($Name), &[$($doc),*]);
                $($crate::__hub_described_method! { description [] [] [] $($method)* })*
                $(<$Client as $crate::typescript::Contract>::describe(description);)?
            }
        }
    };
}

/// One method: `description [conditions] [documentation] [name on the wire] attributes… words… (arguments) -> result`.
#[cfg(all(native, feature = "typescript"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __hub_described_method {
    ($to:ident [$($cfg:tt)*] $docs:tt $name:tt #[cfg($($condition:tt)*)] $($rest:tt)*) => {
        $crate::__hub_described_method! { $to [$($cfg)* #[cfg($($condition)*)]] $docs $name $($rest)* }
    };
    ($to:ident $cfg:tt [$($doc:expr,)*] $name:tt #[doc = $text:expr] $($rest:tt)*) => {
        $crate::__hub_described_method! { $to $cfg [$($doc,)* $text,] $name $($rest)* }
    };
    ($to:ident $cfg:tt [$($doc:expr,)*] $name:tt #[deprecated = $note:literal] $($rest:tt)*) => {
        $crate::__hub_described_method! { $to $cfg [$($doc,)* ::std::concat!("@deprecated ", $note),] $name $($rest)* }
    };
    ($to:ident $cfg:tt [$($doc:expr,)*] $name:tt
        #[deprecated($(since = $since:literal,)? note = $note:literal $($more:tt)*)] $($rest:tt)*
    ) => {
        $crate::__hub_described_method! { $to $cfg [$($doc,)* ::std::concat!("@deprecated ", $note),] $name $($rest)* }
    };
    ($to:ident $cfg:tt [$($doc:expr,)*] $name:tt #[deprecated $($details:tt)*] $($rest:tt)*) => {
        $crate::__hub_described_method! { $to $cfg [$($doc,)* "@deprecated",] $name $($rest)* }
    };
    ($to:ident $cfg:tt $docs:tt $name:tt #[name = $wire:literal] $($rest:tt)*) => {
        $crate::__hub_described_method! { $to $cfg $docs [$wire] $($rest)* }
    };
    ($to:ident $cfg:tt $docs:tt $name:tt #[$($attribute:tt)*] $($rest:tt)*) => {
        $crate::__hub_described_method! { $to $cfg $docs $name $($rest)* }
    };

    ($to:ident [$($cfg:tt)*] [$($doc:expr,)*] $name:tt
        $(send)? fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?) $(-> $Result:ty)?
    ) => {
        $($cfg)*
        $to.method($crate::__hub_name!($name $method), &[$($doc),*])
            $(.argument::<$Argument>(::std::stringify!($argument)))*
            $(.result::<$Result>())?;
    };
    ($to:ident [$($cfg:tt)*] [$($doc:expr,)*] $name:tt
        stream fn $method:ident ($($argument:ident: $Argument:ty),* $(,)?) -> $Item:ty
    ) => {
        $($cfg)*
        $to.method($crate::__hub_name!($name $method), &[$($doc),*])
            $(.argument::<$Argument>(::std::stringify!($argument)))*
            .items::<$Item>();
    };
    // A mistake, which `__hub_method!` explains.
    ($to:ident $cfg:tt $docs:tt $name:tt $($other:tt)*) => {};
}
