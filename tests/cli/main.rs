//! The command line program, started as its users start it.

mod bench;
mod clients;
mod connect;
mod context;
mod hub;
mod local;
#[path = "../support/http.rs"]
mod plain_http;
mod program;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod upstream;
mod usage;
