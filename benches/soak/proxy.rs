//! A TCP proxy between clients and a server that cuts, truncates, holds and loses, as networks do.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time;

use crate::random::Random;
use crate::tally::Tally;

/// Bytes of one read; what is held back is never more than this for each direction.
const CHUNK: usize = 16 * 1024;

/// How long the other direction may go on after one has ended in good order.
const LINGER: Duration = Duration::from_secs(5);

/// A proxy that runs until it is dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    accepting: JoinHandle<()>,
    faults: watch::Sender<bool>,
}

impl Proxy {
    /// A proxy in front of `http://127.0.0.1:PORT`.
    pub(crate) async fn start(target: &str, seed: u64, tally: Arc<Tally>) -> io::Result<Self> {
        let target: SocketAddr = target
            .trim_start_matches("http://")
            .parse()
            .map_err(|error| io::Error::other(format!("{target}: {error}")))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (faults, on) = watch::channel(true);
        let accepting = tokio::spawn(accept(listener, target, seed, tally, on));
        Ok(Self { url, accepting, faults })
    }

    /// From here on the network is a good one, for connections that exist as well.
    pub(crate) fn end_faults(&self) {
        self.faults.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    seed: u64,
    tally: Arc<Tally>,
    faults: watch::Receiver<bool>,
) {
    let resumes = Arc::<Resumes>::default();
    for number in 0.. {
        let Ok((client, _)) = listener.accept().await else { continue };
        tally.proxied.add();
        let connection = Proxied {
            random: Random::fork(seed, number),
            tally: Arc::clone(&tally),
            resumes: Arc::clone(&resumes),
            faults: faults.clone(),
        };
        tokio::spawn(connection.run(client, target));
    }
}

/// The connection tokens that stateful WebSockets were opened with: the second time is a resume.
type Resumes = Mutex<HashMap<String, u64>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// What happens to bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Open,
    /// They wait.
    Held,
    /// Those of one direction are lost; the other goes on.
    Swallowed(Direction),
    /// The next ones of one direction arrive in part, and then nothing any more.
    Truncated(Direction),
}

struct Proxied {
    random: Random,
    tally: Arc<Tally>,
    resumes: Arc<Resumes>,
    faults: watch::Receiver<bool>,
}

impl Proxied {
    async fn run(mut self, mut client: TcpStream, target: SocketAddr) {
        let Ok(mut server) = TcpStream::connect(target).await else { return };
        // Latency is not tested here.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let reset = self.random.one_in(2);
        let (flow, flows) = watch::channel(Flow::Open);
        let part = self.random.next();
        let (resumes, tally) = (Arc::clone(&self.resumes), Arc::clone(&self.tally));
        let cut = {
            let (from_client, to_client) = client.split();
            let (from_server, to_server) = server.split();
            let up = Pump { direction: Direction::Up, flows: flows.clone(), part };
            let down = Pump { direction: Direction::Down, flows, part };
            let both = async {
                let sniff = |bytes: &[u8]| count_resume(bytes, &resumes, &tally);
                tokio::try_join!(
                    up.run(from_client, to_server, sniff),
                    down.run(from_server, to_client, |_| ())
                )
            };
            tokio::select! {
                both = both => both.is_err(),
                () = self.break_it(&flow) => true,
            }
        };
        if cut && reset {
            // A reset, which overtakes what is still under way.
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
    }

    /// Goes from fault to fault, and ends when the connection is to be cut.
    async fn break_it(&mut self, flow: &watch::Sender<Flow>) {
        loop {
            // Some do not live to see the end of their first request.
            let pause = if self.random.one_in(8) {
                self.random.millis(0..40)
            } else {
                self.random.millis(400..8_000)
            };
            if self.lasts(pause).await {
                std::future::pending::<()>().await;
            }
            let direction = if self.random.one_in(2) { Direction::Up } else { Direction::Down };
            match self.random.within(0..10) {
                0..3 => {
                    self.tally.cuts.add();
                    return;
                }
                3..6 => {
                    self.tally.truncations.add();
                    flow.send_replace(Flow::Truncated(direction));
                    // A pump ends the connection, unless there is nothing to truncate.
                    let limit = self.random.millis(1_000..10_000);
                    self.lasts(limit).await;
                    return;
                }
                6..8 => {
                    self.tally.stalls.add();
                    flow.send_replace(Flow::Held);
                    let limit = self.random.millis(50..4_000);
                    self.lasts(limit).await;
                    flow.send_replace(Flow::Open);
                }
                _ => {
                    self.tally.half_opens.add();
                    flow.send_replace(Flow::Swallowed(direction));
                    // Longer than a client's server timeout, at times.
                    let limit = self.random.millis(500..15_000);
                    self.lasts(limit).await;
                    return;
                }
            }
        }
    }

    /// Waits, but no longer than there are faults at all. Returns whether there are no more.
    async fn lasts(&mut self, limit: Duration) -> bool {
        let end = async { drop(self.faults.wait_for(|on| !on).await) };
        time::timeout(limit, end).await.is_ok()
    }
}

struct Pump {
    direction: Direction,
    flows: watch::Receiver<Flow>,
    part: u64,
}

/// The connection is to be cut.
struct Cut;

impl Pump {
    async fn run(
        mut self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        sniff: impl Fn(&[u8]),
    ) -> Result<(), Cut> {
        let mut buffer = vec![0; CHUNK];
        let mut is_first = true;
        loop {
            if *self.flows.borrow_and_update() == Flow::Held {
                self.flows.changed().await.map_err(|_| Cut)?;
                continue;
            }
            let length = tokio::select! {
                read = from.read(&mut buffer) => read.map_err(|_| Cut)?,
                changed = self.flows.changed() => {
                    changed.map_err(|_| Cut)?;
                    continue;
                }
            };
            if length == 0 {
                to.shutdown().await.map_err(|_| Cut)?;
                // The other direction may have more to bring, for a while.
                time::sleep(LINGER).await;
                return Err(Cut);
            }
            let bytes = &buffer[..length];
            if std::mem::take(&mut is_first) {
                sniff(bytes);
            }
            let flow = *self.flows.borrow();
            match flow {
                Flow::Swallowed(direction) if direction == self.direction => {}
                Flow::Truncated(direction) if direction == self.direction => {
                    let kept = (self.part % length as u64) as usize;
                    let _ = to.write_all(&bytes[..kept]).await;
                    let _ = to.flush().await;
                    return Err(Cut);
                }
                _ => to.write_all(bytes).await.map_err(|_| Cut)?,
            }
        }
    }
}

/// A WebSocket of a stateful connection is opened with the token of the connection, once more for each resume.
fn count_resume(request: &[u8], resumes: &Resumes, tally: &Tally) {
    let Some(line) = request.split(|byte| *byte == b'\r').next() else { return };
    let line = String::from_utf8_lossy(line);
    let Some(query) = line.strip_prefix("GET /stateful?") else { return };
    let query = query.split(' ').next().unwrap_or_default();
    let Some(id) = query.split('&').find_map(|pair| pair.strip_prefix("id=")) else { return };
    let mut resumes = resumes.lock().expect("no panic while it is locked");
    let opened = resumes.entry(id.to_owned()).or_default();
    *opened += 1;
    if *opened > 1 {
        tally.resumes.add();
    }
}
