//! What a codec of the core needs besides, to work on the platform's frames.

use crate::core::codec::{Codec, Frame as Bytes, RawCodec};
use crate::core::negotiate::TransferFormat;
use crate::platform::{Frame, MaybeSend};

/// A hub protocol on this platform.
pub(crate) trait WireCodec: Codec<Out: MaybeSend, Decoder: MaybeSend> + MaybeSend + 'static {
    /// A frame as it is kept while its messages are read.
    type Held;

    /// Takes a frame of the transport's.
    fn hold(frame: Frame) -> Self::Held;

    /// The frame for the codec.
    fn view(held: &Self::Held) -> Self::Frame<'_>;

    /// Messages on their way, as one frame.
    fn frame(&self, out: Self::Out) -> Frame;
}

/// The bytes of a frame that came, which its messages borrow from.
pub(crate) struct Received {
    is_text: bool,
    bytes: crate::platform::SharedBytes,
}

impl Received {
    /// All of it, at the price of a counter.
    #[cfg(feature = "client")]
    pub(crate) fn bytes(&self) -> &crate::platform::SharedBytes {
        &self.bytes
    }
}

impl WireCodec for RawCodec {
    type Held = Received;

    fn hold(frame: Frame) -> Received {
        Received { is_text: frame.is_text(), bytes: frame.into_bytes() }
    }

    fn view(held: &Received) -> Bytes<'_> {
        Bytes { is_text: held.is_text, bytes: &held.bytes }
    }

    fn frame(&self, out: Vec<u8>) -> Frame {
        match self.format() {
            TransferFormat::Text => Frame::text(out),
            TransferFormat::Binary => Frame::binary(out),
        }
    }
}
