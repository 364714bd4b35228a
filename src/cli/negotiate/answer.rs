//! An answer to a request of a negotiation: what is kept of it, and found in it.

use reqwest::{Response, header};

use crate::{
    cli::value::printable,
    core::{ErrorChain, TransportError, negotiate::RESPONSE_LIMIT},
};

/// The headers that say who has answered, and why so.
const OF_NOTE: [header::HeaderName; 12] = [
    header::CONTENT_TYPE,
    header::SERVER,
    header::VIA,
    header::WWW_AUTHENTICATE,
    header::RETRY_AFTER,
    header::DATE,
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::HeaderName::from_static("x-powered-by"),
    header::HeaderName::from_static("x-cache"),
    header::HeaderName::from_static("x-azure-ref"),
    header::HeaderName::from_static("cf-ray"),
];
const LONGEST_HEADER: usize = 200;

/// An answer, read to its end.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) location: Option<String>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) async fn read(mut response: Response) -> Result<Self, TransportError> {
        let headers = response.headers();
        let text = |value: &header::HeaderValue| {
            let shown = String::from_utf8_lossy(value.as_bytes()).into_owned();
            printable(&shown.chars().take(LONGEST_HEADER).collect::<String>())
        };
        let mut kept: Vec<_> = OF_NOTE
            .iter()
            .filter_map(|name| Some((name.as_str().to_owned(), text(headers.get(name)?))))
            .collect();
        let location = headers.get(header::LOCATION).map(text);
        if let Some(location) = &location {
            let shown = location.split(['?', '#']).next().unwrap_or_default();
            kept.push(("location".to_owned(), shown.to_owned()));
        }
        // The value of a cookie is a secret; its name tells who has set it.
        kept.extend(headers.get_all(header::SET_COOKIE).iter().filter_map(|cookie| {
            let cookie = text(cookie);
            Some(("set-cookie".to_owned(), format!("{}=…", cookie.split_once('=')?.0)))
        }));
        let status = response.status().as_u16();
        let mut body = Vec::new();
        let failed = |error| TransportError::new(ErrorChain::new(&error).to_string());
        while body.len() <= RESPONSE_LIMIT {
            let chunk = response.chunk().await.map_err(|error| failed(error.without_url()))?;
            let Some(chunk) = chunk else { break };
            body.extend_from_slice(chunk.get(..RESPONSE_LIMIT + 1 - body.len()).unwrap_or(&chunk));
        }
        Ok(Self { status, headers: kept, location, body })
    }
}

pub(in crate::cli) fn header_of<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// The title of a web page.
pub(super) fn title(page: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(page.get(..64 * 1024).unwrap_or(page)).into_owned();
    let lower = page.to_ascii_lowercase();
    let start = lower.find("<title")?;
    let start = start + lower.get(start..)?.find('>')? + 1;
    let end = start + lower.get(start..)?.find("</title")?;
    let title: String = page.get(start..end)?.split_whitespace().collect::<Vec<_>>().join(" ");
    let title: String = title.chars().filter(|c| !c.is_control()).take(LONGEST_HEADER).collect();
    Some(title).filter(|title| !title.is_empty())
}
