//! The claims of a client, which a refresh of its authentication changes. They mean something to the host alone.

use std::sync::Mutex;

use serde_json::{Map, Value};

use crate::lock::lock;
use crate::server::traffic::Described;

/// By name. A claim that occurs more than once is an array.
pub(crate) type Claims = Map<String, Value>;

/// The claims of one connection, for all who ask for them.
#[derive(Debug, Default)]
pub(crate) struct SharedClaims(Mutex<Claims>);

impl SharedClaims {
    pub(crate) fn new(claims: Claims) -> Self {
        Self(Mutex::new(claims))
    }

    pub(crate) fn get(&self) -> Claims {
        lock(&self.0).clone()
    }

    /// Changes them, and gives what they are then.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Claims)) -> Claims {
        let mut claims = lock(&self.0);
        change(&mut claims);
        claims.clone()
    }
}

impl Described for SharedClaims {
    fn claims(&self) -> Vec<(String, String)> {
        let mut list = Vec::new();
        for (name, value) in self.get() {
            let values = match value {
                Value::Array(values) => values,
                value => vec![value],
            };
            list.extend(values.into_iter().map(|value| match value {
                Value::String(text) => (name.clone(), text),
                other => (name.clone(), other.to_string()),
            }));
        }
        list
    }
}
