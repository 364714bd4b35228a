//! The arguments of a call: a list of values of different types, written straight into what is sent.

use serde::Serialize;

use crate::core::HubProtocol;
#[cfg(feature = "msgpack")]
use crate::core::msgpack::write_array;
use crate::serialize::{Encoding, SerializeError, serialize};
#[cfg(feature = "client")]
use crate::upload::{Upload, UploadItems};

/// What can be passed as the arguments of a hub method: a tuple of up to eight values, `()` for none, or a slice,
/// an array or a `Vec` of values of one type.
///
/// A value is anything that serde can write; in a tuple it may also be an `Upload`, whose items follow the call.
/// One argument is a tuple with a comma: `("hello",)`. A `Vec` is the list of arguments itself; to pass a list as
/// one argument, write `(list,)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of a hub method",
    label = "these are not arguments",
    note = "arguments are a tuple of up to eight values, `()` for none, or a list of values of one type",
    note = "one argument is a tuple with a comma: `(value,)`",
    note = "each value implements `serde::Serialize`, or is a `hubwire::Upload`"
)]
pub trait Arguments: Sealed {
    /// Writes the list.
    ///
    /// # Errors
    /// When a value cannot be serialized, such as a map whose keys are not texts in JSON.
    #[doc(hidden)]
    fn write(self, writer: &mut ArgumentWriter) -> Result<(), SerializeError>;
}

/// Writes a list of arguments.
#[derive(Debug)]
pub struct ArgumentWriter {
    encoding: Encoding,
    out: Vec<u8>,
    count: usize,
    #[cfg(feature = "client")]
    uploads: Vec<UploadItems>,
    /// Takes every value too, in another protocol.
    #[cfg(feature = "msgpack")]
    also: Option<Box<Self>>,
}

impl ArgumentWriter {
    pub(crate) fn new(encoding: impl Into<Encoding>) -> Self {
        let encoding = encoding.into();
        // Most lists fit into this.
        let mut out = Vec::with_capacity(128);
        out.push(match encoding.protocol {
            HubProtocol::Json => b'[',
            // The header of up to 15 values, to be filled in at the end.
            #[cfg(feature = "msgpack")]
            HubProtocol::MessagePack => 0x90,
        });
        Self {
            encoding,
            out,
            count: 0,
            #[cfg(feature = "client")]
            uploads: Vec::new(),
            #[cfg(feature = "msgpack")]
            also: None,
        }
    }

    /// The list as bytes, and the uploads that go with it.
    #[cfg(feature = "client")]
    pub(crate) fn finish(mut self) -> (Vec<u8>, Vec<UploadItems>) {
        self.end();
        (self.out, self.uploads)
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), SerializeError> {
        match self.encoding.protocol {
            HubProtocol::Json if self.count > 0 => self.out.push(b','),
            _ => {}
        }
        self.count += 1;
        #[cfg(feature = "msgpack")]
        if let Some(also) = &mut self.also {
            also.value(value)?;
        }
        serialize(self.encoding, &mut self.out, value)
    }

    fn values<T: Serialize>(&mut self, values: &[T]) -> Result<(), SerializeError> {
        values.iter().try_for_each(|value| self.value(value))
    }

    fn end(&mut self) {
        match self.encoding.protocol {
            HubProtocol::Json => self.out.push(b']'),
            #[cfg(feature = "msgpack")]
            HubProtocol::MessagePack => match (self.out.first_mut(), self.count) {
                (Some(header), 0..=15) => *header |= self.count as u8,
                _ => {
                    let mut header = Vec::new();
                    write_array(&mut header, self.count);
                    self.out.splice(..1, header);
                }
            },
        }
    }
}

#[cfg(all(native, any(feature = "server", feature = "service")))]
impl ArgumentWriter {
    /// The list as bytes, where nothing can be uploaded.
    pub(crate) fn finish_without_uploads(mut self) -> Result<Vec<u8>, SerializeError> {
        #[cfg(feature = "client")]
        if !self.uploads.is_empty() {
            return Err(SerializeError::new(
                "an upload needs a connection to the hub; pass its items as a list",
            ));
        }
        self.end();
        Ok(self.out)
    }
}

