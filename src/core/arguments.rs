//! The arguments of a call: a list of values of different types.

use serde::Serialize;

/// What can be passed as the arguments of a hub method: a tuple of up to eight values, `()` for none, or a slice,
/// an array or a `Vec` of values of one type.
///
/// One argument is a tuple with a comma: `("hello",)`. A `Vec` is the list of arguments itself; to pass a list as
/// one argument, write `(list,)`.
pub trait Arguments: sealed::Sealed {
    /// The list as a JSON array.
    ///
    /// # Errors
    /// When a value does not serialize to JSON, such as a map with keys that are no texts.
    fn to_json(&self) -> Result<String, serde_json::Error>;
}

mod sealed {
    pub trait Sealed {}
}

impl sealed::Sealed for () {}

impl Arguments for () {
    fn to_json(&self) -> Result<String, serde_json::Error> {
        Ok("[]".to_owned())
    }
}

macro_rules! serialized {
    ($([$($parameter:tt)*] $type:ty;)*) => {
        $(
            impl<$($parameter)*> sealed::Sealed for $type {}

            impl<$($parameter)*> Arguments for $type {
                fn to_json(&self) -> Result<String, serde_json::Error> {
                    serde_json::to_string(self)
                }
            }
        )*
    };
}

serialized! {
    [A: Serialize] (A,);
    [A: Serialize, B: Serialize] (A, B);
    [A: Serialize, B: Serialize, C: Serialize] (A, B, C);
    [A: Serialize, B: Serialize, C: Serialize, D: Serialize] (A, B, C, D);
    [A: Serialize, B: Serialize, C: Serialize, D: Serialize, E: Serialize] (A, B, C, D, E);
    [A: Serialize, B: Serialize, C: Serialize, D: Serialize, E: Serialize, F: Serialize] (A, B, C, D, E, F);
    [A: Serialize, B: Serialize, C: Serialize, D: Serialize, E: Serialize, F: Serialize, G: Serialize]
        (A, B, C, D, E, F, G);
    [A: Serialize, B: Serialize, C: Serialize, D: Serialize, E: Serialize, F: Serialize, G: Serialize, H: Serialize]
        (A, B, C, D, E, F, G, H);
    [T: Serialize] [T];
    [T: Serialize] Vec<T>;
}

impl<T: Serialize, const N: usize> sealed::Sealed for [T; N] {}

impl<T: Serialize, const N: usize> Arguments for [T; N] {
    fn to_json(&self) -> Result<String, serde_json::Error> {
        self.as_slice().to_json()
    }
}

impl<T: sealed::Sealed + ?Sized> sealed::Sealed for &T {}

impl<T: Arguments + ?Sized> Arguments for &T {
    fn to_json(&self) -> Result<String, serde_json::Error> {
        (**self).to_json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(arguments: impl Arguments) -> Option<String> {
        arguments.to_json().ok()
    }

    #[test]
    fn every_shape_is_a_json_array() {
        assert_eq!(json(()).as_deref(), Some("[]"));
        assert_eq!(json(("a",)).as_deref(), Some(r#"["a"]"#));
        assert_eq!(json((1, "b", [2.5], None::<u8>, true, (), 'x', vec!["y"])).as_deref(), {
            Some(r#"[1,"b",[2.5],null,true,null,"x",["y"]]"#)
        });
        assert_eq!(json(vec![1, 2]).as_deref(), Some("[1,2]"));
        assert_eq!(json(&[1, 2][..]).as_deref(), Some("[1,2]"));
        assert_eq!(json([(); 0]).as_deref(), Some("[]"));
        assert_eq!(json((vec![1, 2],)).as_deref(), Some("[[1,2]]"));
    }

    #[test]
    fn what_json_cannot_say_is_an_error() {
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!((map,).to_json().is_err());
    }
}
