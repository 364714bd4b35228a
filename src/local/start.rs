//! How a local service starts: what it is told becomes its keys, its authority and its mode, and its ports answer.

use std::sync::Arc;

use tokio::{sync::watch, task};

#[cfg(feature = "dashboard")]
use crate::local::dashboard;
use crate::{
    core::url::HubUrl,
    local::{
        access::Access,
        builder::LocalServiceBuilder,
        default_mode::Hubs,
        entra::authority::Authority,
        error::LocalError,
        faults::Faults,
        guard::Guard,
        keys::{KeyRing, derived_secret},
        listen::{Port, acceptor},
        mode::{Mode, ServiceMode},
        routes,
        running::LocalService,
        serverless::Serverless,
        service::Service,
        upstream::Upstreams,
        user_groups::UserGroups,
    },
    server::room::{Room, Slots, Stop},
};

impl LocalServiceBuilder {
    /// Starts the service on the current tokio runtime.
    ///
    /// # Errors
    /// See [`LocalError`].
    pub async fn start(self) -> Result<LocalService, LocalError> {
        let Self {
            address,
            port,
            public_endpoint,
            tls,
            origins,
            hosts,
            access_key,
            secondary_access_key,
            local_auth,
            applications,
            identities,
            service_identity,
            token_lifetime,
            mode,
            upstream,
            https,
            max_connections,
            options,
            #[cfg(feature = "dashboard")]
            dashboard,
        } = self;
        let keys = Arc::new(KeyRing::new(access_key.clone(), secondary_access_key, local_auth)?);
        let identity_header = derived_secret(&access_key, "hubwire local service: identity header");
        let rules = upstream.into_iter().collect::<Result<Vec<_>, _>>()?;
        let public = public_endpoint.map(|url| public_url(&url)).transpose()?;
        let guard = Guard::new(&origins, hosts, public.clone())?;
        let tls = tls.as_ref().map(acceptor).transpose()?;
        let https = https.as_ref().map(acceptor).transpose()?;
        let main = Port::take(address, port, tls).await?;
        let second = match https {
            Some(https) => Some(Port::take(address, 0, Some(https)).await?),
            None => None,
        };
        let port = main.address.port();
        let origin = match public {
            Some(url) => url.to_text().trim_end_matches('/').to_owned(),
            None => main.origin(),
        };
        let https_origin = match &second {
            Some(second) => Some(second.origin()),
            None => Some(origin.clone()).filter(|_| main.scheme() == "https"),
        };
        let entra =
            Authority::new(applications, identities, service_identity, token_lifetime, access_key, &origin)?;
        let entra = Arc::new(entra);
        let upstreams = Arc::new(Upstreams::new(rules, keys.clone(), entra.clone())?);
        let (is_needed, prepared) = (upstreams.has_identity(), entra.clone());
        let prepared = task::spawn_blocking(move || prepared.prepare(is_needed)).await;
        if let Err(Ok(panic)) = prepared.map_err(task::JoinError::try_into_panic) {
            std::panic::resume_unwind(panic);
        }

        let (stop, stopped) = watch::channel(Stop::No);
        let mut room = Room::new(options, max_connections, stopped.clone());
        let faults = Faults::new(room.connections.clone());
        room.disturbance = Some(Arc::new(faults.clone()));
        let room = Arc::new(room);
        let user_groups = Arc::<UserGroups>::default();
        let mode = match mode {
            ServiceMode::Default => Mode::Default(Arc::new(Hubs::new(&room, user_groups.clone()))),
            ServiceMode::Serverless => Mode::Serverless(Arc::new(Serverless {
                room: room.clone(),
                user_groups: user_groups.clone(),
                faults: faults.clone(),
                upstreams: upstreams.clone(),
            })),
        };
        let service = Arc::new(Service {
            access: Arc::new(Access { origin, guard, keys, entra }),
            identity_header,
            faults,
            room,
            requests: Arc::new(Slots::new(usize::MAX)),
            user_groups,
            upstreams,
            mode,
        });
        let local = LocalService { https_origin, port, service: service.clone(), stop };
        #[cfg(feature = "dashboard")]
        let board = dashboard.then(|| dashboard::board(&service, &local, address));
        for port in second.into_iter().chain([main]) {
            let router = routes::router();
            #[cfg(feature = "dashboard")]
            let router = dashboard::add(router, board.as_ref());
            let router = routes::guarded(router, &service, port.scheme());
            #[cfg(feature = "dashboard")]
            let router = dashboard::observed(router, &service);
            port.open(routes::complete(router, service.clone()), stopped.clone())?;
        }
        let (origin, https_origin) = (local.endpoint(), local.https_endpoint());
        tracing::info!(origin, https_origin, "the local service has started");
        Ok(local)
    }
}

/// Whether a service could be started with these names, for a program that checks its arguments one by one.
#[cfg(feature = "cli")]
pub(crate) fn check_names(
    public_endpoint: Option<&str>,
    origins: &[String],
    hosts: Vec<String>,
) -> Result<(), LocalError> {
    let public = public_endpoint.map(public_url).transpose()?;
    Guard::new(origins, hosts, public).map(drop)
}

/// A scheme, a host and possibly a port.
fn public_url(text: &str) -> Result<HubUrl, LocalError> {
    let url = HubUrl::parse(text)
        .ok()
        .filter(|url| url.query().is_empty() && matches!(url.path(), "" | "/") && !text.contains(['@', '#']));
    url.ok_or(LocalError::InvalidPublicEndpoint)
}
