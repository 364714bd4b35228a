//! `hubwire connect`: a connection to a hub by hand.
//!
//! ```text
//! Input (editor or pipe) ─▶ command ─▶ calls ─▶ HubConnection
//!                                        └─▶ Screen ◀─ handlers, events
//! ```

mod calls;
mod command;
mod editor;
mod history;
mod input;
mod screen;

use std::{
    future::Future,
    pin::{Pin, pin},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::{ArgAction, ArgMatches, FromArgMatches, error::ErrorKind};
use serde_json::Value;

use crate::{
    ConnectionEvent, HubConnection, HubProtocol, RetryPolicy,
    cli::{
        connect::{
            calls::{Calls, Items, show},
            command::{Call, Command, Kind},
            input::Input,
            screen::Screen,
        },
        context::{Contexts, TargetOptions},
        failure::Failure,
        output::{FAINT, Output},
        signals::Signals,
        value::{typed, values},
    },
    core::ErrorChain,
};

/// The longest pause before the next attempt to connect again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Connect to a hub, show what it sends, and call its methods
///
/// In a terminal it reads commands, with history and completion; otherwise the lines of standard input are commands, and
/// it ends with them, once every answer is there. `help` lists the commands. Ctrl-C drops a line that was begun, and on an empty
/// line ends the program, as Ctrl-D does. In an upload, Ctrl-D ends the upload.
///
/// An argument of a method is a JSON value; what is not JSON is a text.
///
/// The exit code is 1 when the connection fails or is lost for good. It is also 1 when a call fails or a line is not
/// understood, except where commands are typed in a terminal: there it is told at once, and the exit code is 0.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  hubwire connect http://localhost:5000/chat
  hubwire connect http://localhost:5000/chat --invoke Add 1 2 --exit
  echo 'send Say hello' | hubwire connect http://localhost:5000/chat --json")]
pub(super) struct Arguments {
    /// The hub's URL, such as https://example.com/chat
    #[arg(value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    calls: FirstCalls,
    /// Show only messages of this method; repeatable
    #[arg(long = "on", value_name = "METHOD")]
    on: Vec<String>,
    /// What the server gets when it calls this method and waits for a result; repeatable
    #[arg(long = "answer", value_name = "METHOD=VALUE", value_parser = answer)]
    answers: Vec<(String, Value)>,
    /// End once the calls of --invoke, --send and --stream are over, without reading commands
    #[arg(long)]
    exit: bool,
    /// Go on when standard input has ended, until Ctrl-C
    #[arg(long, conflicts_with = "exit")]
    stay: bool,
    /// End when the connection is lost, instead of connecting again
    #[arg(long)]
    no_reconnect: bool,
    #[command(flatten)]
    target: TargetOptions,
}

/// The calls that are made at once, in the order of the options.
#[derive(Debug, Default)]
struct FirstCalls(Vec<Call>);

/// The options, with what is in them.
#[derive(Debug, clap::Args)]
struct CallOptions {
    /// Call a method at once, and wait for its result; repeatable
    #[arg(long, num_args = 1.., allow_negative_numbers = true, action = ArgAction::Append, value_names = ["METHOD", "VALUE"])]
    invoke: Vec<String>,
    /// Call a method at once, without waiting; repeatable
    #[arg(long, num_args = 1.., allow_negative_numbers = true, action = ArgAction::Append, value_names = ["METHOD", "VALUE"])]
    send: Vec<String>,
    /// Call a method that answers with a stream at once; repeatable
    #[arg(long, num_args = 1.., allow_negative_numbers = true, action = ArgAction::Append, value_names = ["METHOD", "VALUE"])]
    stream: Vec<String>,
}

impl FromArgMatches for FirstCalls {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut calls = Vec::new();
        for (name, kind) in [("invoke", Kind::Invoke), ("send", Kind::Send), ("stream", Kind::Stream)] {
            let mut places = matches.indices_of(name).into_iter().flatten();
            for words in matches.get_occurrences::<String>(name).into_iter().flatten() {
                let words: Vec<_> = words.collect();
                let place = places.nth(words.len().saturating_sub(1));
                let [method, arguments @ ..] = &words[..] else { continue };
                let arguments = arguments.iter().map(|word| typed(word)).collect::<Result<_, _>>();
                let arguments =
                    arguments.map_err(|error| clap::Error::raw(ErrorKind::ValueValidation, error + "\n"))?;
                calls.push((place, Call { kind, method: (*method).clone(), arguments }));
            }
        }
        calls.sort_by_key(|(place, _)| *place);
        Ok(Self(calls.into_iter().map(|(_, call)| call).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for FirstCalls {
    fn augment_args(command: clap::Command) -> clap::Command {
        CallOptions::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        CallOptions::augment_args_for_update(command)
    }
}

fn answer(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((method, value)) if !method.is_empty() => Ok((method.to_owned(), typed(value)?)),
        _ => Err("it has the form METHOD=VALUE".to_owned()),
    }
}

pub(super) async fn run(
    arguments: Arguments,
    contexts: &Contexts,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Arguments { url, calls: first, on, answers, exit, stay, no_reconnect, target } = arguments;
    let target = contexts.target(url, target)?;
    let screen = Arc::new(Screen::new(output));
    if !on.is_empty() {
        screen.show(None, false);
        on.iter().for_each(|method| screen.show(Some(method), true));
    }
    let shows = Arc::clone(&screen);
    let mut builder = target.connection().await?.on_unhandled(move |call| show(&shows, &call, None));
    if !no_reconnect {
        builder = builder.with_automatic_reconnect(RetryPolicy::new(pause));
    }
    let protocol = target.protocol();
    let hub = builder.build().map_err(failed_to_connect)?;
    let mut calls = Calls::new(hub.clone(), Arc::clone(&screen));
    answers.into_iter().for_each(|(method, value)| calls.answer(&method, value));

    // One and the same from here on: a signal that comes while nobody listens is lost.
    let mut signals = Signals::new()?;
    let mut asked = pin!(async move {
        signals.next().await;
    });
    screen.connecting(target.label());
    tokio::select! {
        started = hub.start() => started.map_err(failed_to_connect)?,
        () = &mut asked => {
            hub.stop().await;
            return Ok(ExitCode::SUCCESS);
        }
    }
    screen.connected(hub.connection_info().as_ref(), protocol, false);
    tell_events(&hub, &screen, protocol);
    for call in first.0 {
        calls.begin(call).await;
    }
    let input = if exit { None } else { Some(Input::open(&screen)?) };
    let ended = Session { hub: &hub, screen: &screen, calls: &mut calls, stay }.run(input, asked).await;
    match ended {
        End::Asked { .. } => calls.give_up().await,
        End::Lost(_) => calls.end().await,
    }
    catch_up(&hub).await;
    hub.stop().await;
    match ended {
        End::Asked { interactive } => {
            screen.disconnected(None);
            // A person who types has seen what failed, and went on.
            let failed = calls.any_failed && !interactive;
            Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        End::Lost(error) => {
            screen.disconnected(Some(&error));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn failed_to_connect(error: crate::ConnectionError) -> Failure {
    Failure::new("the connection failed")
        .because(error)
        .advise("`hubwire negotiate` with the same target shows every step of connecting")
}

/// Waits until everything that came is shown: results do not wait for the handlers of messages before them.
async fn catch_up(hub: &HubConnection) {
    let shown = async {
        while hub.has_waiting_messages() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    // A reader that has stopped reading must not keep the program alive.
    let _ = tokio::time::timeout(Duration::from_secs(5), shown).await;
}

/// When to try again after the connection was lost: soon at first, and forever, unless the server does not want this user.
fn pause(context: &crate::RetryContext) -> Option<Duration> {
    let seconds = match context.previous_retry_count {
        0 => 0,
        n => 1_u64 << (n - 1).min(5),
    };
    let refused = matches!(context.reason.status(), Some(401 | 403 | 404));
    (!refused).then(|| Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn tell_events(hub: &HubConnection, screen: &Arc<Screen>, protocol: HubProtocol) {
    let (weak, screen) = (hub.downgrade(), Arc::clone(screen));
    hub.on_event(move |event| match event {
        ConnectionEvent::Reconnecting { error } => screen.reconnecting(&error),
        ConnectionEvent::Reconnected { .. } => {
            let info = weak.upgrade().and_then(|hub| hub.connection_info());
            screen.connected(info.as_ref(), protocol, true);
        }
        ConnectionEvent::AuthenticationRefreshed { .. } => {
            screen.remark("refreshed", "the server has taken a new token");
        }
        ConnectionEvent::AuthenticationRefreshFailed { error } => {
            screen.remark("refreshFailed", &ErrorChain::new(&error).to_string());
        }
        // The rest is told where it is awaited.
        _ => {}
    });
}

/// Why a session is over.
enum End {
    Asked { interactive: bool },
    Lost(String),
}

/// Whose the lines of the input are.
enum Upload {
    /// They are commands.
    None,
    Open(Items),
    /// They were meant for an upload that has ended.
    PassedOver,
}

/// The item that a line is: JSON, or else a text.
fn item(line: &str) -> Result<Value, String> {
    match &values(line)?[..] {
        [value] => Ok(value.clone()),
        _ => Ok(line.into()),
    }
}

/// A connection that is up, and who uses it.
struct Session<'s> {
    hub: &'s HubConnection,
    screen: &'s Screen,
    calls: &'s mut Calls,
    stay: bool,
}

impl Session<'_> {
    /// Carries out the commands of the input, until that is over and every answer is there.
    async fn run(mut self, mut input: Option<Input>, mut asked: Pin<&mut impl Future<Output = ()>>) -> End {
        let interactive = input.as_ref().is_some_and(|input| input.is_interactive);
        if interactive {
            self.screen.line(format_args!(
                "{FAINT}`help` lists the commands, Ctrl-C clears the line, Ctrl-D ends{FAINT:#}"
            ));
        }
        let (closed, mut upload) = (self.hub.closed(), Upload::None);
        let mut closed = pin!(closed);
        while input.is_some() || !interactive && (self.stay || !self.calls.are_over()) {
            let next = async {
                match &mut input {
                    Some(input) => input.lines.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // What the server said last is shown before what comes of it.
                biased;
                error = &mut closed => return End::Lost(ErrorChain::new(&error).to_string()),
                () = &mut asked => return End::Asked { interactive },
                () = self.calls.one_is_over() => {
                    self.look_after(&mut upload, interactive);
                    if let Some(input) = &input {
                        input.set_uploading(matches!(upload, Upload::Open(_)));
                    }
                }
                line = next => match line {
                    Some(line) => {
                        if self.line(line.text, &mut upload).await {
                            return End::Asked { interactive };
                        }
                        self.look_after(&mut upload, interactive);
                        // Before the line is dropped, which asks for the next one.
                        if let Some(input) = &input {
                            input.set_uploading(matches!(upload, Upload::Open(_)));
                        }
                    }
                    None => (input, upload) = (None, Upload::None),
                },
            }
        }
        End::Asked { interactive }
    }

    /// Carries out a line. Returns whether it is the last one.
    async fn line(&mut self, line: Result<String, String>, upload: &mut Upload) -> bool {
        if !matches!(upload, Upload::None) {
            let line = line.as_deref().map(str::trim);
            match (&*upload, line.map_err(Clone::clone).and_then(item)) {
                _ if line == Ok(".") => *upload = Upload::None,
                (Upload::Open(items), Ok(item)) => {
                    // If nobody takes it, the call is over, which is told as soon as that is known.
                    items.send(item);
                }
                (Upload::Open(_), Err(mistake)) => {
                    self.mistake(&format!("{mistake}; this item is left out, and the upload goes on"));
                }
                _ => {}
            }
            return false;
        }
        match line.and_then(|line| Command::parse(&line)) {
            Ok(Command::Call(call)) => self.calls.begin(call).await,
            Ok(Command::Upload(call)) => {
                *upload = Upload::Open(self.calls.begin_upload(call).await);
                self.screen.upload_begins();
            }
            Ok(Command::On(method)) => self.screen.show(method.as_deref(), true),
            Ok(Command::Off(method)) => self.screen.show(method.as_deref(), false),
            Ok(Command::Answer(method, value)) => self.calls.answer(&method, value),
            Ok(Command::Cancel(number)) => {
                if let Err(mistake) = self.calls.cancel(number) {
                    self.mistake(&mistake);
                }
            }
            Ok(Command::State) => {
                self.screen.remark("state", &format!("{:?}", self.hub.state()).to_lowercase())
            }
            Ok(Command::Help) => self.screen.help(),
            Ok(Command::Quit) => return true,
            Ok(Command::Nothing) => {}
            Err(mistake) => self.mistake(&mistake),
        }
        false
    }

    /// Ends an upload whose call is over. A person gets the prompt back; the items that a pipe still has are no commands.
    fn look_after(&self, upload: &mut Upload, interactive: bool) {
        let Upload::Open(items) = &*upload else { return };
        if self.calls.is_under_way(&items.call) {
            return;
        }
        let (then, next) = if interactive {
            ("lines are commands again", Upload::None)
        } else {
            ("lines are passed over up to the next `.`", Upload::PassedOver)
        };
        self.screen.upload_ended(&items.call, then);
        *upload = next;
    }

    fn mistake(&mut self, text: &str) {
        self.screen.mistake(text);
        self.calls.any_failed = true;
    }
}
