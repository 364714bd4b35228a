//! The servers that are loaded.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hubwire::local::LocalService;
use serde_json::Value;

use crate::{Result, process::Server, theirs::Client};

/// How long an app server may take for its first server connections.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server with the hubs of the conformance tests.
pub(crate) struct Place {
    pub(crate) name: &'static str,
    /// Where clients connect, without a hub's path.
    pub(crate) port: u16,
    /// Whether it is ASP.NET Core, which has endpoints for benchmarks besides its hubs.
    pub(crate) is_reference: bool,
    /// Whether clients stay with the address that they are given.
    pub(crate) is_direct: bool,
    pub(crate) reference: PathBuf,
    _servers: Vec<Server>,
}

impl Place {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What a path answers.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        // An answer to HTTP/1.0 ends with its connection, and is not in pieces.
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("an answer without a body")?;
        Ok(serde_json::from_str(body)?)
    }
}

/// ASP.NET Core.
pub(crate) fn reference_hub(reference: &Path) -> Result<Place> {
    let server = Server::start(&reference.join("run"), &["hub"])?;
    Ok(Place { is_reference: true, ..direct("ASP.NET Core 10", server, reference) })
}

/// The same hubs of this crate: an example, which lies beside the program.
pub(crate) fn hosted_hub(reference: &Path) -> Result<Place> {
    let program = Path::new(env!("CARGO_BIN_EXE_hubwire")).with_file_name("examples").join("conformance");
    Ok(direct("hosted hub", Server::start(&program, &[])?, reference))
}

fn direct(name: &'static str, server: Server, reference: &Path) -> Place {
    Place {
        name,
        port: server.port,
        is_reference: false,
        is_direct: true,
        reference: reference.to_owned(),
        _servers: vec![server],
    }
}

/// `hubwire local`, and an app server with the official SDK that hosts the hubs behind it.
pub(crate) fn local_service(reference: &Path) -> Result<Place> {
    let program = Path::new(env!("CARGO_BIN_EXE_hubwire"));
    let arguments =
        ["local", "--json", "--until-input-ends", "--port", "0", "--mode", "default", "--dashboard=false"];
    let service = Server::start(program, &arguments)?;
    let (port, key) = (service.port, LocalService::EMULATOR_ACCESS_KEY);
    let connection = format!("Endpoint=http://127.0.0.1;Port={port};AccessKey={key};Version=1.0;");
    let app = Server::start(&reference.join("run"), &["appserver", "--connection", &connection])?;
    let place = Place {
        name: "hubwire local",
        port: app.port,
        is_reference: false,
        is_direct: false,
        reference: reference.to_owned(),
        // The service goes last.
        _servers: vec![app, service],
    };
    let begun = Instant::now();
    // It says where it listens before it is connected with the service.
    for hub in ["/hub", "/parallel"] {
        while let Err(error) = Client::connect(reference, &place.url(hub), "json") {
            if begun.elapsed() > PATIENCE {
                return Err(error);
            }
        }
    }
    Ok(place)
}
