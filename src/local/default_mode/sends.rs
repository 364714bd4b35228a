//! What an app server sends to many: each client gets it in its own protocol.

use std::collections::HashSet;

use crate::{
    core::service_protocol::{Extensions, Payloads, ServiceMessage as M, Text},
    local::{
        default_mode::{hub::Hub, payloads::message},
        filter::Filter,
    },
    server::{connections::Target, message::Message},
};

/// Those that a filter lets through; `None` if it cannot be read.
fn filter(extensions: &Extensions<'_>) -> Option<Filter> {
    let Some(text) = &extensions.filter else { return Some(Filter::Everything) };
    let filter = Filter::parse(text);
    if let Err(error) = &filter {
        tracing::debug!(error, "nobody gets what was sent with a filter that cannot be read");
    }
    filter.ok()
}

fn set<'t>(texts: &'t [Text<'_>]) -> HashSet<&'t str> {
    texts.iter().map(|text| &**text).collect()
}

impl Hub {
    /// Carries out a send, if the message is one.
    pub(super) fn send(&self, sent: &M<'_>) {
        let excluding = |ids: &[Text<'_>], target, payloads: &Payloads<'_>| {
            let excluded: Vec<&str> = ids.iter().map(|id| &**id).collect();
            self.place.connections.send(&self.name, target, &excluded, &message(payloads));
        };
        match sent {
            M::MultiConnectionData { connection_ids, payloads, extensions } => {
                let Some(filter) = filter(extensions) else { return };
                let message = message(payloads);
                if matches!(filter, Filter::Everything) {
                    for id in connection_ids {
                        self.place.connections.send(&self.name, Target::Connection(id), &[], &message);
                    }
                } else {
                    let ids = set(connection_ids);
                    self.send_where(&message, |id, user, groups| {
                        ids.contains(id) && filter.matches(id, user, groups)
                    });
                }
            }
            M::UserData { user_id, payloads, extensions } => match filter(extensions) {
                Some(Filter::Everything) => excluding(&[], Target::User(user_id), payloads),
                Some(filter) => self.send_where(&message(payloads), |id, user, groups| {
                    user == Some(&**user_id) && filter.matches(id, user, groups)
                }),
                None => {}
            },
            M::MultiUserData { user_ids, payloads, extensions } => {
                let (Some(filter), users) = (filter(extensions), set(user_ids)) else { return };
                self.send_where(&message(payloads), |id, user, groups| {
                    user.is_some_and(|user| users.contains(user)) && filter.matches(id, user, groups)
                });
            }
            M::BroadcastData { excluded_ids, payloads, extensions } => match filter(extensions) {
                Some(Filter::Everything) => excluding(excluded_ids, Target::All, payloads),
                Some(filter) => {
                    let excluded = set(excluded_ids);
                    self.send_where(&message(payloads), |id, user, groups| {
                        !excluded.contains(id) && filter.matches(id, user, groups)
                    });
                }
                None => {}
            },
            M::GroupBroadcastData {
                group_name,
                excluded_ids,
                payloads,
                extensions,
                excluded_user_ids,
                ..
            } => match filter(extensions) {
                Some(Filter::Everything) if excluded_user_ids.is_empty() => {
                    excluding(excluded_ids, Target::Group(group_name), payloads);
                }
                Some(filter) => {
                    let (excluded, users) = (set(excluded_ids), set(excluded_user_ids));
                    self.send_where(&message(payloads), |id, user, groups| {
                        groups.contains(&**group_name)
                            && !excluded.contains(id)
                            && !user.is_some_and(|user| users.contains(user))
                            && filter.matches(id, user, groups)
                    });
                }
                None => {}
            },
            M::MultiGroupBroadcastData { group_names, payloads, extensions } => {
                let Some(filter) = filter(extensions) else { return };
                // A client that is in several of the groups gets it once.
                self.send_where(&message(payloads), |id, user, groups| {
                    group_names.iter().any(|name| groups.contains(&**name))
                        && filter.matches(id, user, groups)
                });
            }
            _ => {}
        }
    }

    fn send_where(&self, message: &Message, matches: impl Fn(&str, Option<&str>, &HashSet<String>) -> bool) {
        for id in self.place.connections.matching(&self.name, matches) {
            self.place.connections.send(&self.name, Target::Connection(&id), &[], message);
        }
    }
}
