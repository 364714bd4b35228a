//! The machine of a connection with its transport, its clock, and the transports that come later.

use std::{future::pending, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{self, Instant, Sleep},
};

use crate::{
    core::{
        HubProtocol, Moment,
        server::{ServerMachine, Transmit, TransportError},
    },
    server::{
        codec::{Out, SharedCodec},
        exchange::Closed,
        message::Frame,
        outbox::Outbox,
        transport::{Broken, Transport},
    },
};

/// A timer that does not run out soon. The machine's moments may lie further away than a timer can reach.
const FAR: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Wire {
    pub(super) machine: ServerMachine<SharedCodec>,
    /// None while a stateful connection waits for another one.
    transport: Option<Transport>,
    /// Where that comes from.
    resumed: Option<mpsc::Receiver<Transport>>,
    /// How many transports there have been.
    pub(super) generation: u64,
    epoch: Instant,
    timer: Pin<Box<Sleep>>,
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
        let timer = Box::pin(time::sleep(Duration::ZERO));
        Self { machine, transport: Some(transport), resumed, generation: 0, epoch: Instant::now(), timer }
    }

    pub(super) fn now(&self) -> Moment {
        Moment::from_epoch(self.epoch.elapsed())
    }

    /// Waits for something to happen. It can be abandoned at any time.
    pub(super) async fn next(&mut self, reads: bool) -> Event {
        let may_read = reads && self.machine.may_read();
        let Self { machine, transport, resumed, epoch, timer, .. } = self;
        arm(timer, *epoch, machine.poll_timeout());
        tokio::select! {
            received = receive(transport), if may_read => Event::Received(received),
            transport = next(resumed) => Event::Transport(transport),
            () = timer => Event::Timeout,
        }
    }

    /// Goes on with another transport, in the place of the one before, if the connection can.
    pub(super) fn resume(&mut self, transport: Transport) {
        let now = self.now();
        if self.machine.handle_transport(now).is_ok() {
            self.transport = Some(transport);
            self.generation += 1;
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

    /// Sends what the machine has for the transport. Returns whether there was anything.
    pub(super) async fn transmit(&mut self, outbox: Option<&Arc<Outbox>>) -> bool {
        let Some(transmit) = self.machine.poll_transmit(self.now()) else { return false };
        let frames = self.frames(transmit);
        let Self { machine, transport, resumed, epoch, timer, .. } = self;
        let Some(transport) = transport else { return true };
        let written = {
            let write = transport.write(frames);
            tokio::pin!(write);
            loop {
                arm(timer, *epoch, machine.poll_timeout());
                tokio::select! {
                    written = &mut write => break Write::Taken(written),
                    transport = next(resumed) => break Write::Superseded(transport),
                    () = &mut *timer => machine.handle_timeout(Moment::from_epoch(epoch.elapsed())),
                    () = cut(outbox) => machine.abort(),
                }
                if !machine.has_transport() {
                    return true;
                }
            }
        };
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

/// Lets a timer run out at a moment, if it would do so later. One that runs out too early does no harm.
fn arm(timer: &mut Pin<Box<Sleep>>, epoch: Instant, due: Option<Moment>) {
    let due = due
        .map(|due| epoch + due.since_epoch().min(epoch.elapsed() + FAR))
        .unwrap_or_else(|| Instant::now() + FAR);
    if timer.is_elapsed() || due < timer.deadline() {
        timer.as_mut().reset(due);
    }
}

async fn receive(transport: &mut Option<Transport>) -> Result<Option<Frame>, Broken> {
    match transport {
        Some(transport) => transport.receive().await,
        None => pending().await,
    }
}

async fn next(resumed: &mut Option<mpsc::Receiver<Transport>>) -> Transport {
    match resumed {
        Some(resumed) => match resumed.recv().await {
            Some(transport) => transport,
            None => pending().await,
        },
        None => pending().await,
    }
}

pub(super) async fn cut(outbox: Option<&Arc<Outbox>>) {
    match outbox {
        Some(outbox) => outbox.was_cut().await,
        None => pending().await,
    }
}
