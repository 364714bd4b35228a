//! One call of the REST API: who makes it, of what, and with which parameters.

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{FromRequestParts, MatchedPath, OriginalUri, Path},
    http::{StatusCode, request::Parts},
};

use super::version;
use crate::{
    core::hub_name,
    local::{
        access::Caller, api_error::ApiError, guard::Origin, roles::Action, service::Service,
        user_groups::UserGroups,
    },
    server::{connections::Connections, query::Query},
    service::limits,
};

/// What an operation answers that has nothing to say.
pub(super) type Answer = Result<StatusCode, ApiError>;

/// A call with its parameters. Who makes it is known by then; what they may do is checked by [`Call::hub`] and
/// [`Call::plain_hub`], the only ways to the hub.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) service: Arc<Service>,
    pub(super) caller: Caller,
    path: HashMap<String, String>,
    pub(super) query: Query,
    /// The address that the caller has for the service.
    pub(super) origin: Arc<str>,
    /// Whether it is one of the first version.
    pub(super) v1: bool,
}

impl FromRequestParts<Arc<Service>> for Call {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, ApiError> {
        // Tokens are for the path as it was sent.
        let OriginalUri(sent) =
            OriginalUri::from_request_parts(parts, service).await.unwrap_or_else(|e| match e {});
        let caller = Caller::identify(&service.access, &parts.headers, sent.path())?;
        let query = Query::parse(parts.uri.query());
        let route = MatchedPath::from_request_parts(parts, service).await.ok();
        let route = route.as_ref().map(MatchedPath::as_str).unwrap_or_default();
        let v1 = route.starts_with("/api/v1/");
        if !v1 {
            version::check(&query, route)?;
        }
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, service).await;
        let Path(path) = path.map_err(|_| ApiError::bad_request("path", "The path is not valid UTF-8."))?;
        if path.values().any(String::is_empty) {
            return Err(ApiError::wrong_address("A name is missing in the path."));
        }
        let origin = parts
            .extensions
            .get()
            .map_or_else(|| (*service.access.origin).into(), |Origin(origin)| origin.clone());
        Ok(Self { service: service.clone(), caller, path, query, origin, v1 })
    }
}

impl Call {
    pub(super) fn connections(&self) -> &Connections {
        &self.service.room.connections
    }

    pub(super) fn user_groups(&self) -> &UserGroups {
        &self.service.user_groups
    }

    /// The hub, with the application's prefix, for a caller who may do this with it.
    pub(super) fn hub(&self, action: Action) -> Result<String, ApiError> {
        let hub = self.plain_hub(action)?;
        match self.query.first("application") {
            Some(application) if !self.v1 && !application.is_empty() => {
                let application = application.to_ascii_lowercase();
                if hub_name::check(&application).is_ok() {
                    Ok(format!("{application}_{hub}"))
                } else {
                    Err(not_a_name("application", "The application's name"))
                }
            }
            _ => Ok(hub),
        }
    }

    /// The hub of an operation that has no parameter for the application.
    pub(super) fn plain_hub(&self, action: Action) -> Result<String, ApiError> {
        self.caller.authorize(action)?;
        let hub = self.segment("hub").to_ascii_lowercase();
        if hub_name::check(&hub).is_ok() { Ok(hub) } else { Err(not_a_name("hub", "A hub's name")) }
    }

    /// The hub as the path names it, without the application's prefix.
    pub(super) fn hub_as_sent(&self) -> &str {
        self.segment("hub")
    }

    fn segment(&self, name: &str) -> &str {
        self.path.get(name).map(String::as_str).unwrap_or_default()
    }

    fn name(&self, name: &'static str, limit: usize) -> Result<&str, ApiError> {
        let value = self.segment(name);
        if value.chars().count() > limit {
            let message = format!("The {name} of a path has at most {limit} characters.");
            return Err(ApiError::bad_request(name, message));
        }
        Ok(value)
    }

    fn visible_name(&self, name: &'static str, limit: usize) -> Result<&str, ApiError> {
        if self.segment(name).trim().is_empty() {
            return Err(ApiError::bad_request(name, format!("The {name} is blank.")));
        }
        self.name(name, limit)
    }

    pub(super) fn connection(&self) -> Result<&str, ApiError> {
        self.name("connection", limits::NAME)
    }

    pub(super) fn user(&self) -> Result<&str, ApiError> {
        self.name("user", limits::NAME)
    }

    pub(super) fn group(&self) -> Result<&str, ApiError> {
        self.visible_name("group", limits::NAME)
    }

    pub(super) fn stream(&self) -> Result<&str, ApiError> {
        self.visible_name("stream", 100)
    }

    /// The connections that are left out.
    pub(super) fn excluded(&self) -> Vec<&str> {
        self.query.all("excluded").collect()
    }

    /// A parameter that is a whole number in these bounds.
    pub(super) fn number(&self, name: &'static str, least: i32, most: i32) -> Result<Option<i32>, ApiError> {
        let Some(text) = self.query.first(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => {
                Err(ApiError::bad_request(name, format!("{name} is a whole number from {least} to {most}.")))
            }
        }
    }

    /// The versions differ in what they answer to some calls that worked.
    pub(super) fn status<S>(&self, current: S, v1: S) -> S {
        if self.v1 { v1 } else { current }
    }
}

fn not_a_name(target: &'static str, what: &str) -> ApiError {
    let rule = "is a letter and up to 127 letters, digits, underscores or any of ` , . [ ]";
    ApiError::bad_request(target, format!("{what} {rule}."))
}

/// Whether a text can be the name of a group, which a command names in its body.
pub(super) fn check_group(group: &str) -> Result<(), ApiError> {
    if group.trim().is_empty() || group.chars().count() > limits::NAME {
        return Err(ApiError::bad_request(
            "group",
            "The name of a group has 1 to 1024 characters, not only blanks.",
        ));
    }
    Ok(())
}
