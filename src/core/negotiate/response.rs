//! What a server answers to negotiate.

use crate::core::ProtocolError;
use crate::core::http::value_fault;
use crate::core::json::reader::{Reader, as_integer, as_text};
use crate::core::negotiate::{NegotiateError, RESPONSE_LIMIT};
use crate::core::text::clipped;
use crate::core::token::AccessToken;

/// How many transports an answer may offer. There are three; each that is not taken is kept with its reason.
const TRANSPORT_LIMIT: usize = 64;

/// A transport that the server offers, as the server names it. Names that this client does not know are kept, the first
/// 4 KiB of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AvailableTransport {
    /// `WebSockets`, `ServerSentEvents` or `LongPolling`.
    pub transport: String,
    /// `Text`, `Binary` or both.
    pub transfer_formats: Vec<String>,
}

impl AvailableTransport {
    /// An offer.
    #[must_use]
    pub fn new(transport: impl Into<String>, transfer_formats: Vec<String>) -> Self {
        Self { transport: transport.into(), transfer_formats }
    }
}

/// A negotiate answer, as the server gave it.
///
/// ```
/// use hubwire::core::negotiate::NegotiateResponse;
///
/// let answer = NegotiateResponse::parse(br#"{"url":"https://x.service.signalr.net/client/?hub=chat","accessToken":"e30"}"#)?;
/// assert_eq!(answer.url.as_deref(), Some("https://x.service.signalr.net/client/?hub=chat"));
/// # Ok::<(), hubwire::core::negotiate::NegotiateError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NegotiateResponse {
    /// The connection's public id.
    pub connection_id: Option<String>,
    /// The connection's secret id, of version 1.
    pub connection_token: Option<AccessToken>,
    /// The version of the answer; 0 if it names none.
    pub negotiate_version: i64,
    /// The transports, in the server's order of preference.
    pub available_transports: Vec<AvailableTransport>,
    /// Where to negotiate instead.
    pub url: Option<String>,
    /// The token to use from now on.
    pub access_token: Option<AccessToken>,
    /// The server refuses the connection.
    pub error: Option<String>,
    /// Whether the server will let the connection be resumed.
    pub use_stateful_reconnect: bool,
    /// How many seconds the credentials are still valid for.
    pub token_lifetime_seconds: Option<i64>,
}

