//! The page's files, and what a browser may do with them.

use std::path::PathBuf;

use axum::{
    Router,
    http::{
        HeaderName, HeaderValue,
        header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    },
    middleware::map_response,
    response::Response,
};
use tower_http::services::ServeDir;

/// The pages. They may connect to their own server and to the service, and to nothing else.
pub(crate) fn router(service: &str) -> Router {
    let sockets = service.replacen("http", "ws", 1);
    let policy = format!(
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' blob:; \
         connect-src 'self' {service} {sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    // Leptos makes elements of markup, which this would not let it.
    let strict = format!("{policy}; require-trusted-types-for 'script'");
    Router::new().nest_service("/leptos", files("leptos", policy)).merge(files("", strict))
}

fn files(folder: &str, policy: String) -> Router {
    let headers = [
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, "no-referrer".to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)))
    .collect::<Vec<(HeaderName, HeaderValue)>>();
    let files = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../page/dist").join(folder);
    Router::new().fallback_service(ServeDir::new(files)).layer(map_response(move |mut response: Response| {
        response.headers_mut().extend(headers.clone());
        std::future::ready(response)
    }))
}
