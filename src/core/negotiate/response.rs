//! What a server answers to negotiate.

use crate::core::ProtocolError;
use crate::core::http::value_fault;
use crate::core::json::reader::{Reader, as_integer, as_string};
use crate::core::negotiate::{NegotiateError, RESPONSE_LIMIT};
use crate::core::text::clip;
use crate::core::token::AccessToken;

/// How many transports an answer may offer. There are three; each that is not taken is kept with its reason.
const TRANSPORT_LIMIT: usize = 64;

/// A transport that the server offers, as the server names it. Names that this client does not know are kept, the first
/// 4 KiB of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvailableTransport {
    /// `WebSockets`, `ServerSentEvents` or `LongPolling`.
    pub transport: String,
    /// `Text`, `Binary` or both.
    pub transfer_formats: Vec<String>,
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
    /// Reads an answer. Unknown properties are ignored, and of duplicates the last one counts.
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
        let (mut legacy, mut wrong_case, mut invalid) = (false, None, None);
        let mut reader = Reader::new(body);
        let read = reader.object(|name, value| {
            let mut fault = |reason| invalid = Some(reason);
            match name {
                "connectionId" => {
                    response.connection_id = text(value, "`connectionId` is not a string", &mut fault)?
                }
                "connectionToken" => {
                    let token = text(value, "`connectionToken` is not a string", &mut fault)?;
                    if token.as_deref().and_then(value_fault).is_some() {
                        fault("`connectionToken` has a character that a header cannot carry");
                    }
                    response.connection_token = token.map(AccessToken::from);
                }
                "url" => response.url = text(value, "`url` is not a string", &mut fault)?,
                "accessToken" => {
                    let token = text(value, "`accessToken` is not a string", &mut fault)?;
                    if token.as_deref().and_then(value_fault).is_some() {
                        fault("`accessToken` has a character that a header cannot carry");
                    }
                    response.access_token = token.map(AccessToken::from);
                }
                "error" => response.error = text(value, "`error` is not a string", &mut fault)?,
                "negotiateVersion" => match as_integer(value) {
                    Some(version) => response.negotiate_version = version,
                    None => fault("`negotiateVersion` is not an integer"),
                },
                "tokenLifetimeSeconds" => response.token_lifetime_seconds = as_integer(value),
                "useStatefulReconnect" => response.use_stateful_reconnect = value == "true",
                "availableTransports" => response.available_transports = transports(value, &mut fault)?,
                "ProtocolVersion" => legacy = true,
                "Url" | "AccessToken" | "ConnectionId" => wrong_case = Some(name.to_owned()),
                _ => {}
            }
            Ok(())
        });
        read.and_then(|()| reader.end()).map_err(NegotiateError::NotJson)?;
        if let Some(reason) = invalid {
            return Err(NegotiateError::Invalid(reason));
        }
        if response.error.is_some() {
            return Ok(response);
        }
        if legacy {
            return Err(NegotiateError::LegacyServer);
        }
        if response.url.is_none() && response.connection_id.is_none() {
            return Err(match wrong_case {
                Some(name) => NegotiateError::WrongCase(name),
                None => NegotiateError::Invalid("it has neither `connectionId` nor `url`"),
            });
        }
        if response.url.is_none() && response.negotiate_version >= 1 && response.connection_token.is_none() {
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

/// A string, or nothing for null and for an empty one.
fn text(
    value: &str,
    reason: &'static str,
    fault: &mut impl FnMut(&'static str),
) -> Result<Option<String>, ProtocolError> {
    if value == "null" {
        return Ok(None);
    }
    let text = as_string(value)?;
    if text.is_none() {
        fault(reason);
    }
    Ok(text.filter(|text| !text.is_empty()).map(|text| text.into_owned()))
}

fn transports(
    value: &str,
    fault: &mut impl FnMut(&'static str),
) -> Result<Vec<AvailableTransport>, ProtocolError> {
    let mut all = Vec::new();
    if !value.starts_with('[') {
        fault("`availableTransports` is not an array");
        return Ok(all);
    }
    Reader::new(value).array(|item| {
        if all.len() == TRANSPORT_LIMIT {
            fault("there are too many available transports");
            return Ok(());
        }
        let (mut name, mut formats) = (None, None);
        if !item.starts_with('{') {
            fault("an available transport is not an object");
            return Ok(());
        }
        Reader::new(item).object(|key, value| {
            match key {
                "transport" => name = as_string(value)?.map(|text| clip(text).into_owned()),
                "transferFormats" if value.starts_with('[') => {
                    let mut texts = Vec::new();
                    Reader::new(value).array(|format| {
                        texts.extend(as_string(format)?.map(|text| text.into_owned()));
                        Ok(())
                    })?;
                    formats = Some(texts);
                }
                _ => {}
            }
            Ok(())
        })?;
        match (name, formats) {
            (Some(transport), Some(transfer_formats)) => {
                all.push(AvailableTransport { transport, transfer_formats })
            }
            _ => fault("an available transport lacks `transport` or `transferFormats`"),
        }
        Ok(())
    })?;
    Ok(all)
}
