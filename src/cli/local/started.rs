//! A service that runs, and what there is to know of it.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use crate::{
    cli::{
        failure::Failure,
        local::{
            certificate::{Certificate, Trust},
            settings::{Mode, Rule},
        },
        output::{FAINT, NAME, Output, STRONG, WARNING},
    },
    local::LocalService,
    service::secret::Secret,
};

/// The credentials of an application, as Azure's SDKs read them from the environment.
#[derive(Debug)]
pub(super) struct Credentials {
    pub(super) tenant: String,
    pub(super) client: String,
    pub(super) secret: Secret,
    /// Whether the secret was made for this run, so that nobody knows it yet.
    pub(super) is_new: bool,
}

#[derive(Debug)]
pub(super) struct Started {
    pub(super) service: LocalService,
    pub(super) mode: Mode,
    pub(super) upstream: Vec<Rule>,
    /// Whether others can reach it, with the key that everybody knows.
    pub(super) is_open: bool,
    pub(super) file: Option<PathBuf>,
    pub(super) has_dashboard: bool,
    pub(super) has_identity: bool,
    pub(super) has_application: bool,
    pub(super) credentials: Option<Credentials>,
    pub(super) certificate: Option<Certificate>,
    pub(super) certificate_file: Option<PathBuf>,
}

impl Started {
    /// What an application has to know to connect, by the names that the SDKs give it.
    fn settings(&self) -> Vec<(&'static str, String)> {
        let service = &self.service;
        let mut settings = vec![("AzureSignalRConnectionString", service.connection_string())];
        if self.has_identity {
            settings.push(("IDENTITY_ENDPOINT", service.identity_endpoint()));
            settings.push(("IDENTITY_HEADER", service.identity_header().to_owned()));
        }
        if self.has_application {
            settings.push(("AZURE_AUTHORITY_HOST", service.authority().to_owned()));
        }
        if let Some(credentials) = &self.credentials {
            settings.push(("AZURE_TENANT_ID", credentials.tenant.clone()));
            settings.push(("AZURE_CLIENT_ID", credentials.client.clone()));
        }
        settings
    }

    fn dashboard(&self) -> Option<String> {
        self.has_dashboard.then(|| format!("{}/dashboard/", self.service.endpoint()))
    }

    /// Those that are shown: a secret only where nobody could know it otherwise.
    fn shown_settings(&self) -> Vec<(&'static str, String)> {
        let mut settings = self.settings();
        if let Some(credentials) = self.credentials.as_ref().filter(|credentials| credentials.is_new) {
            settings.push(("AZURE_CLIENT_SECRET", credentials.secret.expose().to_owned()));
        }
        if let Some(file) = &self.certificate_file {
            settings.push(("SSL_CERT_FILE", file.display().to_string()));
            settings.push(("NODE_EXTRA_CA_CERTS", file.display().to_string()));
        }
        settings
    }

    /// The files by which a command trusts the certificate.
    pub(super) fn trust(&self) -> Result<Option<Trust>, Failure> {
        self.certificate.as_ref().filter(|certificate| certificate.is_throw_away).map(Trust::new).transpose()
    }

    /// What a command gets into its environment.
    pub(super) fn environment(&self, trust: Option<&Trust>) -> Vec<(&'static str, String)> {
        let mut environment = self.settings();
        // .NET's name of `Azure:SignalR:ConnectionString`, which app servers read.
        environment.push(("Azure__SignalR__ConnectionString", self.service.connection_string()));
        environment.push(("HUBWIRE_LOCAL_ENDPOINT", self.service.endpoint().to_owned()));
        environment.extend(
            self.service.https_endpoint().map(|url| ("HUBWIRE_LOCAL_HTTPS_ENDPOINT", url.to_owned())),
        );
        if let Some(credentials) = &self.credentials {
            environment.push(("AZURE_CLIENT_SECRET", credentials.secret.expose().to_owned()));
        }
        if let Some(Trust { certificate, bundle }) = trust {
            let (certificate, bundle) = (certificate.display().to_string(), bundle.display().to_string());
            // OpenSSL, and with it .NET on Linux, Python and Rust; then the `requests` of Python; then Node.js.
            environment.push(("SSL_CERT_FILE", bundle.clone()));
            environment.push(("REQUESTS_CA_BUNDLE", bundle));
            environment.push(("NODE_EXTRA_CA_CERTS", certificate));
        }
        environment
    }

    pub(super) fn print(&self, output: &Output) {
        let settings = self.shown_settings();
        if output.is_json() {
            let settings: Map<String, Value> =
                settings.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            output.json(&json!({
                "endpoint": self.service.endpoint(),
                "httpsEndpoint": self.service.https_endpoint(),
                "dashboard": self.dashboard(),
                "mode": self.mode_name(),
                "settingsFile": self.file,
                "settings": settings,
            }));
            return;
        }
        output.line(format_args!("{STRONG}Azure SignalR Service, local{STRONG:#}"));
        let mut lines = vec![("endpoint", self.service.endpoint().to_owned())];
        lines.extend(self.service.https_endpoint().map(|url| ("https", url.to_owned())));
        lines.extend(self.dashboard().map(|url| ("dashboard", url)));
        lines.push(("mode", self.mode_text()));
        for rule in &self.upstream {
            // Azure Functions have a key in the query.
            let url = rule.url.split('?').next().unwrap_or_default();
            lines.push(("upstream", url.to_owned()));
        }
        lines.extend(self.file.as_ref().map(|file| ("settings", file.display().to_string())));
        for (name, value) in lines {
            output.line(format_args!("  {FAINT}{name:<10}{FAINT:#} {NAME}{value}{NAME:#}"));
        }
        output.line("");
        for (name, value) in settings {
            output.line(format_args!("{FAINT}{name}={FAINT:#}{value}"));
        }
        if self.is_open {
            output.note(format_args!(
                "\n{WARNING}warning:{WARNING:#} other machines may reach this service, and its access key is the emulator's, which is \
                 public; give one of your own with `--access-key`"
            ));
        }
        if self.certificate.as_ref().is_some_and(|certificate| certificate.is_throw_away) {
            self.say_how_to_trust(output);
        }
        output.note(format_args!("\n{FAINT}Ctrl+C stops it.{FAINT:#}"));
    }

    fn say_how_to_trust(&self, output: &Output) {
        let text = if self.certificate_file.is_some() {
            "The certificate was made for this run. With the variables above, Node.js and what is built on OpenSSL (.NET on Linux, \
             Python, Rust) trust it; elsewhere add the file to what the system trusts."
        } else {
            "The certificate was made for this run, so nobody trusts it yet: `--write-certificate FILE` writes it to a file for \
             SSL_CERT_FILE and NODE_EXTRA_CA_CERTS."
        };
        output.note(format_args!("\n{text}"));
    }

    fn mode_name(&self) -> &'static str {
        match self.mode {
            Mode::Serverless => "serverless",
            Mode::Default => "default",
        }
    }

    fn mode_text(&self) -> String {
        let hint = match self.mode {
            Mode::Default => "app servers answer clients",
            Mode::Serverless if self.upstream.is_empty() => {
                "nobody answers calls of clients without --upstream"
            }
            Mode::Serverless => "the upstream answers clients",
        };
        format!("{}{NAME:#}{FAINT}, {hint}{FAINT:#}", self.mode_name())
    }
}
