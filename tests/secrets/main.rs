//! What is logged. Everything that a process logs is searched, so that these tests have one of their own.

#[path = "../support/capture.rs"]
mod capture;
#[path = "../support/certificate.rs"]
mod certificate;
mod client;
#[path = "../service/fakes/mod.rs"]
mod fakes;
mod local;
mod service;
mod spans;
#[path = "../support/mod.rs"]
mod support;
#[path = "../wire/mod.rs"]
mod wire;
