//! What both sides do, with the same payloads.

use std::{
    error::Error,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    Result, Side,
    agreement::Figure,
    ours::{self, number},
    proxy::Proxy,
    servers::Place,
    theirs::{self, Client, Pace},
};

/// The text of an echo.
const ECHOED: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// How many connections of ours get each broadcast.
const AUDIENCE: u32 = 10;
/// The .NET client warms up with so many connections.
const WARM_UP_CONNECTS: u32 = 10;

pub(crate) struct Workload {
    name: String,
    kind: Kind,
}

enum Kind {
    /// Rate and latency of calls that take long.
    Calls(Calls),
    /// The bytes on the wire of each call.
    Bytes(Calls),
    /// Calls without an answer, counted by the hub.
    Sends { protocol: &'static str, rate: f64, count: usize },
    /// A stream whose items come by the clock.
    Stream { items: u32, milliseconds: u32 },
    /// Connecting with negotiate, and the end, counted by the hub.
    Connects { count: u32 },
    /// Messages of ours to all, at a rate: what ours says of them, and what the .NET client hears.
    Broadcasts { rate: f64, count: usize },
    /// What ASP.NET Core sends as fast as it is taken, to the last message.
    Receive { protocol: &'static str, count: u32 },
}

#[derive(Clone)]
struct Calls {
    path: &'static str,
    protocol: &'static str,
    method: &'static str,
    argument: Value,
    pace: Pace,
    count: usize,
}

pub(crate) fn all() -> Vec<Workload> {
    let mut all = Vec::new();
    let mut add = |name: String, kind| all.push(Workload { name, kind });
    for protocol in ["json", "messagepack"] {
        let slow = |path, milliseconds: u32, pace, count| Calls {
            path,
            protocol,
            method: "Slow",
            argument: milliseconds.into(),
            pace,
            count,
        };
        let echo = |count| Calls {
            path: "/hub",
            protocol,
            method: "Echo",
            argument: ECHOED.into(),
            pace: Pace::Closed(1),
            count,
        };
        // The hub runs 16 calls of a connection at a time here, and one on /hub.
        add(
            format!("calls of 100 ms, 50/s, {protocol}"),
            Kind::Calls(slow("/parallel", 100, Pace::Open(50.0), 250)),
        );
        if protocol == "json" {
            // Calls wait for their turn at the hub, and their latencies grow and grow.
            add(
                "calls of 5 ms, 300/s, too many".to_owned(),
                Kind::Calls(slow("/hub", 5, Pace::Open(300.0), 600)),
            );
            add("calls of 5 ms, 8 in flight".to_owned(), Kind::Calls(slow("/hub", 5, Pace::Closed(8), 600)));
        }
        add(format!("echo, {protocol}"), Kind::Bytes(echo(500)));
        add(format!("sends at 500/s, {protocol}"), Kind::Sends { protocol, rate: 500.0, count: 1_500 });
        add(format!("receive, {protocol}"), Kind::Receive { protocol, count: 200_000 });
    }
    add("stream, an item every 10 ms".to_owned(), Kind::Stream { items: 400, milliseconds: 10 });
    add("connect".to_owned(), Kind::Connects { count: 200 });
    add("broadcasts, 100/s".to_owned(), Kind::Broadcasts { rate: 100.0, count: 500 });
    all
}

impl Workload {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn suits(&self, place: &Place) -> bool {
        match self.kind {
            Kind::Receive { .. } => place.is_reference,
            Kind::Bytes(_) | Kind::Connects { .. } => place.is_direct,
            _ => true,
        }
    }

    /// Whether both sides are measured at the same time: what else the machine does
    /// then falls on both.
    pub(crate) fn is_timed(&self) -> bool {
        matches!(self.kind, Kind::Calls(_) | Kind::Stream { .. } | Kind::Broadcasts { .. })
    }

    /// Both sides at the same time: theirs, and ours.
    pub(crate) fn run_both(&self, place: &Place) -> Result<(Vec<Figure>, Vec<Figure>)> {
        let (path, protocol) = match &self.kind {
            Kind::Calls(calls) => (calls.path, calls.protocol),
            _ => ("/hub", "json"),
        };
        // Connected, so that both begin together.
        let mut client = Client::connect(&place.reference, &place.url(path), protocol)?;
        client.ask("on", json!({ "target": "News" }))?;
        // The first message to a .NET client takes long.
        client.say("send", json!({ "target": "ToAll", "arguments": ["News", ""] }))?;
        client.hear(1)?;
        thread::scope(|scope| {
            let ours = scope.spawn(|| match &self.kind {
                Kind::Calls(calls) => calls.ours(&place.url(path), calls.count, true),
                Kind::Stream { items, milliseconds } => our_stream(place, *items, *milliseconds),
                Kind::Broadcasts { rate, count } => our_broadcasts(place, *rate, *count),
                _ => Ok(Vec::new()),
            });
            let theirs = match &self.kind {
                Kind::Calls(calls) => calls.theirs(&mut client, calls.count, true),
                Kind::Stream { items, milliseconds } => their_stream(&mut client, *items, *milliseconds),
                Kind::Broadcasts { count, .. } => client.hear(*count).map(|(heard, rate)| {
                    vec![figure("messages that came", heard as f64), figure("messages/s", rate)]
                }),
                _ => Ok(Vec::new()),
            };
            let ours = ours.join().map_err(|_| "a thread panicked")?;
            Ok((theirs?, ours?))
        })
    }

    pub(crate) fn run(&self, place: &Place, side: Side, round: usize) -> Result<Vec<Figure>> {
        match &self.kind {
            Kind::Bytes(calls) => calls.bytes(place, side),
            Kind::Sends { protocol, rate, count } => {
                sends(place, side, protocol, *rate, *count, &format!("{}, {side:?}, {round}", self.name))
            }
            Kind::Connects { count } => connects(place, side, *count),
            Kind::Receive { protocol, count } => receive(place, side, protocol, *count),
            Kind::Calls(_) | Kind::Stream { .. } | Kind::Broadcasts { .. } => {
                Err("both sides at the same time".into())
            }
        }
    }
}

impl Calls {
    fn options(&self, count: usize) -> Vec<String> {
        let mut options = options(&[
            ("--protocol", self.protocol),
            ("--method", self.method),
            ("--argument", &self.argument.to_string()),
            ("--count", &count.to_string()),
        ]);
        options.extend(match self.pace {
            Pace::Open(rate) => [String::from("--rate"), rate.to_string()],
            Pace::Closed(in_flight) => [String::from("--in-flight"), in_flight.to_string()],
        });
        options
    }

    fn run(&self, url: &str, place: &Place, side: Side, count: usize) -> Result<Vec<Figure>> {
        match side {
            Side::Theirs => {
                self.theirs(&mut Client::connect(&place.reference, url, self.protocol)?, count, false)
            }
            Side::Ours => self.ours(url, count, false),
        }
    }

    /// After a quarter as many that do not count, if it is to warm up.
    fn theirs(&self, client: &mut Client, count: usize, warms_up: bool) -> Result<Vec<Figure>> {
        let arguments = json!([self.argument]);
        if warms_up {
            client.calls("invoke", self.method, &arguments, self.pace, count / 4)?;
        }
        let measured = client.calls("invoke", self.method, &arguments, self.pace, count)?;
        Ok(vec![
            figure("calls/s", measured.per_second),
            figure("p50, ms", measured.milliseconds(50)),
            figure("p90, ms", measured.milliseconds(90)),
        ])
    }

    fn ours(&self, url: &str, count: usize, warms_up: bool) -> Result<Vec<Figure>> {
        let mut options = self.options(count);
        // By default it warms up with a quarter, too.
        if !warms_up {
            options.extend(["--warm-up".to_owned(), "0s".to_owned()]);
        }
        let report = ours::bench(url, &options)?;
        let latency = |name| number(&report, &format!("/latencyMilliseconds/{name}"));
        Ok(vec![
            figure("calls/s", number(&report, "/perSecond")?),
            figure("p50, ms", latency("p50")?),
            figure("p90, ms", latency("p90")?),
        ])
    }

    /// What a client with more calls sends and gets more than one with fewer.
    fn bytes(&self, place: &Place, side: Side) -> Result<Vec<Figure>> {
        let mut totals = [(0, 0); 2];
        let counts = [self.count / 5, self.count];
        for (total, count) in totals.iter_mut().zip(counts) {
            let proxy = Proxy::start(place.port)?;
            self.run(&format!("http://127.0.0.1:{}{}", proxy.port, self.path), place, side, count)?;
            *total = proxy.bytes();
        }
        let [few, many] = totals;
        let each = |few: u64, many: u64| (many as f64 - few as f64) / (counts[1] - counts[0]) as f64;
        Ok(vec![
            figure("bytes sent per call", each(few.0, many.0)),
            figure("bytes got per call", each(few.1, many.1)),
        ])
    }
}

/// The hub counts what arrives under the name of a series.
fn sends(
    place: &Place,
    side: Side,
    protocol: &'static str,
    rate: f64,
    count: usize,
    series: &str,
) -> Result<Vec<Figure>> {
    let url = place.url("/hub");
    match side {
        Side::Theirs => {
            let mut client = Client::connect(&place.reference, &url, protocol)?;
            client.calls("send", "Record", &json!([series, 7]), Pace::Open(rate), count)?;
            // It comes after everything before it.
            client.ask("invoke", json!({ "target": "Echo", "arguments": [""] }))?;
        }
        Side::Ours => {
            let mut options = options(&[
                ("--scenario", "send"),
                ("--protocol", protocol),
                ("--method", "Record"),
                ("--argument", &json!(series).to_string()),
                ("--argument", "7"),
                ("--count", &count.to_string()),
                ("--warm-up", "0s"),
            ]);
            options.extend([String::from("--rate"), rate.to_string()]);
            ours::bench(&url, &options)?;
        }
    }
    let mut asking = Client::connect(&place.reference, &url, "json")?;
    let counted = asking.ask("invoke", json!({ "target": "Recorded", "arguments": [series] }))?;
    Ok(vec![figure("messages that the hub counted", number(&counted, "/count")?)])
}

fn their_stream(client: &mut Client, items: u32, milliseconds: u32) -> Result<Vec<Figure>> {
    let begun = Instant::now();
    let came = client.ask("stream", json!({ "target": "Counter", "arguments": [items, milliseconds] }))?;
    let seconds = begun.elapsed().as_secs_f64();
    Ok(vec![figure("items/s", came.as_f64().ok_or("the stream has no length")? / seconds)])
}

fn our_stream(place: &Place, items: u32, milliseconds: u32) -> Result<Vec<Figure>> {
    let options = options(&[
        ("--scenario", "stream"),
        ("--argument", &items.to_string()),
        ("--argument", &milliseconds.to_string()),
        ("--count", "1"),
        ("--warm-up", "0s"),
    ]);
    Ok(vec![figure("items/s", number(&ours::bench(&place.url("/hub"), &options)?, "/perSecond")?)])
}

/// What ours says of its broadcasts: one of the connections calls `ToAll`.
fn our_broadcasts(place: &Place, rate: f64, count: usize) -> Result<Vec<Figure>> {
    let options = options(&[
        ("--scenario", "broadcast"),
        ("--connections", &AUDIENCE.to_string()),
        ("--rate", &rate.to_string()),
        ("--count", &count.to_string()),
        ("--warm-up", "0s"),
    ]);
    let report = ours::bench(&place.url("/hub"), &options)?;
    let each = |path| Ok::<_, Box<dyn Error + Send + Sync>>(number(&report, path)? / f64::from(AUDIENCE));
    Ok(vec![figure("messages that came", each("/count")?), figure("messages/s", each("/perSecond")?)])
}

/// Every connection that was there, the hub has seen.
fn connects(place: &Place, side: Side, count: u32) -> Result<Vec<Figure>> {
    let seen = || -> Result<usize> {
        let connections = place.get("/connections")?;
        Ok(connections["ended"].as_object().ok_or("no connections")?.len())
    };
    let before = seen()?;
    let connected = match side {
        Side::Theirs => {
            let report =
                theirs::bench(&place.reference, &place.url(""), "connect", &[("count", &count.to_string())])?;
            number(&report, "/figures/count")? + f64::from(WARM_UP_CONNECTS)
        }
        Side::Ours => {
            let options =
                options(&[("--scenario", "connect"), ("--count", &count.to_string()), ("--warm-up", "0s")]);
            number(&ours::bench(&place.url("/hub"), &options)?, "/count")?
        }
    };
    // The last of them may be on its way out.
    let begun = Instant::now();
    while ((seen()? - before) as f64) < connected && begun.elapsed() < Duration::from_secs(10) {
        thread::yield_now();
    }
    Ok(vec![figure("connections that the hub counted, of each", (seen()? - before) as f64 / connected)])
}

fn receive(place: &Place, side: Side, protocol: &'static str, count: u32) -> Result<Vec<Figure>> {
    let (count, batch) = (count.to_string(), "16");
    let came = match side {
        Side::Theirs => {
            let options = [("protocol", protocol), ("count", &count), ("batch", batch)];
            number(&theirs::bench(&place.reference, &place.url(""), "receive", &options)?, "/figures/count")?
        }
        Side::Ours => {
            let path = format!("/firehose?protocol={protocol}&payload=small&count={{count}}&batch={batch}");
            let mut options = options(&[
                ("--scenario", "receive"),
                ("--protocol", protocol),
                ("--message", "Message"),
                ("--until", "Done"),
                ("--count", &count),
            ]);
            options.push("--skip-negotiation".to_owned());
            number(&ours::bench(&place.url(&path), &options)?, "/count")?
        }
    };
    Ok(vec![figure("messages that came", came)])
}

fn figure(name: &'static str, value: f64) -> Figure {
    Figure { name, value }
}

fn options(pairs: &[(&str, &str)]) -> Vec<String> {
    pairs.iter().flat_map(|(name, value)| [(*name).to_owned(), (*value).to_owned()]).collect()
}
