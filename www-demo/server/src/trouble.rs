//! Network trouble on demand: a proxy in front of the service, for the demo only.
//!
//! Every connection carries one request, or one WebSocket, of a client whose token says who it is; so trouble can be
//! made for one user alone. A request's head is read and may be refused; the rest is passed on as it comes.

use std::{
    collections::HashMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hubwire::ClientToken;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

/// The longest head of a request: a token has up to 4 096 characters.
const MAX_HEAD: usize = 16 * 1024;
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const CHUNK: usize = 16 * 1024;
/// How many chunks may be on their way: enough for a file while they are delayed.
const ON_THE_WAY: usize = 256;
const MAX_DELAY: u64 = 5_000;
const MAX_REFUSAL: u64 = 60_000;
/// How many tokens of a user are remembered, to expire them.
const MAX_TOKENS: usize = 64;
const MAX_USERS: usize = 1_000;

/// What a user can ask for.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub(crate) enum Trouble {
    /// Cuts all connections.
    Drop,
    /// Holds everything up, both ways, for so many milliseconds.
    Delay { milliseconds: u64 },
    /// Cuts all connections, and takes no new ones for so many milliseconds.
    Refuse { milliseconds: u64 },
    /// Cuts all connections, and answers 401 to every token used so far, as if they had expired.
    Expire,
}

/// The network of one user.
#[derive(Debug)]
struct Line {
    delay: watch::Sender<Duration>,
    /// Counts the cuts.
    cuts: watch::Sender<u64>,
    refuses_until: Instant,
    tokens: Vec<String>,
    expired: Vec<String>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            delay: watch::Sender::default(),
            cuts: watch::Sender::default(),
            refuses_until: Instant::now(),
            tokens: Vec::new(),
            expired: Vec::new(),
        }
    }
}

/// How a connection is to be treated.
enum Passage {
    Open { delay: watch::Receiver<Duration>, cuts: watch::Receiver<u64> },
    Expired,
    Refused,
}

/// See the [module's text](self).
#[derive(Debug)]
pub(crate) struct Network {
    origin: String,
    service: u16,
    lines: Mutex<HashMap<String, Line>>,
}

