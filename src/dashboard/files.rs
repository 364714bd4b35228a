//! The files of the page. They are kept compressed, and served so.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::OnceLock,
};

use axum::body::Body;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};

/// What the page may do: run its own script, which has an engine in WebAssembly, and talk to its own server. A name that a
/// client has given itself cannot become a script, nor markup: with Trusted Types, and no policy for them, the browser refuses
/// to make any of a text.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// A file, compressed with gzip.
struct File {
    name: &'static str,
    kind: &'static str,
    gzip: &'static [u8],
    tag: OnceLock<HeaderValue>,
}

impl File {
    const fn new(name: &'static str, kind: &'static str, gzip: &'static [u8]) -> Self {
        Self { name, kind, gzip, tag: OnceLock::new() }
    }

    /// Tells its content from that of other versions.
    fn tag(&self) -> &HeaderValue {
        self.tag.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            self.gzip.hash(&mut hasher);
            HeaderValue::try_from(format!("\"{:016x}\"", hasher.finish()))
                .unwrap_or(HeaderValue::from_static("\"\""))
        })
    }
}

/// The page itself is that without a name.
static FILES: [File; 4] = [
    File::new("", "text/html; charset=utf-8", include_bytes!("page/dist/index.html.gz")),
    File::new("page.js", "text/javascript; charset=utf-8", include_bytes!("page/dist/page.js.gz")),
    File::new("page.css", "text/css; charset=utf-8", include_bytes!("page/dist/page.css.gz")),
    File::new("icon.svg", "image/svg+xml", include_bytes!("page/dist/icon.svg.gz")),
];

/// Answers a request for a file.
pub(super) fn answer(name: &str, method: &Method, headers: &HeaderMap) -> Response<Body> {
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return secured(plain(StatusCode::NOT_FOUND, "There is no such file."));
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return secured(plain(StatusCode::METHOD_NOT_ALLOWED, "A file can only be read."));
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = text(IF_NONE_MATCH).split(',').any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == file.tag().as_bytes()
    });
    let mut response = if known {
        Response::new(Body::empty())
    } else if !takes_gzip(text(ACCEPT_ENCODING)) {
        plain(StatusCode::NOT_ACCEPTABLE, "The files of the dashboard are compressed: accept gzip.")
    } else if *method == Method::HEAD {
        Response::new(Body::empty())
    } else {
        Response::new(Body::from(file.gzip))
    };
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, file.tag().clone());
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    // A newer program has newer files under the same names.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if response.status() == StatusCode::OK {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(file.kind));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    secured(response)
}

/// Whether a header `Accept-Encoding` takes gzip.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse() == Ok(0.0_f32));
        matches!(name.trim(), "gzip" | "x-gzip" | "*") && !refused
    })
}

/// An answer of words.
pub(super) fn plain(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::from(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// Adds what makes browsers careful.
pub(super) fn secured(mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_gzip() {
        for yes in ["gzip", "deflate, gzip;q=0.5, br", "*", "br;q=1.0, *;q=0.1"] {
            assert!(takes_gzip(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip; q=0.0", "identity"] {
            assert!(!takes_gzip(no), "{no}");
        }
    }

    #[test]
    fn files_are_compressed_and_told_apart() {
        for (n, file) in FILES.iter().enumerate() {
            assert!(file.gzip.starts_with(&[0x1f, 0x8b]), "{}", file.name);
            assert!(FILES[..n].iter().all(|other| other.tag() != file.tag()), "{}", file.name);
        }
    }
}
