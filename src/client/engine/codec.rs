//! What a codec of the core needs in addition, to work on the platform's frames.

use crate::core::client::Transmit;
use crate::core::codec::Codec;
use crate::core::codec::{Frame as Bytes, RawCodec};
use crate::core::negotiate::TransferFormat;
use crate::platform::SharedFrame;
use crate::platform::{Frame, MaybeSend};

/// A hub protocol on this platform.
pub(crate) trait WireCodec: Codec<Out: MaybeSend, Decoder: MaybeSend> + MaybeSend + 'static {
    /// A frame as it is kept while its messages are read.
    type Held;

    /// Takes a frame from the transport.
    fn hold(frame: Frame) -> Self::Held;

    /// The frame for the codec.
    fn view(held: &Self::Held) -> Self::Frame<'_>;

    /// Messages on their way, as one frame.
    fn frame(&self, out: Self::Out) -> Frame;

    /// What the machine sends next, as one frame.
    fn transmit(&self, transmit: Transmit<Self::Out>) -> Frame {
        match transmit {
            Transmit::Handshake(record) => Frame::text(record),
            Transmit::Messages(out) => self.frame(out),
        }
    }
}

impl WireCodec for RawCodec {
    type Held = SharedFrame;

    fn hold(frame: Frame) -> SharedFrame {
        frame.share()
    }

    fn view(held: &SharedFrame) -> Bytes<'_> {
        match held {
            SharedFrame::Text(text) => Bytes::Text(text),
            SharedFrame::Binary(bytes) => Bytes::Binary(bytes),
        }
    }

    fn frame(&self, out: Vec<u8>) -> Frame {
        match self.format() {
            TransferFormat::Text => Frame::text(out),
            TransferFormat::Binary => Frame::binary(out),
        }
    }
}