#[cfg(all(native, any(feature = "server", feature = "service"), feature = "msgpack"))]
impl ArgumentWriter {
    /// Writes JSON and MessagePack, so that arguments which can be taken only once are written in both.
    pub(crate) fn json_and_msgpack() -> Self {
        let msgpack = Self::new(HubProtocol::MessagePack);
        Self { also: Some(Box::new(msgpack)), ..Self::new(HubProtocol::Json) }
    }

    /// The list of [`json_and_msgpack`](Self::json_and_msgpack), as JSON and as MessagePack.
    pub(crate) fn finish_both(mut self) -> Result<(Vec<u8>, Vec<u8>), SerializeError> {
        let mut msgpack =
            self.also.take().map(|also| *also).unwrap_or_else(|| Self::new(HubProtocol::MessagePack));
        msgpack.end();
        Ok((self.finish_without_uploads()?, msgpack.out))
    }
}

/// Arguments that are known when the program runs.
#[cfg(all(native, feature = "cli"))]
#[derive(Debug, Default)]
pub(crate) struct ArgumentList {
    pub(crate) values: Vec<serde_json::Value>,
    pub(crate) uploads: Vec<Upload<serde_json::Value>>,
}

#[cfg(all(native, feature = "cli"))]
impl Sealed for ArgumentList {}

#[cfg(all(native, feature = "cli"))]
impl Arguments for ArgumentList {
    fn write(self, writer: &mut ArgumentWriter) -> Result<(), SerializeError> {
        writer.values(&self.values)?;
        self.uploads.into_iter().try_for_each(|upload| upload.add(writer))
    }
}

mod sealed {
    use super::{ArgumentWriter, SerializeError};

    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be the arguments of a hub method",
        label = "these are not arguments",
        note = "arguments are a tuple of up to eight values, `()` for none, or a list of values of one type",
        note = "one argument is a tuple with a comma: `(value,)`",
        note = "each value implements `serde::Serialize`, or is a `hubwire::Upload`"
    )]
    pub trait Sealed {}

    /// One element of a tuple.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` cannot be an argument of a hub method",
        label = "serde cannot write this",
        note = "an argument implements `serde::Serialize` (`#[derive(serde::Serialize)]`), or is a `hubwire::Upload`"
    )]
    pub trait Argument {
        fn add(self, writer: &mut ArgumentWriter) -> Result<(), SerializeError>;
    }
}

use self::sealed::{Argument, Sealed};

impl<T: Serialize> Argument for T {
    fn add(self, writer: &mut ArgumentWriter) -> Result<(), SerializeError> {
        writer.value(&self)
    }
}

#[cfg(feature = "client")]
impl<T> Argument for Upload<T> {
    fn add(self, writer: &mut ArgumentWriter) -> Result<(), SerializeError> {
        writer.uploads.push(self.into_items());
        Ok(())
    }
}

macro_rules! tuples {
    ($(($($name:ident)*))*) => {
        $(
            impl<$($name: Argument),*> Sealed for ($($name,)*) {}

            impl<$($name: Argument),*> Arguments for ($($name,)*) {
                #[allow(non_snake_case, unused_variables, reason = "the names of the types are used for the values")]
                fn write(self, writer: &mut ArgumentWriter) -> Result<(), SerializeError> {
                    let ($($name,)*) = self;
                    $($name.add(writer)?;)*
                    Ok(())
                }
            }

            impl<$($name),*> Sealed for &($($name,)*) where $(for<'a> &'a $name: Argument),* {}

            impl<$($name),*> Arguments for &($($name,)*) where $(for<'a> &'a $name: Argument),* {
                #[allow(non_snake_case, unused_variables, reason = "the names of the types are used for the values")]
                fn write(self, writer: &mut ArgumentWriter) -> Result<(), SerializeError> {
                    let ($($name,)*) = self;
                    $($name.add(writer)?;)*
                    Ok(())
                }
            }
        )*
    };
}

tuples! {
    ()
    (A)
    (A B)
    (A B C)
    (A B C D)
    (A B C D E)
    (A B C D E F)
    (A B C D E F G)
    (A B C D E F G H)
}

macro_rules! lists {
    ($([$($parameter:tt)*] $type:ty;)*) => {
        $(
            impl<T: Serialize, $($parameter)*> Sealed for $type {}

            impl<T: Serialize, $($parameter)*> Arguments for $type {
                fn write(self, writer: &mut ArgumentWriter) -> Result<(), SerializeError> {
                    writer.values(&self[..])
                }
            }
        )*
    };
}

