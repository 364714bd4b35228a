//! The connections in a group, a page at a time.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_util::future::BoxFuture;
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::service::{
    endpoints::connected::ConnectedEndpoint,
    error::{Operation, ServiceError},
    hub::requests::Hub,
    limits,
    rest::scope::Scope,
};

/// A connection in a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct GroupConnection {
    /// The connection id.
    pub connection_id: String,
    /// The user of the connection, if it has one.
    #[serde(default)]
    pub user_id: Option<String>,
}

/// One page of a group's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionPage {
    /// The connections.
    pub connections: Vec<GroupConnection>,
    /// Where the next page begins, for [`ConnectionPages::continue_from`]. `None` on the last page.
    pub continuation_token: Option<String>,
}

/// A stream of the connections in a group, from [`Group::connections`](crate::service::hub::Group::connections). It asks for a page
/// when it has none left. After an error it ends.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct GroupConnections {
    pages: ConnectionPages,
    ready: VecDeque<GroupConnection>,
}

impl GroupConnections {
    pub(super) fn new(hub: Hub, group: Result<Scope, ServiceError>) -> Self {
        let state = State::Ask(Place::Token(None));
        let pages = ConnectionPages { hub, group, page_size: limits::PAGE.into(), left: None, state };
        Self { pages, ready: VecDeque::new() }
    }

    /// How many connections to return at most. Without it, all.
    pub fn top(self, count: u32) -> Self {
        Self { pages: self.pages.top(count), ..self }
    }

    /// How many connections a page has at most: 1 to 200, 200 by default. It is for the requests; the stream is the
    /// same.
    pub fn page_size(self, count: u32) -> Self {
        Self { pages: self.pages.page_size(count), ..self }
    }

    /// The same as a stream of pages, for those who show one page at a time.
    ///
    /// ```no_run
    /// use futures_util::TryStreamExt;
    ///
    /// # async fn example(hub: hubwire::service::HubClient, token: String)
    /// #     -> Result<(), hubwire::service::ServiceError> {
    /// let mut pages = hub.group("admins").connections().page_size(50).pages().continue_from(token);
    /// if let Some(page) = pages.try_next().await? {
    ///     println!("{} connections, more from {:?}", page.connections.len(), page.continuation_token);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn pages(self) -> ConnectionPages {
        self.pages
    }
}

