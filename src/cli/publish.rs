//! `hubwire publish` and `hubwire group`: what an app server does without one.

use std::{
    io::ErrorKind,
    process::ExitCode,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, stdin};

use crate::{
    cli::{
        context::{Contexts, RedisAddress, TargetOptions, Timeout, named_hub, service},
        duration::{self, milliseconds, words},
        failure::Failure,
        output::{FAINT, GOOD, NAME, Output},
        recipient::{Recipient, line, values},
        secret::SecretSource,
    },
    server::backplane::{Emitter, RedisBackplane},
    service::{HubClient, ServiceError},
};

/// Call a method of clients: of all, a user, a group or a connection
///
/// The message goes through the REST API of Azure SignalR Service, at all of its endpoints, or through the Redis server that
/// hosted hubs share. That it was accepted does not mean that a client was there.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
An argument is a JSON value, or else a text; @FILE is what a file has, and - is
what standard input has.

Examples:
  hubwire publish all ReceiveMessage system 'hello, everybody' --hub chat
  hubwire publish user:alice Notify '{\"count\": 3}' --hub chat
  hubwire publish group:admins Load @report.json --hub chat
  tail -f log | hubwire publish all Log --lines --hub logs
  hubwire publish all Notify --hub Contoso.ChatHub --redis redis://localhost")]
pub(super) struct Arguments {
    /// The recipients: all, user:ID, group:NAME or connection:ID
    #[arg(value_name = "TO")]
    to: Recipient,
    /// The method of the clients
    method: String,
    /// Its arguments
    #[arg(allow_negative_numbers = true)]
    arguments: Vec<String>,
    /// Send a message for every line of standard input: a JSON array has all arguments, anything else is the only one
    #[arg(long, conflicts_with = "arguments")]
    lines: bool,
    /// Leave out a connection, by its id; with all and group:NAME; repeatable
    #[arg(long = "except", value_name = "ID")]
    except: Vec<String>,
    /// Publish through this Redis server instead of the service: redis://HOST, or env:NAME or file:PATH
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["connection_string", "endpoint"])]
    redis: Option<RedisAddress>,
    #[command(flatten)]
    service: ServiceArguments,
}

/// What names a hub of the service.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Target")]
pub(super) struct ServiceArguments {
    /// The hub; with Redis the name that its servers give to it, in .NET the full name of its type
    #[arg(long, value_name = "NAME")]
    hub: Option<String>,
    /// The service's connection string: env:NAME, file:PATH or - for standard input; by default the environment variables
    /// that Azure's SDKs read, such as AzureSignalRConnectionString
    #[arg(long, value_name = "SOURCE")]
    connection_string: Option<SecretSource>,
    /// The service's address instead of a connection string, with Microsoft Entra
    #[arg(long, value_name = "URL", conflicts_with = "connection_string")]
    endpoint: Option<String>,
    /// The application name of the service's hubs
    #[arg(long, value_name = "NAME")]
    application_name: Option<String>,
    #[command(flatten)]
    timeout: Timeout,
}

impl ServiceArguments {
    fn options(self, redis: Option<RedisAddress>, contexts: &Contexts) -> Result<TargetOptions, Failure> {
        let Self { hub, connection_string, endpoint, application_name, timeout } = self;
        let flags = TargetOptions {
            hub,
            connection_string,
            endpoint,
            application_name,
            redis,
            timeout,
            ..TargetOptions::default()
        };
        contexts.options(None, flags)
    }

    /// The hub at the service, and how long it may take for a request.
    pub(super) fn hub(self, contexts: &Contexts) -> Result<(HubClient, Duration), Failure> {
        let options = self.options(None, contexts)?;
        Ok((of_service(&options)?.0, options.timeout.or_default()))
    }
}

fn hub_name(options: &TargetOptions) -> Result<&str, Failure> {
    options.hub.as_deref().ok_or_else(|| {
        Failure::usage("it is not said which hub is meant")
            .advise("give --hub NAME, or save it with `hubwire context add NAME --hub HUB`")
    })
}

fn of_service(options: &TargetOptions) -> Result<(HubClient, Vec<String>), Failure> {
    let hub = hub_name(options)?;
    let service = service(options)?;
    let addresses = service.endpoints().iter().map(|status| status.endpoint().to_owned()).collect();
    Ok((named_hub(&service, hub)?, addresses))
}

/// What the service answers to a request, with those that are made again where nothing came.
pub(super) async fn asked<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, ServiceError>>,
) -> Result<T, Failure> {
    let answer = in_time("the service", limit, work).await?;
    answer.map_err(|error| {
        Failure::new("the service has not done it")
            .because(error)
            .advise("`hubwire doctor` goes through the setup step by step")
    })
}

async fn in_time<T>(who: &str, limit: Duration, work: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        Failure::new(format!("{who} did not answer within {}", words(limit)))
            .advise("check its address and the network between; --timeout TIME waits longer")
    })
}

