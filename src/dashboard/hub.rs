//! The dashboard's own hub. What it lists is bounded, and so is what it takes.

use std::{sync::Arc, time::Duration};

use super::{
    contract::{
        CloseForm, Closed, ConnectionDetails, ConnectionItem, Info, ListQuery, MethodItem, NamedItem, Page,
        Pair, SendForm, Sent, To, TokenRead,
    },
    source::{Sending, Source, Watched},
    token, watch,
};
use crate::{
    HubProtocol,
    server::{
        Caller, HubError, HubServer, Recipients,
        connections::{
            Target,
            listing::{Filter, Range, Row, Sets},
        },
        observe::{Kind, Observed},
    },
};

/// The most items of a page.
const MAX_PAGE: usize = 200;

/// The longest text to search for, in characters.
const MAX_SEARCH: usize = 200;

/// The longest name of a hub, user, group, connection or method, in bytes.
const MAX_NAME: usize = 1_024;

/// The longest arguments of a message, in bytes of JSON.
const MAX_ARGUMENTS: usize = 64 * 1024;

/// How many claims of a connection are listed, and the longest value of one.
const MAX_CLAIMS: usize = 200;
const MAX_CLAIM: usize = 1_000;

/// How many may watch at a time.
const MAX_WATCHERS: usize = 32;

/// More than a form may be long; what waits for a page that does not read.
const MAX_MESSAGE: usize = 256 * 1024;
const MAX_WAITING: usize = 2 * 1024 * 1024;

/// What the dashboard may do besides showing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    pub(super) send: bool,
    pub(super) close: bool,
}

/// What the methods of the hub share.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    pub(super) source: Arc<dyn Source>,
    pub(super) rights: Rights,
}

/// The hub. `patience` is how long a page may be silent, or not read.
pub(super) fn hub(desk: Desk, patience: Duration) -> HubServer {
    let hub = HubServer::builder()
        .service_name("Dashboard")
        .supported_protocols(&[HubProtocol::Json])
        .maximum_connections(MAX_WATCHERS)
        .maximum_receive_message_size(MAX_MESSAGE)
        .maximum_send_buffer_size(MAX_WAITING)
        .client_timeout_interval(patience);
    /// Adds a method that takes one argument and works at once.
    macro_rules! methods {
        ($hub:ident; $($name:literal $method:ident ($argument:ty);)*) => {
            $hub$(.on($name, {
                let desk = desk.clone();
                move |_: Caller, argument: $argument| {
                    let desk = desk.clone();
                    async move { desk.$method(argument) }
                }
            }))*
        };
    }
    let hub = methods! { hub;
        "Connections" connections(ListQuery);
        "Users" users(ListQuery);
        "Groups" groups(ListQuery);
        "Methods" methods(ListQuery);
        "Close" close(CloseForm);
        "ReadToken" read_token(String);
    };
    let (info, one, send, watched) = (desk.clone(), desk.clone(), desk.clone(), desk);
    hub.on("Info", move |_: Caller| {
        let desk = info.clone();
        async move { Ok(desk.info()) }
    })
    .on("Connection", move |_: Caller, hub: String, id: String| {
        let desk = one.clone();
        async move { Ok(desk.connection(&hub, &id)) }
    })
    .on("Send", move |_: Caller, form: SendForm| {
        let desk = send.clone();
        async move { desk.send(form).await }
    })
    .stream("Watch", move |_: Caller| watch::watch(watched.source.clone()))
    .build()
}

impl Desk {
    fn info(&self) -> Info {
        let Rights { send, close } = self.rights;
        Info { can_send: send, can_close: close, ..self.source.info() }
    }

