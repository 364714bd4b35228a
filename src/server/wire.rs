//! The machine of a connection with its transport, its clock, and the transports that come later.

use std::{
    future::{pending, poll_fn},
    mem,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{self, Instant, Sleep},
};

use crate::{
    core::{
        HubProtocol, Moment,
        negotiate::Transport as Kind,
        server::{ServerMachine, Transmit, TransportError},
    },
    server::{
        codec::{Out, SharedCodec},
        disturbance::Disturbed,
        exchange::Closed,
        message::Frame,
        transport::{Broken, Transport},
        woken::Woken,
    },
};

/// A timer that does not run out soon. The machine's moments may lie further away than a timer can reach.
const FAR: Duration = Duration::from_secs(24 * 3600);

/// Ends when a client is to be cut off.
pub(super) type Cut = Pin<Box<dyn Future<Output = ()> + Send>>;

pub(super) struct Wire {
    pub(super) machine: ServerMachine<SharedCodec>,
    /// None while a stateful connection waits for another one.
    pub(super) transport: Option<Transport>,
    /// What comes seldom.
    pub(super) seldom: Seldom,
    /// How many transports there have been.
    pub(super) generation: u64,
    epoch: Instant,
    /// Waits for the next frame of this very transport.
    pub(super) reading: Woken,
    /// Whether that has to wait for something to be sent.
    pub(super) is_flushing: bool,
    /// How many bytes were given to its transports since somebody has taken the number.
    pub(super) written: usize,
    /// Waits for all that comes seldom, here and at the connection's end.
    pub(super) rare: Woken,
}

/// What comes seldom to a wire.
pub(super) struct Seldom {
    /// The next transports.
    resumed: Option<mpsc::Receiver<Transport>>,
    timer: Pin<Box<Sleep>>,
}

impl Seldom {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(resumed) = &mut self.resumed
            && let Poll::Ready(Some(transport)) = resumed.poll_recv(cx)
        {
            return Poll::Ready(Event::Transport(transport));
        }
        self.timer.as_mut().poll(cx).map(|()| Event::Timeout)
    }
}

/// What a wire waits for.
pub(super) enum Event {
    Received(Result<Option<Frame>, Broken>),
    /// The client has another transport.
    Transport(Transport),
    Timeout,
}

/// How a write has ended.
enum Write {
    Taken(Result<(), Closed>),
    Superseded(Transport),
}

impl Wire {
    pub(super) fn new(
        machine: ServerMachine<SharedCodec>,
        transport: Transport,
        resumed: Option<mpsc::Receiver<Transport>>,
    ) -> Self {
        Self {
            machine,
            transport: Some(transport),
            seldom: Seldom { resumed, timer: Box::pin(time::sleep(Duration::ZERO)) },
            generation: 0,
            epoch: Instant::now(),
            reading: Woken::new(),
            is_flushing: false,
            written: 0,
            rare: Woken::new(),
        }
    }

    /// What carries it, or did.
    pub(super) fn kind(&self) -> Kind {
        self.transport.as_ref().map_or(Kind::WebSockets, Transport::kind)
    }

    pub(super) fn now(&self) -> Moment {
        Moment::from_epoch(self.epoch.elapsed())
    }

    /// Has the timer run out when the machine wants it to.
    pub(super) fn arm(&mut self) {
        if arm(&mut self.seldom.timer, self.epoch, self.machine.poll_timeout()) {
            self.rare.again();
        }
    }

