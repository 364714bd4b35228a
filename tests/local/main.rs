//! The local service, by raw requests and by clients.

mod app_server;
mod client;
mod clients;
mod closing;
mod dashboard;
mod data_plane;
mod default_mode;
mod emulator;
mod end_to_end;
mod endpoints;
mod entra;
mod faults;
mod fuzz;
mod guard;
mod keys;
mod limits;
mod modes;
mod noise;
mod raw;
mod recorded;
mod refresh;
mod rest;
mod roles;
mod service;
mod specification;
mod stuck;
#[path = "../support/stuck.rs"]
mod stuck_clients;
mod stuck_memory;
#[path = "../support/mod.rs"]
mod support;
mod transports;
mod upstream;
#[path = "../wire/mod.rs"]
mod wire;

use wire::plain_http;