lists! {
    [] &[T];
    [] Vec<T>;
    [] &Vec<T>;
    [const N: usize] [T; N];
    [const N: usize] &[T; N];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(arguments: impl Arguments) -> String {
        let mut writer = ArgumentWriter::new(HubProtocol::Json);
        arguments.write(&mut writer).unwrap();
        writer.end();
        String::from_utf8(writer.out).unwrap()
    }

    #[test]
    fn every_shape_is_a_json_array() {
        assert_eq!(json(()), "[]");
        assert_eq!(json(("a",)), r#"["a"]"#);
        let pair = ("a", "b".to_owned());
        assert_eq!((json(&pair), json(pair)), (r#"["a","b"]"#.to_owned(), r#"["a","b"]"#.to_owned()));
        assert_eq!(
            json((1, "b", [2.5], None::<u8>, true, (), 'x', vec!["y"])),
            r#"[1,"b",[2.5],null,true,null,"x",["y"]]"#
        );
        assert_eq!(json(vec![1, 2]), "[1,2]");
        let (list, array) = (vec![1, 2], ["a".to_owned()]);
        assert_eq!(json(&list), "[1,2]");
        assert_eq!(json(&list[..]), "[1,2]");
        assert_eq!((json(&array), json(array)), (r#"["a"]"#.to_owned(), r#"["a"]"#.to_owned()));
        assert_eq!(json([(); 0]), "[]");
        assert_eq!(json((vec![1, 2],)), "[[1,2]]");
    }

    #[test]
    fn what_json_cannot_say_is_an_error() {
        let map = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!((map,).write(&mut ArgumentWriter::new(HubProtocol::Json)).is_err());
    }

    #[cfg(feature = "msgpack")]
    fn msgpack(arguments: impl Arguments) -> Vec<u8> {
        let mut writer = ArgumentWriter::new(HubProtocol::MessagePack);
        arguments.write(&mut writer).unwrap();
        writer.finish().0
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn every_shape_is_a_messagepack_array() {
        #[derive(Serialize)]
        enum Kind {
            Unit,
            Value(u8),
            Pair(u8, u8),
            Fields { a: u8 },
        }
        #[derive(Serialize)]
        struct Point {
            x: i8,
        }
        #[derive(Serialize)]
        struct Pair(u8, u8);

        assert_eq!(msgpack(()), b"\x90");
        assert_eq!(
            msgpack((1, "b", None::<u8>, true, (), 'x', [2_u8])),
            b"\x97\x01\xa1b\xc0\xc3\xc0\xa1x\x91\x02"
        );
        assert_eq!(
            msgpack((Point { x: -1 }, Pair(1, 2), (3, 4))),
            b"\x93\x81\xa1x\xff\x92\x01\x02\x92\x03\x04"
        );
        let kinds = (Kind::Unit, Kind::Value(1), Kind::Pair(1, 2), Kind::Fields { a: 1 });
        let expected = b"\x94\xa4Unit\x81\xa5Value\x01\x81\xa4Pair\x92\x01\x02\x81\xa6Fields\x81\xa1a\x01";
        assert_eq!(msgpack(kinds), expected);
        assert_eq!(msgpack((1.5_f32, 0.25_f64)), b"\x92\xca\x3f\xc0\0\0\xcb\x3f\xd0\0\0\0\0\0\0");
        assert_eq!(
            msgpack((u64::MAX, i64::MIN)),
            [&[0x92, 0xcf], &[0xff; 8][..], b"\xd3\x80\0\0\0\0\0\0\0"].concat()
        );
        for (count, header) in [(15, &b"\x9f"[..]), (16, b"\xdc\x00\x10"), (70_000, b"\xdd\x00\x01\x11\x70")]
        {
            assert_eq!(msgpack(vec![7; count]), [header, &vec![7; count]].concat());
        }
    }

    #[cfg(feature = "client")]
    #[test]
    fn uploads_are_no_values() {
        struct Never;

        impl futures_core::Stream for Never {
            type Item = u8;

            fn poll_next(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<u8>> {
                std::task::Poll::Pending
            }
        }

        let mut writer = ArgumentWriter::new(HubProtocol::Json);
        (Upload::new(Never), 1, Upload::new(Never), 2).write(&mut writer).unwrap();
        let (bytes, uploads) = writer.finish();
        assert_eq!((&bytes[..], uploads.len()), (&b"[1,2]"[..], 2));
    }
}