/// Where messages go.
enum Publisher {
    Service(HubClient, Vec<String>),
    Redis(Emitter),
}

impl Publisher {
    async fn send(
        &self,
        to: &Recipient,
        except: &[String],
        method: &str,
        arguments: &[Value],
        limit: Duration,
    ) -> Result<(), Failure> {
        let except = except.iter().map(String::as_str);
        match self {
            Self::Service(hub, _) => {
                let sent = async {
                    match to {
                        Recipient::All => hub.all().excluding(except).send(method, arguments).await,
                        Recipient::User(id) => hub.user(id).send(method, arguments).await,
                        Recipient::Group(name) => {
                            hub.group(name).excluding(except).send(method, arguments).await
                        }
                        Recipient::Connection(id) => hub.connection(id).send(method, arguments).await,
                    }
                };
                asked(limit, sent).await
            }
            Self::Redis(emitter) => {
                let clients = emitter.clients();
                let sent = async {
                    match to {
                        Recipient::All => clients.all().except(except).send(method, arguments).await,
                        Recipient::User(id) => clients.user(id).send(method, arguments).await,
                        Recipient::Group(name) => {
                            clients.group(name).except(except).send(method, arguments).await
                        }
                        Recipient::Connection(id) => clients.client(id).send(method, arguments).await,
                    }
                };
                in_time("the Redis server", limit, sent).await?.map_err(|error| {
                    Failure::new("the message could not be published")
                        .because(error)
                        .advise("is the Redis server running, and is its address right?")
                })
            }
        }
    }

    /// Who takes the messages.
    fn places(&self) -> Vec<&str> {
        match self {
            Self::Service(_, addresses) => addresses.iter().map(String::as_str).collect(),
            Self::Redis(_) => vec!["redis"],
        }
    }
}

