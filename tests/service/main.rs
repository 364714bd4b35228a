//! Azure SignalR Service, against fakes of it and of Microsoft Entra, and against what official software has sent.

mod actix;
#[path = "../support/capture.rs"]
mod capture;
#[path = "../support/certificate.rs"]
mod certificate;
mod certificates;
mod check;
mod configuration;
mod data_plane;
mod endpoint;
mod endpoints;
mod entra;
mod fakes;
mod faults;
mod functions;
mod futures;
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
mod settings;
mod strategies;
#[path = "../support/mod.rs"]
mod support;
mod upstream;
