//! The certificate of the https address, and how others come to trust it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    cli::failure::Failure, cli::local::settings::Https, server::random::random_text, service::secret::Secret,
};

/// A certificate and its key, as PEM texts.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) pem: String,
    pub(super) key: Secret,
    /// Whether it was made for this run, so that nobody trusts it.
    pub(super) is_throw_away: bool,
}

impl Certificate {
    pub(super) fn of(https: &Https, names: &[String]) -> Result<Option<Self>, Failure> {
        match https {
            Https::Off => Ok(None),
            Https::ThrowAway => {
                let made = rcgen::generate_simple_self_signed(names)?;
                let key = Secret::new(made.signing_key.serialize_pem());
                Ok(Some(Self { pem: made.cert.pem(), key, is_throw_away: true }))
            }
            Https::Files { certificate, key } => {
                let (pem, key) = (read(certificate)?, Secret::new(read(key)?));
                Ok(Some(Self { pem, key, is_throw_away: false }))
            }
        }
    }

    pub(super) fn write(&self, path: &Path) -> Result<(), Failure> {
        fs::write(path, &self.pem)
            .map_err(|error| Failure::new(format!("{} cannot be written", path.display())).because(error))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("{} cannot be read", path.display())).because(error))
}

/// Files by which a command trusts the certificate. They are removed when this is dropped.
#[derive(Debug)]
pub(super) struct Trust {
    /// The certificate and what else Node.js was told to trust, which it adds to its own.
    pub(super) certificate: PathBuf,
    /// The certificate and what the system trusts, for those who trust nothing else then.
    pub(super) bundle: PathBuf,
}

/// Where systems keep what they trust, in one file.
const SYSTEM: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

impl Trust {
    pub(super) fn new(certificate: &Certificate) -> Result<Self, Failure> {
        let folder = std::env::temp_dir();
        let name = random_text()?;
        let trust = Self {
            certificate: folder.join(format!("hubwire-{name}.pem")),
            bundle: folder.join(format!("hubwire-{name}-bundle.pem")),
        };
        let own = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
        let system = own.into_iter().chain(SYSTEM.map(PathBuf::from));
        let system = system.filter_map(|path| fs::read(path).ok()).next().unwrap_or_default();
        let node =
            std::env::var_os("NODE_EXTRA_CA_CERTS").and_then(|path| fs::read(path).ok()).unwrap_or_default();
        let (pem, line) = (certificate.pem.as_bytes(), &b"\n"[..]);
        write_new(&trust.certificate, &[&node, line, pem])
            .and_then(|()| write_new(&trust.bundle, &[&system, line, pem]))
            .map_err(|error| Failure::new("the certificate cannot be written to a file").because(error))?;
        Ok(trust)
    }
}

/// Writes a file that nobody else can have put there.
fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

impl Drop for Trust {
    fn drop(&mut self) {
        for path in [&self.certificate, &self.bundle] {
            // What is left is a public certificate in the folder for temporary files.
            let _ = fs::remove_file(path);
        }
    }
}
