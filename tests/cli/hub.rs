//! A hub to talk to: the conformance hub, hosted by this program.

#[path = "../server/conformance_hub.rs"]
#[allow(dead_code, reason = "a part of it is used")]
pub(crate) mod conformance_hub;

/// Where it is.
pub(crate) async fn hub() -> String {
    let base = conformance_hub::serve([("/hub", conformance_hub::conformance_hub().build())]).await;
    format!("{base}/hub")
}
