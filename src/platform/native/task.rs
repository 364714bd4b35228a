use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::core::Moment;
use crate::core::session::TransportError;

/// `Send`, where there are threads.
pub trait MaybeSend: Send {}
impl<T: Send + ?Sized> MaybeSend for T {}

/// `Sync`, where there are threads.
pub trait MaybeSync: Sync {}
impl<T: Sync + ?Sized> MaybeSync for T {}

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

pub(crate) fn now() -> Moment {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    EPOCH.get_or_init(Instant::now).elapsed()
}

/// The wall clock: the time since 1970.
pub(crate) fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Runs a future in the background.
pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Result<(), TransportError> {
    let runtime = tokio::runtime::Handle::try_current()
        .map_err(|_| TransportError::new("there is no tokio runtime here; call from within one"))?;
    runtime.spawn(future);
    Ok(())
}

pub(crate) fn sleep(duration: Duration) -> BoxFuture<()> {
    Box::pin(tokio::time::sleep(duration))
}