impl NegotiateResponse {
    /// Reads an answer. Unknown properties are ignored, what is null is absent, and of duplicates the last one counts.
    ///
    /// # Errors
    /// [`NegotiateError::NotJson`], [`NegotiateError::Invalid`], [`NegotiateError::WrongCase`],
    /// [`NegotiateError::LegacyServer`] or [`NegotiateError::TooLong`].
    pub fn parse(body: &[u8]) -> Result<Self, NegotiateError> {
        if body.len() > RESPONSE_LIMIT {
            return Err(NegotiateError::TooLong);
        }
        let body = std::str::from_utf8(body).map_err(|e| {
            NegotiateError::NotJson(ProtocolError::Json {
                offset: e.valid_up_to(),
                reason: "the text is not UTF-8",
            })
        })?;
        // A byte order mark is not JSON, yet some servers send one.
        let body = body.strip_prefix('\u{feff}').unwrap_or(body);
        let mut response = Self::default();
        let (mut connection_token, mut access_token) = (None, None);
        let (mut legacy, mut wrong_case, mut invalid) = (false, None, None);
        let mut reader = Reader::new(body);
        let read = reader.object(|name, value| {
            let mut fault = |reason| invalid = Some(reason);
            let (text, reason) = match name {
                "connectionId" => (&mut response.connection_id, "`connectionId` is not a string"),
                "connectionToken" => (&mut connection_token, "`connectionToken` is not a string"),
                "url" => (&mut response.url, "`url` is not a string"),
                "accessToken" => (&mut access_token, "`accessToken` is not a string"),
                "error" => (&mut response.error, "`error` is not a string"),
                other => {
                    match other {
                        "negotiateVersion" => match as_integer(value) {
                            Some(version) => response.negotiate_version = version,
                            None if value == "null" => response.negotiate_version = 0,
                            None => fault("`negotiateVersion` is not an integer"),
                        },
                        "tokenLifetimeSeconds" => response.token_lifetime_seconds = as_integer(value),
                        "useStatefulReconnect" => response.use_stateful_reconnect = value == "true",
                        "availableTransports" => {
                            response.available_transports = transports(value, &mut fault)?;
                        }
                        "ProtocolVersion" => legacy = value != "null",
                        "Url" | "AccessToken" | "ConnectionId" => wrong_case = Some(name.to_owned()),
                        _ => {}
                    }
                    return Ok(());
                }
            };
            *text = as_text(value)?;
            if text.is_none() && value != "null" {
                fault(reason);
            }
            Ok(())
        });
        read.and_then(|()| reader.end()).map_err(NegotiateError::NotJson)?;
        // ASP.NET Core's `connectionId` is never empty, but nothing depends on it from version 1 on. Anything else that
        // is empty is absent.
        for text in [&mut response.url, &mut response.error, &mut connection_token, &mut access_token] {
            text.take_if(|text| text.is_empty());
        }
        for (token, reason) in [
            (&connection_token, "`connectionToken` has a character that a header cannot carry"),
            (&access_token, "`accessToken` has a character that a header cannot carry"),
        ] {
            if token.as_deref().and_then(value_fault).is_some() {
                invalid = Some(reason);
            }
        }
        response.connection_token = connection_token.map(AccessToken::from);
        response.access_token = access_token.map(AccessToken::from);
        if let Some(reason) = invalid {
            return Err(NegotiateError::Invalid(reason));
        }
        if response.error.is_some() {
            return Ok(response);
        }
        if legacy {
            return Err(NegotiateError::LegacyServer);
        }
        let has_token = response.negotiate_version >= 1 && response.connection_token.is_some();
        if response.url.is_none() && response.connection_id.is_none() && !has_token {
            return Err(match wrong_case {
                Some(name) => NegotiateError::WrongCase(name),
                None => NegotiateError::Invalid("it has neither `connectionId` nor `url`"),
            });
        }
        if response.url.is_none() && response.negotiate_version >= 1 && !has_token {
            return Err(NegotiateError::Invalid("`connectionToken` is missing"));
        }
        Ok(response)
    }

    /// What a transport puts into `id=`: the connection's token, or its id in version 0.
    #[must_use]
    pub fn transport_id(&self) -> Option<&str> {
        if self.negotiate_version >= 1 {
            self.connection_token.as_ref().map(AccessToken::secret)
        } else {
            self.connection_id.as_deref()
        }
    }
}

/// What cannot be used is not refused with the whole answer: an offer without a name says nothing, and one without
/// formats is passed over with that reason, unless the server has others.
fn transports(
    value: &str,
    fault: &mut dyn FnMut(&'static str),
) -> Result<Vec<AvailableTransport>, ProtocolError> {
    let mut all = Vec::new();
    if value == "null" {
        return Ok(all);
    }
    if !value.starts_with('[') {
        fault("`availableTransports` is not an array");
        return Ok(all);
    }
    Reader::new(value).array(&mut |item| {
        if all.len() == TRANSPORT_LIMIT {
            fault("there are too many available transports");
            return Ok(());
        }
        let (mut name, mut transfer_formats) = (None, Vec::new());
        if item == "null" {
            return Ok(());
        }
        if !item.starts_with('{') {
            fault("an available transport is not an object");
            return Ok(());
        }
        Reader::new(item).object(|key, value| {
            match key {
                "transport" => name = as_text(value)?.map(|text| clipped(&text)),
                "transferFormats" => {
                    transfer_formats.clear();
                    if !value.starts_with('[') {
                        return Ok(());
                    }
                    Reader::new(value).array(&mut |format| {
                        transfer_formats.extend(as_text(format)?);
                        Ok(())
                    })?;
                }
                _ => {}
            }
            Ok(())
        })?;
        all.extend(name.map(|transport| AvailableTransport { transport, transfer_formats }));
        Ok(())
    })?;
    Ok(all)
}