pub(super) async fn run(
    arguments: Arguments,
    contexts: &Contexts,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Arguments { to, method, arguments: words, lines, except, redis, service } = arguments;
    if !except.is_empty() && !matches!(to, Recipient::All | Recipient::Group(_)) {
        return Err(Failure::usage("--except is for messages to all and to a group").advise("leave it out"));
    }
    let names_service = service.connection_string.is_some() || service.endpoint.is_some();
    let options = service.options(redis, contexts)?;
    let limit = options.timeout.or_default();
    let publisher = match &options.redis {
        Some(address) if !names_service => {
            let hub = hub_name(&options)?;
            Publisher::Redis(Emitter::new(hub, RedisBackplane::new(&address.read()?)?))
        }
        _ => {
            let (hub, addresses) = of_service(&options)?;
            Publisher::Service(hub, addresses)
        }
    };
    if !lines {
        let arguments = values(&words)?;
        let asked = Instant::now();
        publisher.send(&to, &except, &method, &arguments, limit).await?;
        report(&publisher, &to, &method, arguments.len(), asked.elapsed(), output);
        return Ok(ExitCode::SUCCESS);
    }
    let mut input = BufReader::new(stdin()).lines();
    let (mut sent, mut number) = (0_u64, 0_u64);
    loop {
        number += 1;
        let at_line = |failure: Failure| {
            let before = if sent == 1 { "1 message was" } else { &format!("{sent} messages were") };
            let failure = failure.after(format!("line {number}; {before} sent before"));
            failure.detail("line", number).detail("sent", sent)
        };
        let text = match input.next_line().await {
            Ok(Some(text)) => text,
            Ok(None) => break,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(at_line(Failure::new("a line of standard input is not UTF-8")));
            }
            Err(error) => {
                return Err(at_line(Failure::new("standard input cannot be read").because(error)));
            }
        };
        if text.trim().is_empty() {
            continue;
        }
        let arguments = line(&text).map_err(|error| at_line(Failure::new(error)))?;
        publisher.send(&to, &except, &method, &arguments, limit).await.map_err(at_line)?;
        sent += 1;
    }
    if output.is_json() {
        output.json(&json!({ "to": to.to_string(), "method": method, "sent": sent, "acceptedBy": publisher.places() }));
    } else {
        output.line(format_args!("{GOOD}{sent}{GOOD:#} messages sent to {NAME}{to}{NAME:#}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// `{to, method, arguments, acceptedBy, milliseconds}`.
fn report(
    publisher: &Publisher,
    to: &Recipient,
    method: &str,
    count: usize,
    took: Duration,
    output: &Output,
) {
    let took = milliseconds(took);
    let places = publisher.places();
    if output.is_json() {
        output.json(&json!({
            "to": to.to_string(), "method": method, "arguments": count, "acceptedBy": places, "milliseconds": took,
        }));
        return;
    }
    let what = match count {
        1 => "1 argument".to_owned(),
        count => format!("{count} arguments"),
    };
    output.line(format_args!(
        "{GOOD}accepted{GOOD:#} {method} with {what} to {NAME}{to}{NAME:#} {FAINT}by {} in {took:.0} ms{FAINT:#}",
        places.join(", ")
    ));
}

/// Add users or connections to a group of the service, or remove them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  hubwire group add admins user:alice --ttl 1d --hub chat
  hubwire group remove admins connection:7auMgcO_7jJsZG7cDGrpLA --hub chat
  hubwire group remove-from-all user:alice --hub chat")]
pub(super) struct GroupArguments {
    #[command(subcommand)]
    action: GroupAction,
}

#[derive(Debug, clap::Subcommand)]
enum GroupAction {
    /// Add a user, with all connections, or a connection
    Add {
        /// The group
        group: String,
        /// user:ID or connection:ID
        #[arg(value_name = "MEMBER")]
        member: Recipient,
        /// How long a user stays in it, including connections that open meanwhile; forever unless given
        #[arg(long, value_name = "TIME", value_parser = duration::parse)]
        ttl: Option<Duration>,
        #[command(flatten)]
        service: ServiceArguments,
    },
    /// Remove a user or a connection
    Remove {
        /// The group
        group: String,
        /// user:ID or connection:ID
        #[arg(value_name = "MEMBER")]
        member: Recipient,
        #[command(flatten)]
        service: ServiceArguments,
    },
    /// Remove a user or a connection from every group
    RemoveFromAll {
        /// user:ID or connection:ID
        #[arg(value_name = "MEMBER")]
        member: Recipient,
        #[command(flatten)]
        service: ServiceArguments,
    },
}

/// Refuses a connection that is not there: most requests about it are accepted nevertheless.
pub(super) async fn check_connection(hub: &HubClient, id: &str, limit: Duration) -> Result<(), Failure> {
    if asked(limit, hub.connection(id).exists()).await? {
        return Ok(());
    }
    Err(Failure::new(format!("there is no connection {id} in this hub"))
        .advise("it may have closed; `hubwire connect` shows the ids of its connections"))
}

fn no_member() -> Failure {
    Failure::usage("a member of a group is a user or a connection").advise("give user:ID or connection:ID")
}

pub(super) async fn group(
    arguments: GroupArguments,
    contexts: &Contexts,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let (done, group, member) = match arguments.action {
        GroupAction::Add { group, member, ttl, service } => {
            let (hub, limit) = service.hub(contexts)?;
            let target = hub.group(&group);
            match (&member, ttl) {
                (Recipient::User(id), None) => asked(limit, target.add_user(id)).await?,
                (Recipient::User(id), Some(ttl)) => asked(limit, target.add_user_for(id, ttl)).await?,
                (Recipient::Connection(id), None) => {
                    // The service's client takes one that is gone for added, as the official SDK does.
                    check_connection(&hub, id, limit).await?;
                    asked(limit, target.add_connection(id)).await?;
                }
                (Recipient::Connection(_), Some(_)) => {
                    return Err(Failure::usage("--ttl is for users")
                        .advise("leave it out: a connection stays until it ends"));
                }
                _ => return Err(no_member()),
            }
            ("added", Some(group), member)
        }
        GroupAction::Remove { group, member, service } => {
            let (hub, limit) = service.hub(contexts)?;
            let target = hub.group(&group);
            match &member {
                Recipient::User(id) => {
                    if !asked(limit, target.contains_user(id)).await? {
                        return Err(Failure::new(format!("the user {id} is not in the group {group}"))
                            .advise("nothing was changed; the names of users and groups have upper and lower case"));
                    }
                    asked(limit, target.remove_user(id)).await?;
                }
                Recipient::Connection(id) => {
                    check_connection(&hub, id, limit).await?;
                    asked(limit, target.remove_connection(id)).await?;
                }
                _ => return Err(no_member()),
            }
            ("removed", Some(group), member)
        }
        GroupAction::RemoveFromAll { member, service } => {
            let (hub, limit) = service.hub(contexts)?;
            match &member {
                // A user may be in groups without a connection, and the service does not say in which.
                Recipient::User(id) => asked(limit, hub.user(id).remove_from_all_groups()).await?,
                Recipient::Connection(id) => {
                    check_connection(&hub, id, limit).await?;
                    asked(limit, hub.connection(id).remove_from_all_groups()).await?;
                }
                _ => return Err(no_member()),
            }
            ("removed", None, member)
        }
    };
    if output.is_json() {
        output.json(&json!({ done: member.to_string(), "group": group }));
    } else {
        let group = match (group, done) {
            (None, _) => "from every group".to_owned(),
            (Some(group), "added") => format!("to the group {group}"),
            (Some(group), _) => format!("from the group {group}"),
        };
        output.line(format_args!("{GOOD}{done}{GOOD:#} {NAME}{member}{NAME:#} {group}"));
    }
    Ok(ExitCode::SUCCESS)
}