impl Network {
    /// Listens on a free port for what is meant for the service.
    pub(crate) async fn start(service: u16) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let network = Arc::new(Self { origin, service, lines: Mutex::default() });
        let accepting = Arc::clone(&network);
        tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((client, _)) => {
                        let network = accepting.clone();
                        tokio::spawn(async move {
                            if let Err(error) = network.carry(client).await {
                                tracing::debug!(%error, "a connection through the proxy ended");
                            }
                        });
                    }
                    // Out of file descriptors, for instance: it passes.
                    Err(error) => {
                        tracing::warn!(%error, "the proxy could not take a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        });
        Ok(network)
    }

    /// The address for clients.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// Makes trouble for a user; returns how many connections are open.
    pub(crate) fn make(&self, user: &str, trouble: Trouble) -> usize {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(user) else { return 0 };
        let cut = |line: &Line| line.cuts.send_modify(|cuts| *cuts += 1);
        match trouble {
            Trouble::Drop => cut(line),
            Trouble::Delay { milliseconds } => {
                line.delay.send_replace(Duration::from_millis(milliseconds.min(MAX_DELAY)));
            }
            Trouble::Refuse { milliseconds } => {
                line.refuses_until = Instant::now() + Duration::from_millis(milliseconds.min(MAX_REFUSAL));
                cut(line);
            }
            Trouble::Expire => {
                line.expired = std::mem::take(&mut line.tokens);
                cut(line);
            }
        }
        line.cuts.receiver_count()
    }

    fn passage(&self, token: Option<&str>) -> Passage {
        // Preflights have no token; what has none that can be read is the service's to refuse.
        let user = token.and_then(|token| {
            let parsed = ClientToken::parse(token).ok()?;
            Some((token, parsed.user_id()?.into_owned()))
        });
        let Some((token, user)) = user else {
            return Passage::Open {
                delay: watch::Sender::default().subscribe(),
                cuts: watch::Sender::default().subscribe(),
            };
        };
        let mut lines = self.lines();
        if lines.len() >= MAX_USERS {
            lines.retain(|_, line| line.cuts.receiver_count() > 0);
        }
        let line = lines.entry(user).or_default();
        if line.refuses_until > Instant::now() {
            return Passage::Refused;
        }
        if line.expired.iter().any(|expired| expired == token) {
            return Passage::Expired;
        }
        if !line.tokens.iter().any(|known| known == token) {
            if line.tokens.len() == MAX_TOKENS {
                line.tokens.remove(0);
            }
            line.tokens.push(token.to_owned());
        }
        Passage::Open { delay: line.delay.subscribe(), cuts: line.cuts.subscribe() }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let Some((head, rest)) = timeout(HEAD_TIMEOUT, read_head(&mut client)).await?? else { return Ok(()) };
        let (delay, mut cuts) = match self.passage(token_in(&head)) {
            Passage::Open { delay, cuts } => (delay, cuts),
            Passage::Refused => return Ok(()),
            Passage::Expired => {
                client.write_all(expired(&head).as_bytes()).await?;
                return client.shutdown().await;
            }
        };
        let mut service = TcpStream::connect((Ipv4Addr::LOCALHOST, self.service)).await?;
        service.set_nodelay(true)?;
        let mut first = one_request(&head).into_bytes();
        first.extend(rest);
        let (from_client, to_client) = client.split();
        let (from_service, to_service) = service.split();
        tokio::select! {
            carried = async {
                tokio::try_join!(
                    pump(first, from_client, to_service, &delay),
                    pump(Vec::new(), from_service, to_client, &delay),
                )
            } => carried.map(drop),
            // The sockets are dropped with whatever was on its way.
            _ = cuts.changed(), if cuts.has_changed().is_ok() => Ok(()),
        }
    }
}

/// Carries bytes one way, each chunk as late as the delay says when it comes.
async fn pump(
    first: Vec<u8>,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: &watch::Receiver<Duration>,
) -> io::Result<()> {
    let (queue, mut waiting) = mpsc::channel::<(Instant, Vec<u8>)>(ON_THE_WAY);
    let due = || Instant::now() + *delay.borrow();
    let read = async move {
        if !first.is_empty() && queue.send((due(), first)).await.is_err() {
            return Ok(());
        }
        loop {
            let mut chunk = Vec::with_capacity(CHUNK);
            if from.read_buf(&mut chunk).await? == 0 || queue.send((due(), chunk)).await.is_err() {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = waiting.recv().await {
            sleep_until(due).await;
            to.write_all(&chunk).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

/// The head of a request, with the empty line at its end, and what came after it; nothing if the client left.
async fn read_head(client: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = bytes.split_off(end + 4);
            let head = String::from_utf8(bytes);
            return head.map(|head| Some((head, rest))).map_err(|_| io::ErrorKind::InvalidData.into());
        }
        if bytes.len() > MAX_HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (known, value) = line.split_once(':')?;
        known.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// The client token: that of a browser's WebSocket is in its URL.
fn token_in(head: &str) -> Option<&str> {
    if let Some(token) = header(head, "authorization").and_then(|value| value.strip_prefix("Bearer ")) {
        return Some(token);
    }
    let (_, query) = head.lines().next()?.split(' ').nth(1)?.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("access_token="))
}

/// The head with which the service closes the connection after its answer, unless it is a WebSocket's.
fn one_request(head: &str) -> String {
    if header(head, "upgrade").is_some() {
        return head.to_owned();
    }
    let named =
        |line: &str| line.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("connection"));
    let kept = head.trim_end().split("\r\n").filter(|line| !named(line)).collect::<Vec<_>>().join("\r\n");
    format!("{kept}\r\nConnection: close\r\n\r\n")
}

/// What the service says to a token that has expired.
fn expired(head: &str) -> String {
    const TEXT: &str = "The client token was refused: it has expired.";
    let mut answer = format!(
        "HTTP/1.1 401 Unauthorized\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\
         WWW-Authenticate: Bearer error=\"invalid_token\"\r\n",
        TEXT.len()
    );
    if let Some(origin) = header(head, "origin") {
        answer += &format!(
            "Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n"
        );
    }
    answer + "\r\n" + TEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "POST /client/negotiate?hub=chat HTTP/1.1\r\nHost: x\r\nconnection: keep-alive\r\nAuthorization: Bearer a.b.c\r\n\r\n";

    #[test]
    fn a_token_is_found_where_clients_put_it() {
        assert_eq!(token_in(HEAD), Some("a.b.c"));
        assert_eq!(token_in("GET /client/?id=1&access_token=d.e.f HTTP/1.1\r\n\r\n"), Some("d.e.f"));
        assert_eq!(token_in("OPTIONS /client/negotiate HTTP/1.1\r\n\r\n"), None);
        assert_eq!(token_in(""), None);
    }

    #[test]
    fn connections_carry_one_request() {
        let head = one_request(HEAD);
        assert!(head.ends_with("Bearer a.b.c\r\nConnection: close\r\n\r\n"), "{head}");
        assert!(!head.contains("keep-alive"));
        let socket = "GET /client/ HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        assert_eq!(one_request(socket), socket);
    }

    #[tokio::test]
    async fn bytes_come_late_whole_and_in_order() {
        let (sender, delay) = watch::channel(Duration::from_millis(30));
        let (mut near, proxy) = tokio::io::duplex(64);
        let (proxy_far, mut far) = tokio::io::duplex(64);
        let started = Instant::now();
        let ends = async {
            near.write_all(b"second ").await?;
            // The proxy has taken both by now; what comes after them is not late, but waits for them.
            tokio::task::yield_now().await;
            sender.send_replace(Duration::ZERO);
            near.write_all(b"third").await?;
            drop(near);
            let mut text = String::new();
            far.read_to_string(&mut text).await.map(|_| text)
        };
        let (pumped, text) = tokio::join!(pump(b"first ".to_vec(), proxy, proxy_far, &delay), ends);
        pumped.unwrap();
        assert_eq!(text.unwrap(), "first second third");
        assert!(started.elapsed() >= Duration::from_millis(30));
    }
}