    /// The rooms that a hub can be in, with the hub's name there; all of them with all their hubs where no hub is named.
    fn rooms<'d>(&'d self, hub: Option<&'d str>) -> impl Iterator<Item = (&'d Watched, Option<&'d str>)> {
        self.source.rooms().iter().filter_map(move |watched| match hub {
            None => Some((watched, None)),
            Some(hub) => watched.inner(hub).map(|hub| (watched, Some(hub))),
        })
    }

    fn connections(&self, query: ListQuery) -> Result<Page<ConnectionItem>, HubError> {
        let (search, range) = checked(&query)?;
        let lists = self.rooms(query.hub.as_deref()).map(|(watched, hub)| {
            let filter = Filter { hub, user: query.user.as_deref(), group: query.group.as_deref(), search };
            move |range| {
                let (total, rows) = watched.room.connections.page(filter, range);
                (total, rows.into_iter().map(|row| self.item(watched, row)).collect())
            }
        });
        Ok(paged(range, lists))
    }

    fn users(&self, query: ListQuery) -> Result<Page<NamedItem>, HubError> {
        self.named(Sets::Users, &query)
    }

    fn groups(&self, query: ListQuery) -> Result<Page<NamedItem>, HubError> {
        self.named(Sets::Groups, &query)
    }

    fn named(&self, sets: Sets, query: &ListQuery) -> Result<Page<NamedItem>, HubError> {
        let (search, range) = checked(query)?;
        let lists = self.rooms(query.hub.as_deref()).map(|(watched, hub)| {
            move |range| {
                let (total, named) = watched.room.connections.named(sets, hub, search, range);
                let items = named.into_iter().map(|named| NamedItem {
                    hub: watched.outer(named.hub),
                    name: named.name,
                    connections: named.connections,
                });
                (total, items.collect())
            }
        });
        Ok(paged(range, lists))
    }

    fn methods(&self, query: ListQuery) -> Result<Page<MethodItem>, HubError> {
        let (search, Range { offset, limit }) = checked(&query)?;
        let search = search.map(str::to_lowercase);
        let mut items = self.source.methods();
        items.retain(|item| {
            query.hub.as_deref().is_none_or(|hub| item.hub == hub)
                && search.as_deref().is_none_or(|part| item.name.to_lowercase().contains(part))
        });
        let total = items.len();
        Ok(Page { total, items: items.into_iter().skip(offset).take(limit).collect() })
    }

    fn connection(&self, hub: &str, id: &str) -> Option<ConnectionDetails> {
        let (watched, row) = self.find(hub, id)?;
        let outbox = row.outbox.clone();
        let claims = outbox.about.claims().into_iter().take(MAX_CLAIMS).map(|(name, value)| Pair {
            name,
            value: match value.char_indices().nth(MAX_CLAIM) {
                Some((end, _)) => format!("{}…", value.get(..end).unwrap_or_default()),
                None => value,
            },
        });
        Some(ConnectionDetails {
            claims: claims.collect(),
            stateful: outbox.about.is_stateful,
            expires_at: outbox.about.expires_at(),
            waiting_bytes: outbox.waiting(),
            item: self.item(watched, row),
        })
    }

    fn find(&self, hub: &str, id: &str) -> Option<(&Watched, Row)> {
        self.source.rooms().iter().find_map(|watched| {
            let row = watched.room.connections.row(watched.inner(hub)?, id)?;
            Some((watched, row))
        })
    }

    fn item(&self, watched: &Watched, row: Row) -> ConnectionItem {
        let server = self.source.server_of(&row.hub, &row.id);
        let outbox = &row.outbox;
        ConnectionItem {
            id: row.id.to_string(),
            user: row.user,
            transport: outbox.about.transport.map_or("unknown", |transport| transport.name()),
            protocol: outbox.protocol.name(),
            since: outbox.about.since,
            groups: row.groups,
            group_count: row.group_count,
            traffic: outbox.traffic.totals(),
            server,
            hub: watched.outer(row.hub),
        }
    }

    async fn send(&self, form: SendForm) -> Result<Sent, HubError> {
        if !self.rights.send {
            return Err(HubError::new("This dashboard is not allowed to send."));
        }
        let SendForm { hub, to, name, target, arguments } = form;
        if target.trim().is_empty() {
            return Err(HubError::new("Name the method of the clients that is to be called."));
        }
        named_at_most([Some(target.as_str()), name.as_deref(), Some(hub.as_str())])?;
        let size = serde_json::to_vec(&arguments).map_or(usize::MAX, |json| json.len());
        if size > MAX_ARGUMENTS {
            return Err(HubError::new(format!(
                "The arguments have {size} bytes of JSON; {MAX_ARGUMENTS} is the most."
            )));
        }
        let name = match (to, name.filter(|name| !name.is_empty())) {
            (To::All, _) => String::new(),
            (_, Some(name)) => name,
            (_, None) => return Err(HubError::new("Say which user, group or connection it is for.")),
        };
        let rooms = self.source.rooms().iter().enumerate();
        let found =
            rooms.filter_map(|(number, watched)| Some((number, watched, watched.inner(&hub)?))).next();
        let Some((number, watched, inner)) = found else {
            return Err(HubError::new(format!("There is no hub {hub} here.")));
        };
        let here = match to {
            To::All => Target::All,
            To::User => Target::User(&name),
            To::Group => Target::Group(&name),
            To::Connection => Target::Connection(&name),
        };
        let connections = watched.room.connections.count_of(inner, here);
        if connections == 0 && !self.source.is_shared() {
            return Err(HubError::new(match to {
                To::All => format!("Nobody is connected to the hub {hub}."),
                To::User => format!("The user {name} has no connection to the hub {hub}."),
                To::Group => format!("Nobody is in the group {name} of the hub {hub}."),
                To::Connection => format!("The hub {hub} has no connection {name}."),
            }));
        }
        let recipients = match to {
            To::All => Recipients::All,
            To::User => Recipients::Users(vec![name.clone()]),
            To::Group => Recipients::Groups(vec![name.clone()]),
            To::Connection => Recipients::Connections(vec![name.clone()]),
        };
        let sending = Sending { hub: inner, to: recipients, target: &target, arguments };
        let sent = self.source.send(number, sending).await;
        watched.room.record(|| {
            let mut observed = Observed { hub: Some(inner.to_owned()), ..Observed::new(Kind::Send) };
            match to {
                To::All => {}
                To::User => observed.user = Some(name.clone()),
                To::Connection => observed.connection = Some(name.clone()),
                To::Group => observed.path = Some(format!("group {name}")),
            }
            observed.target = Some(target.clone());
            match &sent {
                Ok(()) => observed,
                Err(error) => observed.failed(error.clone()),
            }
        });
        sent.map(|()| Sent { connections }).map_err(HubError::new)
    }

    fn close(&self, form: CloseForm) -> Result<Closed, HubError> {
        if !self.rights.close {
            return Err(HubError::new("This dashboard is not allowed to close connections."));
        }
        let CloseForm { hub, connection, reason, allow_reconnect } = form;
        named_at_most([Some(hub.as_str()), Some(connection.as_str()), reason.as_deref()])?;
        let reason = reason.filter(|reason| !reason.is_empty());
        let found = self.find(&hub, &connection);
        if let Some((_, row)) = &found {
            let reason = reason.as_deref();
            if allow_reconnect { row.outbox.close_for_now(reason) } else { row.outbox.close(reason) }
        }
        Ok(Closed { closed: found.is_some() })
    }

    fn read_token(&self, text: String) -> Result<TokenRead, HubError> {
        token::read(&text, &*self.source)
            .map_err(|error| HubError::new(format!("It cannot be read: {error}.")))
    }
}

