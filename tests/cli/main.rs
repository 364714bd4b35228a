//! The command line program, started as its users start it.

mod bench;
mod bench_ends;
mod clients;
mod connect;
mod context;
mod doctor;
mod hub;
mod local;
mod no_roots;
#[path = "../support/http.rs"]
mod plain_http;
mod program;
mod redis;
#[path = "../server/redis_server.rs"]
#[allow(dead_code, reason = "a part of it is used")]
mod redis_server;
#[path = "../support/mod.rs"]
mod support;
mod terminal;
mod tools;
mod trouble;
mod upstream;
mod usage;
