//! Azure SignalR Service, against fakes of it and of Microsoft Entra, and against what official software has sent.

mod actix;
mod authorities;
#[path = "../support/capture.rs"]
mod capture;
#[path = "../support/certificate.rs"]
mod certificate;
mod certificates;
mod check;
mod configuration;
mod data_plane;
mod development;
mod endpoint;
mod endpoints;
mod entra;
mod failover;
mod fakes;
mod faults;
mod foreign;
mod functions;
mod futures;
mod handlers;
mod hosts;
mod identities;
mod negotiate;
#[path = "../support/network.rs"]
mod network;
mod oauth;
#[path = "../support/http.rs"]
mod plain_http;
mod proxies;
mod recorded;
mod recordings;
mod refresh;
mod rest;
mod rotation;
mod settings;
mod settings_files;
mod strategies;
#[path = "../support/mod.rs"]
mod support;
mod unused_settings;
mod upstream;