/// What a page is searched for, and how much of the list it is.
fn checked(query: &ListQuery) -> Result<(Option<&str>, Range), HubError> {
    let search = query.search.as_deref().map(str::trim).filter(|text| !text.is_empty());
    if search.is_some_and(|text| text.chars().count() > MAX_SEARCH) {
        return Err(HubError::new(format!("A text to search for has at most {MAX_SEARCH} characters.")));
    }
    named_at_most([query.hub.as_deref(), query.user.as_deref(), query.group.as_deref()])?;
    let limit = query.limit.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    Ok((search, Range { offset: query.offset, limit }))
}

fn named_at_most<const N: usize>(names: [Option<&str>; N]) -> Result<(), HubError> {
    if names.into_iter().flatten().any(|name| name.len() > MAX_NAME) {
        return Err(HubError::new(format!("A name or reason has at most {MAX_NAME} bytes.")));
    }
    Ok(())
}

/// One page of several lists, one behind the other.
fn paged<T>(
    Range { mut offset, mut limit }: Range,
    lists: impl Iterator<Item = impl Fn(Range) -> (usize, Vec<T>)>,
) -> Page<T> {
    let mut page = Page { total: 0, items: Vec::new() };
    for list in lists {
        let (total, items) = list(Range { offset, limit });
        page.total += total;
        offset = offset.saturating_sub(total);
        limit -= items.len().min(limit);
        page.items.extend(items);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_goes_over_several_lists() {
        let lists = || {
            [0..5_usize, 5..5, 5..12].into_iter().map(|numbers| {
                move |Range { offset, limit }| {
                    (numbers.len(), numbers.clone().skip(offset).take(limit).collect::<Vec<_>>())
                }
            })
        };
        for (offset, limit) in [(0, 3), (3, 4), (4, 8), (6, 9), (12, 3), (40, 3)] {
            let page = paged(Range { offset, limit }, lists());
            let expected: Vec<_> = (0..12).skip(offset).take(limit).collect();
            assert_eq!((page.total, page.items), (12, expected), "{offset} {limit}");
        }
    }
}
