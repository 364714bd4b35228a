//! The end of an authentication.

use std::{future::pending, time::Duration};

use tokio::{sync::watch, time};

use crate::platform::unix_now;

/// Waits for the end of an authentication, which may be moved meanwhile.
pub(crate) async fn expired(mut expiry: watch::Receiver<Option<u64>>) {
    loop {
        let ends = *expiry.borrow_and_update();
        let ended = async {
            match ends {
                Some(at) => {
                    let left = Duration::from_secs(at.saturating_sub(unix_now().as_secs()));
                    Box::pin(time::sleep(left)).await;
                }
                None => pending().await,
            }
        };
        tokio::select! {
            () = ended => return,
            // The connection has what moves it, so it does not go away before the connection.
            Ok(()) = expiry.changed() => {}
        }
    }
}