impl Stream for GroupConnections {
    type Item = Result<GroupConnection, ServiceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(connection) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(connection)));
            }
            match ready!(Pin::new(&mut self.pages).poll_next(cx)) {
                Some(Ok(page)) => self.ready.extend(page.connections),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// A stream of pages, from [`GroupConnections::pages`]. After an error it ends.
#[must_use = "a stream does nothing unless it is polled"]
pub struct ConnectionPages {
    hub: Hub,
    group: Result<Scope, ServiceError>,
    page_size: u32,
    /// How many connections are still wanted.
    left: Option<u32>,
    state: State,
}

enum State {
    /// The next page is to be asked for, from here.
    Ask(Place),
    Wait(BoxFuture<'static, Result<Turn, ServiceError>>),
    End,
}

/// A page, and where the one behind it begins.
type Turn = (ConnectionPage, Option<Place>);

/// Where the next page begins.
enum Place {
    /// At a continuation token of the caller's, or at the very beginning.
    Token(Option<String>),
    /// At a token of the first of these endpoints, or at its beginning.
    Endpoint { left: VecDeque<Arc<ConnectedEndpoint>>, token: Option<String> },
}

impl ConnectionPages {
    /// How many connections to return at most, over all pages. Without it, all.
    pub fn top(self, count: u32) -> Self {
        Self { left: Some(count), ..self }
    }

    /// How many connections a page has at most: 1 to 200, 200 by default.
    pub fn page_size(self, count: u32) -> Self {
        Self { page_size: count.clamp(1, limits::PAGE.into()), ..self }
    }

    /// Begins where an earlier page said that the next one does.
    pub fn continue_from(self, continuation_token: impl Into<String>) -> Self {
        Self { state: State::Ask(Place::Token(Some(continuation_token.into()))), ..self }
    }

    fn fetch(&self, place: Place) -> impl Future<Output = Result<Turn, ServiceError>> + Send + use<> {
        let (hub, group, page_size, top) = (self.hub.clone(), self.group.clone(), self.page_size, self.left);
        async move {
            let mut request = hub.request(Operation::ListConnections, Method::GET, &group?, "connections")?;
            request = request.query("maxpagesize", &page_size.to_string());
            if let Some(top) = top {
                request = request.query("top", &top.to_string());
            }
            let (mut left, token) = match place {
                Place::Token(token) => hub.endpoints_from(request.scope(), token).await?,
                Place::Endpoint { left, token } => (left, token),
            };
            let Some(endpoint) = left.front() else {
                return Err(ServiceError::NoEndpointAvailable { failures: Vec::new() });
            };
            if let Some(token) = &token {
                request = request.query("continuationToken", token);
            }
            let mut page = match endpoint.rest.json::<Answer>(&request).await {
                // It may be at the next one.
                Err(error) if error.is_absence() && left.len() > 1 => Answer::default(),
                answer => answer?,
            }
            .into_page(token.as_deref())?;
            let token = page.continuation_token.clone();
            if token.is_none() {
                left.pop_front();
            }
            // With several endpoints a token of ours says whose it is.
            if let (true, Some(endpoint)) = (hub.has_several_endpoints(), left.front()) {
                let address = endpoint.endpoint.endpoint();
                page.continuation_token = Some(format!("{address} {}", token.as_deref().unwrap_or_default()));
            }
            let next = (!left.is_empty()).then_some(Place::Endpoint { left, token });
            Ok((page, next))
        }
    }
}

impl Stream for ConnectionPages {
    type Item = Result<ConnectionPage, ServiceError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::End => return Poll::Ready(None),
                State::Ask(_) if this.left == Some(0) => this.state = State::End,
                State::Ask(place) => {
                    let place = std::mem::replace(place, Place::Token(None));
                    this.state = State::Wait(Box::pin(this.fetch(place)));
                }
                State::Wait(fetch) => {
                    let result = ready!(fetch.as_mut().poll(cx));
                    this.state = State::End;
                    let (mut page, next) = match result {
                        Ok(page) => page,
                        Err(error) => return Poll::Ready(Some(Err(error))),
                    };
                    if let Some(left) = &mut this.left {
                        page.connections.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                        *left =
                            left.saturating_sub(u32::try_from(page.connections.len()).unwrap_or(u32::MAX));
                    }
                    if let Some(next) = next {
                        this.state = State::Ask(next);
                    }
                    return Poll::Ready(Some(Ok(page)));
                }
            }
        }
    }
}

impl fmt::Debug for ConnectionPages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionPages")
            .field("hub", &self.hub)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[serde(default)]
    value: Vec<GroupConnection>,
    next_link: Option<String>,
}

impl Answer {
    /// Of the link to the next page only the token is used: requests with tokens go to the endpoint and nowhere else.
    fn into_page(self, asked_for: Option<&str>) -> Result<ConnectionPage, ServiceError> {
        let invalid =
            |reason| ServiceError::InvalidResponse { operation: Operation::ListConnections, reason };
        let mut continuation_token = None;
        if let Some(link) = self.next_link.filter(|link| !link.is_empty()) {
            let base = Url::parse("https://localhost/").ok();
            let link = base.and_then(|base| base.join(&link).ok());
            let token = link.and_then(|link| {
                let mut query = link.query_pairs();
                query.find(|(name, _)| name == "continuationToken").map(|(_, token)| token.into_owned())
            });
            let token = token.ok_or_else(|| invalid("its link to the next page has no continuationToken"))?;
            if asked_for == Some(&*token) {
                return Err(invalid("the next page is the same one again"));
            }
            continuation_token = Some(token);
        }
        Ok(ConnectionPage { connections: self.value, continuation_token })
    }
}