    /// A frame that is there already.
    pub(super) async fn gathered(&mut self) -> Option<Event> {
        if !self.machine.may_read() {
            return None;
        }
        let Self { transport, reading, is_flushing, .. } = self;
        let always = !stays_registered(transport.as_ref());
        let mut receive = pin!(receive(transport, is_flushing));
        poll_fn(|cx| match reading.poll(cx, always, |cx| receive.as_mut().poll(cx)) {
            Poll::Ready(received) => Poll::Ready(Some(Event::Received(received))),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    /// Goes on with another transport, in the place of the one before, if the connection can.
    pub(super) fn resume(&mut self, transport: Transport) {
        let now = self.now();
        if self.machine.handle_transport(now).is_ok() {
            self.transport = Some(transport);
            self.generation += 1;
            self.reading.again();
        }
    }

    /// The transport is gone, and another one may come.
    pub(super) fn detach(&mut self) {
        self.transport = None;
    }

    pub(super) fn handle_timeout(&mut self) {
        if let Some(seen) = self.transport.as_ref().and_then(Transport::last_seen) {
            self.machine.handle_seen(Moment::from_epoch(seen.saturating_duration_since(self.epoch)));
        }
        let now = self.now();
        self.machine.handle_timeout(now);
    }

    /// Sends what the machine has for the transport, unless `disturbed` says that it is lost. Returns whether there was anything.
    pub(super) async fn transmit(
        &mut self,
        mut cut: Option<&mut Cut>,
        disturbed: impl FnOnce() -> Disturbed,
    ) -> bool {
        let Some(transmit) = self.machine.poll_transmit(self.now()) else { return false };
        let frames = self.frames(transmit);
        self.written += frames.iter().map(Frame::len).sum::<usize>();
        let Self { machine, transport, seldom, epoch, rare, .. } = self;
        let Some(transport) = transport else { return true };
        let disturbed = disturbed();
        let written = {
            let mut write = pin!(async {
                if !disturbed.delay.is_zero() {
                    Box::pin(time::sleep(disturbed.delay)).await;
                }
                if disturbed.is_lost { Ok(()) } else { transport.write(frames).await }
            });
            // In most cases there is room.
            let written = poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await;
            if let Poll::Ready(written) = written {
                Write::Taken(written)
            } else {
                // What is waited for here is woken for this, and not for what waits elsewhere.
                rare.again();
                loop {
                    arm(&mut seldom.timer, *epoch, machine.poll_timeout());
                    tokio::select! {
                        biased;
                        written = &mut write => break Write::Taken(written),
                        event = poll_fn(|cx| seldom.poll(cx)) => match event {
                            Event::Transport(transport) => break Write::Superseded(transport),
                            _ => machine.handle_timeout(Moment::from_epoch(epoch.elapsed())),
                        },
                        () = is_cut(cut.as_deref_mut()) => machine.abort(),
                    }
                    if !machine.has_transport() {
                        return true;
                    }
                }
            }
        };
        if mem::take(&mut self.is_flushing) {
            self.reading.again();
        }
        let now = self.now();
        match written {
            Write::Taken(Ok(())) => self.machine.handle_transmitted(now),
            Write::Taken(Err(Closed)) => {
                let error = TransportError::new("the client takes nothing any more");
                self.machine.handle_transport_closed(now, error);
            }
            Write::Superseded(transport) => self.resume(transport),
        }
        true
    }

    fn frames(&self, transmit: Transmit<Out>) -> Vec<Frame> {
        let protocol = self.machine.codec().map_or(HubProtocol::Json, |codec| codec.0);
        match transmit {
            Transmit::Handshake(record) => vec![Frame::new(protocol, record)],
            Transmit::Messages(out) => out.into_frames(protocol),
        }
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) {
        let mut last = Vec::new();
        while let Some(transmit) = self.machine.poll_transmit(self.now()) {
            last.extend(self.frames(transmit));
            self.machine.handle_transmitted(self.now());
        }
        if let Some(transport) = self.transport {
            transport.close(last).await;
        }
    }
}

/// Lets a timer run out at a moment, if it would do so later, and tells whether it would. One that runs out too early does
/// no harm.
fn arm(timer: &mut Pin<Box<Sleep>>, epoch: Instant, due: Option<Moment>) -> bool {
    let due = due
        .map(|due| epoch + due.since_epoch().min(epoch.elapsed() + FAR))
        .unwrap_or_else(|| Instant::now() + FAR);
    let is_later = timer.is_elapsed() || due < timer.deadline();
    if is_later {
        timer.as_mut().reset(due);
    }
    is_later
}

/// Whether what waits for the next frame is woken even if it was abandoned meanwhile.
pub(super) fn stays_registered(transport: Option<&Transport>) -> bool {
    matches!(transport, Some(Transport::WebSocket(_)))
}

pub(super) async fn receive(
    transport: &mut Option<Transport>,
    is_flushing: &mut bool,
) -> Result<Option<Frame>, Broken> {
    match transport {
        Some(transport) => transport.receive_after(is_flushing).await,
        None => pending().await,
    }
}

async fn is_cut(cut: Option<&mut Cut>) {
    match cut {
        Some(cut) => cut.await,
        None => pending().await,
    }
}
