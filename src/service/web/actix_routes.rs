//! The endpoints as services of [`actix-web`](https://docs.rs/actix-web).

use actix_web::{
    HttpRequest, HttpResponse, ResponseError,
    http::StatusCode,
    web::{self, Bytes, Payload, ServiceConfig},
};
use http::{Request, Response, request::Parts};
use tower_service::Service;

use crate::service::{
    error::ServiceError,
    http::body::within,
    hub::hub_client::HubClient,
    upstream::router::{BodyError, MAX_BODY, READ_TIMEOUT, UpstreamRouter},
    web::{
        endpoint::{answer_for, error},
        handler::NegotiateAnswer,
        tower::NegotiateService,
    },
};

/// `POST {path}/negotiate` for a hub at `path`, and `POST {path}/refresh` for services
/// [that refresh](NegotiateService::authentication_refresh), for `App::configure`. See [`NegotiateService`] for what the handler
/// does.
///
/// ```
/// use actix_web::App;
/// use hubwire::service::{HubClient, NegotiateOptions, NegotiateRejection};
///
/// fn app(hub: HubClient) {
///     let app = App::new().configure(hubwire::actix_routes::negotiate("/chat", hub, |parts| {
///         let user = parts.headers.get("x-user").and_then(|value| value.to_str().ok());
///         user.map(NegotiateOptions::for_user).ok_or_else(NegotiateRejection::unauthorized)
///     }));
/// }
/// ```
pub fn negotiate<R, M, F>(
    path: &str,
    hub: HubClient,
    handler: F,
) -> impl FnOnce(&mut ServiceConfig) + Clone + use<R, M, F>
where
    F: Fn(Parts) -> R + Send + Sync + 'static,
    R: NegotiateAnswer<M>,
{
    negotiate_service(path, NegotiateService::new(hub, handler))
}

/// The same with a [`NegotiateService`] that has been set up, for instance with
/// [`allow_origin`](NegotiateService::allow_origin).
pub fn negotiate_service(
    path: &str,
    service: NegotiateService,
) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
    let path = path.trim_end_matches('/').to_owned();
    move |config| {
        for end in ["negotiate", "refresh"] {
            let service = service.clone();
            let answer = move |request: HttpRequest| {
                let mut service = service.clone();
                async move {
                    let Some(request) = converted(&request, ()) else { return refused(400) };
                    match service.call(request).await {
                        Ok(response) => answered(response.map(Bytes::from)),
                        Err(never) => match never {},
                    }
                }
            };
            config.service(web::resource(format!("{path}/{end}")).route(web::route().to(answer)));
        }
    }
}

/// An upstream endpoint at `path`, for `App::configure`. The path may have a tail, such as `/upstream/{tail:.*}`.
///
/// ```
/// use actix_web::App;
/// use hubwire::service::upstream::UpstreamRouter;
///
/// fn app(upstream: UpstreamRouter) {
///     let app = App::new().configure(hubwire::actix_routes::upstream("/upstream", upstream));
/// }
/// ```
pub fn upstream(path: &str, router: UpstreamRouter) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
    let path = path.to_owned();
    move |config| {
        let answer = move |request: HttpRequest, payload: Payload| {
            let router = router.clone();
            async move {
                let Some(head) = converted(&request, ()) else { return refused(400) };
                // The body of a request that is refused is not read.
                let admitted = match router.admit(&head.into_parts().0).await {
                    Ok(admitted) => admitted,
                    Err(response) => return answered(response.map(Bytes::from)),
                };
                let read = async {
                    match payload.to_bytes_limited(MAX_BODY).await {
                        Ok(Ok(body)) => Ok(body.to_vec()),
                        Ok(Err(_)) => Err(BodyError::Broken),
                        Err(_) => Err(BodyError::TooLarge),
                    }
                };
                let body = within(READ_TIMEOUT, read, || BodyError::Late).await;
                answered(admitted.answer(body).await.map(Bytes::from))
            }
        };
        config.service(web::resource(path).route(web::route().to(answer)));
    }
}

/// actix-web has types of its own for what a request is made of.
fn converted<B>(request: &HttpRequest, body: B) -> Option<Request<B>> {
    let mut builder = Request::builder().method(request.method().as_str()).uri(request.uri().to_string());
    for (name, value) in request.headers() {
        builder = builder.header(name.as_str(), value.as_bytes());
    }
    builder.body(body).ok()
}

fn answered(response: Response<Bytes>) -> HttpResponse {
    let (parts, body) = response.into_parts();
    let status = StatusCode::from_u16(parts.status.as_u16()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(status);
    for (name, value) in &parts.headers {
        builder.append_header((name.as_str(), value.as_bytes()));
    }
    builder.body(body)
}

fn refused(status: u16) -> HttpResponse {
    let status = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_REQUEST);
    answered(error(status, status.canonical_reason().unwrap_or_default()).map(Bytes::from))
}

/// Lets a handler use `?` on calls of the service. The caller is told nothing about addresses, identities and causes, which go
/// to the log: see [`web`](crate::service::web).
///
/// ```
/// use actix_web::{HttpResponse, web::Data};
/// use hubwire::service::{HubClient, ServiceError};
///
/// async fn announce(hub: Data<HubClient>, text: String) -> Result<HttpResponse, ServiceError> {
///     hub.all().send("Announced", (text,)).await?;
///     Ok(HttpResponse::Accepted().finish())
/// }
/// ```
impl ResponseError for ServiceError {
    fn status_code(&self) -> StatusCode {
        self.error_response().status()
    }

    fn error_response(&self) -> HttpResponse {
        answered(answer_for(self).map(Bytes::from))
    }
}
