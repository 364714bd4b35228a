//! The dashboard in an application of [`actix-web`](https://docs.rs/actix-web).

use actix_web::{
    HttpRequest, HttpResponse,
    web::{self, Payload, ServiceConfig},
};

use super::layer::{Board, DashboardLayer};
use crate::server::actix::{answered, body, converted, is_upgrade, upgrade};

impl DashboardLayer {
    /// The dashboard for `App::configure`, since actix-web takes no layers of tower. Each call is made outside of the factory
    /// of `HttpServer`, or on a clone of one layer: the workers have one dashboard then.
    ///
    /// A rule of [`authorize`](Self::authorize) sees the head of a request; what a middleware of actix-web puts into its
    /// extensions stays there. In a scope of actix-web, the dashboard is below the scope's path.
    ///
    /// ```no_run
    /// use actix_web::{App, HttpServer};
    /// use hubwire::{dashboard::DashboardLayer, server::{HubServer, actix::hub}};
    ///
    /// # async fn run() -> std::io::Result<()> {
    /// let chat = HubServer::builder().build();
    /// let dashboard = DashboardLayer::new().hub_as("chat", &chat);
    /// // http://localhost:8080/dashboard/
    /// HttpServer::new(move || App::new().configure(hub("/chat", chat.clone())).configure(dashboard.actix()))
    ///     .bind(("127.0.0.1", 8080))?
    ///     .run()
    ///     .await
    /// # }
    /// ```
    pub fn actix(&self) -> impl FnOnce(&mut ServiceConfig) + Clone + use<> {
        let (path, board) = (self.path.clone(), self.board().clone());
        move |config| {
            let below = format!("{path}/{{rest:.*}}");
            let answer =
                move |request: HttpRequest, payload: Payload| answer(board.clone(), request, payload);
            config.service(web::resource([path, below]).route(web::route().to(answer)));
        }
    }
}

async fn answer(board: Board, request: HttpRequest, payload: Payload) -> HttpResponse {
    let Some(head) = converted(&request) else { return HttpResponse::BadRequest().finish() };
    let rest = request.match_info().get("rest").map(|rest| format!("/{rest}")).unwrap_or_default();
    if !is_upgrade(&request) {
        return answered(board.answer(&rest, head.map(|()| body(payload))).await).await;
    }
    let (parts, ()) = head.into_parts();
    if let Some(refusal) = board.refusal(&parts) {
        return answered(refusal).await;
    }
    if rest != "/hub" {
        return HttpResponse::NotFound().finish();
    }
    upgrade(board.hub(), http::Request::from_parts(parts, ()), &request, payload).await
}
