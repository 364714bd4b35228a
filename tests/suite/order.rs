//! One order for a connection: that of arrival.

use std::sync::{Arc, Mutex};

use futures_channel::mpsc;
use futures_util::{StreamExt, future::join};

use super::Setup;

const ROUNDS: u32 = 60;

/// Handlers of all methods, closures and async ones, begin in the order in which the server has called them, however
/// the calls are spread over frames. Meanwhile the items of a stream keep their own.
pub(crate) async fn one_order(base: &str, setup: Setup) {
    let hub = setup.connect(format!("{base}{}", setup.path())).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    // Begin, Step and End; Added and Removed: each pair has a closure and an async handler.
    for method in ["Begin", "Added", "End"] {
        let seen = Arc::clone(&seen);
        hub.on(method, move |n: u32| seen.lock().unwrap().push((method, n)));
    }
    for method in ["Step", "Removed"] {
        let seen = Arc::clone(&seen);
        hub.on(method, move |n: u32| {
            let seen = Arc::clone(&seen);
            async move { seen.lock().unwrap().push((method, n)) }
        });
    }
    let (done, mut is_done) = mpsc::unbounded();
    let when_done = Arc::clone(&seen);
    hub.on("Done", move |_: u32| {
        done.unbounded_send(when_done.lock().unwrap().len()).unwrap();
    });

    let methods = ["Begin", "Added", "Step", "Removed", "End"];
    let pushes = async {
        for n in 0..ROUNDS {
            for method in methods {
                hub.send("Push", (method, (n,))).await.unwrap();
            }
        }
        hub.send("Push", ("Done", (0,))).await.unwrap();
        // It comes last, and after everything else has run.
        assert_eq!(is_done.next().await, Some(methods.len() * ROUNDS as usize));
    };
    let items = async {
        let mut items = hub.stream::<u32>("Counter", (ROUNDS, 0)).await.unwrap();
        for wanted in 0..ROUNDS {
            assert_eq!(items.next().await.unwrap().unwrap(), wanted);
        }
        assert!(items.next().await.is_none(), "the end comes after the items");
    };
    join(pushes, items).await;
    let wanted: Vec<_> = (0..ROUNDS).flat_map(|n| methods.map(|method| (method, n))).collect();
    assert_eq!(*seen.lock().unwrap(), wanted);
    hub.stop().await;
}
