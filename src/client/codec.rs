use crate::core::ProtocolError;
use crate::core::message::HubMessage;
use crate::core::negotiate::TransferFormat;
use crate::platform::{Frame, MaybeSend};

/// A hub protocol, and a way to carry payloads: as bytes for Rust, as JavaScript values for JavaScript.
///
/// A clone that has decoded nothing yet begins a new connection.
pub(crate) trait Codec: Clone + MaybeSend + 'static {
    /// What arguments, items and results are while they pass through.
    type Payload<'a>;
    /// Messages on their way to the socket.
    type Out: Default + MaybeSend;

    /// The name in the handshake.
    fn name(&self) -> &str;

    /// What a transport has to carry.
    fn format(&self) -> TransferFormat;

    /// Reads every message of a frame.
    fn decode(
        &mut self,
        frame: &Frame,
        each: &mut dyn for<'m> FnMut(HubMessage<'m, Self::Payload<'m>>),
    ) -> Result<(), ProtocolError>;

    /// Adds a message to the end.
    fn write(&self, out: &mut Self::Out, message: &HubMessage<'_, Self::Payload<'_>>);

    /// Adds messages that were written before to the end.
    fn append(out: &mut Self::Out, more: &Self::Out);

    /// Roughly how many bytes wait.
    fn waiting(out: &Self::Out) -> usize;

    /// Everything that waits, as one frame.
    fn frame(&self, out: Self::Out) -> Frame;
}
