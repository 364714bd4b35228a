//! `hubwire local`.

use hubwire::service::{ServiceClient, ServiceEndpoint};

use crate::program::Local;

#[tokio::test]
async fn its_connection_string_opens_it() {
    let local = Local::start(&[]);
    let endpoint = ServiceEndpoint::from_connection_string(local.connection_string()).expect("it is valid");
    let service = ServiceClient::builder().endpoint(endpoint).build().expect("it is complete");
    let report = service.check().await;
    assert!(report.is_ok(), "{report:?}");
}
