use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Weak;
use std::task::Poll;
use std::time::Duration;

use crate::client::codec::Codec;
use crate::client::connection::{Connection, TokenProvider};
use crate::client::guard::guarded;
use crate::client::transport::Authorization;
use crate::core::negotiate::{RESPONSE_LIMIT, refresh_url};
use crate::core::refresh::{CONNECTION_TOKEN_HEADER, RefreshAnswer, RefreshError};
use crate::core::session::TransportError;
use crate::core::token::AccessToken;
use crate::core::url::HubUrl;
use crate::platform::{self, BoxFuture, HttpClient};

/// A refresh that is accepted: the answer, and the token that was sent.
pub(super) type Accepted = (RefreshAnswer, Option<AccessToken>);

/// Asks the provider. One that panics has failed.
pub(super) async fn fetch(provider: Option<TokenProvider>) -> Result<Option<AccessToken>, String> {
    let Some(provider) = provider else { return Ok(None) };
    guarded(async move { provider.provide().await }).await.unwrap_or_else(|| Err("it panicked".to_owned()))
}

/// Gets a new token and POSTs it to the hub's own server, wherever negotiate was redirected to.
pub(super) async fn refresh(
    http: Result<HttpClient, TransportError>,
    hub: HubUrl,
    connection: AccessToken,
    provider: Option<TokenProvider>,
    mut headers: Vec<(String, String)>,
) -> Result<Accepted, RefreshError> {
    let token = fetch(provider).await.map_err(RefreshError::AccessToken)?;
    headers.push((CONNECTION_TOKEN_HEADER.to_owned(), connection.secret().to_owned()));
    let http = http.map_err(RefreshError::Request)?;
    let answer = http
        .post(refresh_url(&hub), token.clone(), headers, RESPONSE_LIMIT)
        .await
        .map_err(RefreshError::Request)?;
    Ok((RefreshAnswer::parse(answer.status, &answer.body)?, token))
}

/// A refresh that takes too long has failed.
pub(super) async fn limited(
    limit: Duration,
    refresh: impl Future<Output = Result<Accepted, RefreshError>>,
) -> Result<Accepted, RefreshError> {
    let (mut refresh, mut sleep) = (pin!(refresh), platform::sleep(limit));
    poll_fn(|cx| match refresh.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => sleep
            .as_mut()
            .poll(cx)
            .map(|()| Err(RefreshError::Request(TransportError::new("the answer took too long")))),
    })
    .await
}

/// The token of a connection's requests: the one that opened it, until it is renewed or refreshed.
pub(super) struct LinkTokens<C: Codec>(pub(super) Weak<Connection<C>>);

impl<C: Codec> Authorization for LinkTokens<C> {
    fn current(&self) -> Option<AccessToken> {
        self.0.upgrade()?.lock().link_token.0.clone()
    }

    /// Once for every attempt to connect, and whenever it is needed later.
    fn renew(&self, rejected: Option<AccessToken>) -> BoxFuture<Result<Option<AccessToken>, String>> {
        let connection = self.0.clone();
        Box::pin(async move {
            let Some(connection) = connection.upgrade() else { return Ok(None) };
            {
                let mut shared = connection.lock();
                let (current, redirected) = &shared.link_token;
                // Another request has renewed it in the meantime.
                if *current != rejected {
                    return Ok(current.clone());
                }
                if *redirected || (shared.renewed && shared.info.is_none()) {
                    return Ok(None);
                }
                shared.renewed = true;
            }
            let token = fetch(connection.settings.token_provider.clone()).await?;
            connection.lock().accept(platform::now(), None, token.as_ref());
            Ok(token)
        })
    }

    fn refresh(&self) -> BoxFuture<Result<(), TransportError>> {
        let connection = self.0.clone();
        Box::pin(async move {
            let refreshed = match connection.upgrade() {
                Some(connection) => connection.refresh().await,
                None => Err(RefreshError::NotConnected),
            };
            match refreshed {
                Ok(_) => Ok(()),
                Err(error) => Err(TransportError::new(error.to_string())),
            }
        })
    }
}
