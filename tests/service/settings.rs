//! Goes through recordings of how .NET reads settings: the Azure Functions extension (`functions-settings`) and the
//! credentials of Azure.Identity (`credentials-from-configuration`).
//!
//! The folder is the one that `HUBWIRE_RECORDINGS_DIR` names, else `recordings` in the reference folder. What ours does
//! otherwise on purpose is in [`on_purpose`] and [`not_ours`].
#![cfg(feature = "service")]

use std::path::PathBuf;

use hubwire::service::{
    ServiceClient, ServiceEndpoint,
    configuration::{Configuration, ConfigurationError, ConfigurationWarning, EndpointSettings},
    connection_string::ConnectionStringError,
    credentials::{CredentialSettings, InvalidCredential, ManagedIdentityId},
    endpoints::{EndpointError, EndpointRole},
};
use serde_json::{Map, Value, json};

fn cases(test: &str, name: &str) -> Option<Vec<Value>> {
    let folder = match std::env::var_os("HUBWIRE_RECORDINGS_DIR") {
        Some(named) => Some(PathBuf::from(named)),
        None => crate::support::reference_dir().map(|dir| dir.join("recordings")),
    };
    let Some(folder) = folder else {
        crate::support::skipped(
            test,
            "no recordings; HUBWIRE_RECORDINGS_DIR or HUBWIRE_REFERENCE_DIR names them",
        );
        return None;
    };
    let path = folder.join(format!("{name}.json"));
    if !path.exists() {
        crate::support::skipped(test, &format!("there is no {}", path.display()));
        return None;
    }
    let text = std::fs::read_to_string(path).expect("a readable file");
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    let Value::Array(cases) = file["cases"].take() else { panic!("a list of cases") };
    Some(cases)
}

enum Verdict {
    Same,
    OnPurpose(&'static str),
    Wrong(String),
}

fn run(test: &str, name: &str, check: impl Fn(&Value) -> Verdict) {
    let Some(cases) = cases(test, name) else { return };
    let (mut same, mut otherwise, mut wrong) = (0, 0, 0);
    for case in &cases {
        match check(case) {
            Verdict::Same => same += 1,
            Verdict::OnPurpose(reason) => {
                otherwise += 1;
                println!("{name}: {} is otherwise on purpose: {reason}", case["name"]);
            }
            Verdict::Wrong(reason) => {
                wrong += 1;
                println!("{name}: {} ({}): {reason}", case["name"], case["description"]);
            }
        }
    }
    println!("{name}: {same} of {} the same, {otherwise} otherwise on purpose", cases.len());
    assert_eq!(wrong, 0, "{name}: cases fall short");
}

fn pairs(object: &Value) -> impl Iterator<Item = (&str, &str)> {
    object.as_object().into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// What of a recorded credential there is here. Blank members of a chain are left out, as ours leaves them out, and so
/// are those for tools that Rust has no credential for.
fn recorded(credential: &Value) -> Value {
    let fields = |names: &[&str]| -> Value {
        let of = |name: &&str| ((*name).to_owned(), credential[*name].clone());
        Value::Object(["type"].iter().chain(names).map(of).collect::<Map<_, _>>())
    };
    match credential["type"].as_str().unwrap_or_default() {
        "ClientSecretCredential" => fields(&["tenantId", "clientId", "clientSecret"]),
        "ClientCertificateCredential" => fields(&["tenantId", "clientId"]),
        "ManagedIdentityCredential" => fields(&["idType", "userAssignedId"]),
        "AzurePipelinesCredential" => fields(&["tenantId", "clientId", "serviceConnectionId"]),
        "WorkloadIdentityCredential" => json!({
            "type": "WorkloadIdentityCredential",
            "tenantId": credential["clientAssertion"]["tenantId"],
            "clientId": credential["clientId"],
            "tokenFilePath": credential["tokenFilePath"],
        }),
        "ManagedFederatedIdentityCredential" => json!({
            "type": "ManagedFederatedIdentityCredential",
            "tenantId": credential["clientAssertion"]["tenantId"],
            "clientId": credential["clientAssertion"]["clientId"],
            "managedIdentity": recorded(&credential["managedIdentity"]),
        }),
        "EnvironmentCredential" => recorded(&credential["inner"]),
        "DefaultAzureCredential" => {
            let members = credential["members"].as_array().into_iter().flatten();
            let known = |name: &str| members.clone().find(|m| m["type"].as_str() == Some(name));
            let chain = credential["chain"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let chain = chain.filter_map(|name| match name {
                "EnvironmentCredential" | "WorkloadIdentityCredential" | "ManagedIdentityCredential" => {
                    let member = known(name)?;
                    let usable = member["usable"] != false && member.get("inner") != Some(&Value::Null);
                    usable.then(|| recorded(member))
                }
                "AzureCliCredential" | "AzureDeveloperCliCredential" => Some(json!({ "type": name })),
                _ => None,
            });
            json!({ "type": "DefaultAzureCredential", "chain": chain.collect::<Vec<_>>() })
        }
        other => json!({ "type": other }),
    }
}

fn identity(id: &ManagedIdentityId) -> Value {
    let (kind, id) = match id {
        ManagedIdentityId::SystemAssigned => ("SystemAssigned", None),
        ManagedIdentityId::ClientId(id) => ("ClientId", Some(id)),
        ManagedIdentityId::ResourceId(id) => ("ResourceId", Some(id)),
        ManagedIdentityId::ObjectId(id) => ("ObjectId", Some(id)),
        _ => ("another", None),
    };
    json!({ "type": "ManagedIdentityCredential", "idType": kind, "userAssignedId": id })
}

fn ours(credential: &CredentialSettings) -> Value {
    let application = |kind: &str, more: Value| {
        let mut all = json!({
            "type": kind,
            "tenantId": credential.tenant_id(),
            "clientId": credential.client_id(),
        });
        all.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        all
    };
    match credential {
        CredentialSettings::AccessKey(_) => json!({ "type": "access key" }),
        CredentialSettings::ClientSecret(secret) => {
            application("ClientSecretCredential", json!({ "clientSecret": secret.secret() }))
        }
        CredentialSettings::ClientCertificate { .. } | CredentialSettings::StoredCertificate { .. } => {
            application("ClientCertificateCredential", json!({}))
        }
        CredentialSettings::ManagedIdentity(id) => identity(id),
        CredentialSettings::WorkloadIdentity { token_file, .. } => {
            application("WorkloadIdentityCredential", json!({ "tokenFilePath": token_file }))
        }
        CredentialSettings::FederatedIdentity { identity: id, .. } => {
            application("ManagedFederatedIdentityCredential", json!({ "managedIdentity": identity(id) }))
        }
        CredentialSettings::AzurePipelines { service_connection_id, .. } => {
            application("AzurePipelinesCredential", json!({ "serviceConnectionId": service_connection_id }))
        }
        CredentialSettings::AzureCli => json!({ "type": "AzureCliCredential" }),
        CredentialSettings::AzureDeveloperCli => json!({ "type": "AzureDeveloperCliCredential" }),
        CredentialSettings::Chain(members) => {
            json!({ "type": "DefaultAzureCredential", "chain": members.iter().map(ours).collect::<Vec<_>>() })
        }
        _ => json!({ "type": "another" }),
    }
}

/// What is in the way of using the settings, but for credentials that cannot be created from settings and addresses that
/// must not be used without TLS.
fn fault(configuration: &Configuration) -> Option<ConfigurationError> {
    match ServiceClient::builder().configuration(configuration) {
        Err(ConfigurationError::Endpoint {
            source:
                EndpointError::Credential(InvalidCredential::Unsupported { .. })
                | EndpointError::InsecureUrl { .. },
            ..
        })
        | Ok(_) => None,
        Err(error) => Some(error),
    }
}

/// Where ours does otherwise than the recorded .NET on purpose: what it says there, and what ours does.
fn on_purpose(
    configuration: &Configuration,
    case: &Value,
    error: Option<&ConfigurationError>,
) -> Option<&'static str> {
    let said = case["exception"]["message"].as_str().unwrap_or_default();
    let settings = &case["input"]["settings"];
    let given = |key: &str| {
        pairs(settings).find(|(known, _)| known.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    };
    match error {
        None if said.contains("multiple service endpoints in transient mode are not implemented") => {
            Some("messages go to several endpoints by REST")
        }
        None if case["input"]["connectionName"].as_str().is_some_and(|name| name.contains("__")) => {
            Some("a connection can be named with either separator")
        }
        None if !said.is_empty() => {
            let warnings = configuration.warnings().unwrap_or_default();
            let unused = warnings.iter().any(|w| {
                matches!(w, ConfigurationWarning::Unused { key, .. } if said.contains(key.as_str()) || said.contains("valid information"))
            });
            unused.then_some("a setting that means something in .NET only is a warning")
        }
        Some(ConfigurationError::Invalid { key, .. }) if said.is_empty() => match key.as_str() {
            "AzureSignalRServiceTransportType" => {
                let name = given(key).map(str::trim);
                (!matches!(name, Some("Transient" | "Persistent"))).then_some("only the names are taken")
            }
            "AzureSignalRHttpClientTimeout" => Some("a number of days, zero, and less are no time-outs"),
            "AzureSignalRRetry:MaxRetries" => Some("nothing is made again less than no times"),
            "AzureSignalRRetry:Mode" => Some("only the names are taken"),
            key if key.ends_with(":serviceUri") => {
                let query = pairs(settings)
                    .any(|(k, v)| k.to_ascii_lowercase().ends_with("serviceuri") && v.contains('?'));
                query.then_some("a path cannot be put behind a query")
            }
            _ => None,
        },
        Some(ConfigurationError::ConnectionString {
            source: ConnectionStringError::InvalidEndpoint, ..
        }) if pairs(settings).any(|(_, value)| value.contains('?') || value.contains('#')) => {
            Some("a path cannot be put behind a query")
        }
        _ => None,
    }
}

/// What an error may say: no secret, but one of a few words.
fn is_named(key: &str) -> bool {
    key.to_ascii_lowercase().ends_with("credential")
}

/// JSON objects are read in the order of their keys here, so which of two that are the same came last is lost.
fn has_one_key_twice(settings: &Value) -> bool {
    let mut keys: Vec<String> = pairs(settings).map(|(key, _)| key.to_ascii_lowercase()).collect();
    keys.sort();
    keys.windows(2).any(|two| two[0] == two[1])
}

#[test]
fn settings_of_azure_functions() {
    run("settings_of_azure_functions", "functions-settings", |case| {
        let input = &case["input"];
        if has_one_key_twice(&input["settings"]) {
            return Verdict::OnPurpose("which of two keys comes last is not known to this test");
        }
        let empty = Configuration::new().variables(pairs(&input["processEnvironment"]));
        let configuration = match input["form"].as_str() {
            Some("environment") => empty.variables(pairs(&input["settings"])),
            _ => pairs(&input["settings"]).fold(empty, |all, (key, value)| all.set(key, value)),
        };
        let configuration = configuration.connection(input["connectionName"].as_str().unwrap_or_default());
        let error = fault(&configuration);
        let refused = case.get("exception").is_some();
        if refused != error.is_some() {
            return match on_purpose(&configuration, case, error.as_ref()) {
                Some(reason) => Verdict::OnPurpose(reason),
                None => Verdict::Wrong(format!("ours: {error:?}, .NET: {}", case["exception"])),
            };
        }
        if let Some(error) = error {
            // The text names a key that is there or was looked for, and no value.
            let text = error.to_string();
            let leaked = pairs(&input["settings"])
                .find(|(key, value)| value.len() > 12 && !is_named(key) && text.contains(value));
            return match leaked {
                Some((key, _)) => Verdict::Wrong(format!("shows the value of {key}: {text}")),
                None => Verdict::Same,
            };
        }
        let got = configuration.endpoints().expect("no fault").iter().map(described).collect();
        let wanted =
            case["result"]["endpoints"].as_array().into_iter().flatten().map(recorded_endpoint).collect();
        let (got, wanted): (Value, Value) = (Value::Array(got), Value::Array(wanted));
        if got == wanted { Verdict::Same } else { Verdict::Wrong(format!("got {got}, wanted {wanted}")) }
    });
}

fn described(endpoint: &EndpointSettings) -> Value {
    let url = |url: Option<&str>| {
        url.map_or_else(|| endpoint.endpoint(), |url| url.trim_end_matches('/').to_owned())
    };
    json!({
        "name": endpoint.name(),
        "type": match endpoint.role() { EndpointRole::Secondary => "secondary", _ => "primary" },
        "endpoint": endpoint.endpoint(),
        "serverEndpoint": url(endpoint.server_endpoint()),
        "clientEndpoint": url(endpoint.client_endpoint()),
        "credential": match endpoint.credential() {
            CredentialSettings::AccessKey(key) => Value::from(key.secret()),
            other => ours(other),
        },
    })
}

fn recorded_endpoint(endpoint: &Value) -> Value {
    let url = |name: &str| endpoint[name].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
    json!({
        "name": endpoint["name"],
        "type": endpoint["type"],
        "endpoint": endpoint["endpoint"],
        "serverEndpoint": url("serverEndpoint"),
        "clientEndpoint": url("clientEndpoint"),
        "credential": match endpoint["accessKey"].as_str() {
            Some(key) => Value::from(key),
            None => recorded(&endpoint["credential"]),
        },
    })
}

/// Cases about something that ours does not have.
fn not_ours(case: &Value) -> Option<&'static str> {
    let said = case["exception"]["message"].as_str().unwrap_or_default();
    let api = case["api"].as_str().unwrap_or_default();
    let has =
        |key: &str| pairs(&case["input"]["configuration"]).any(|(known, _)| known.eq_ignore_ascii_case(key));
    if api.contains('"') {
        return Some("which credentials are tried is in AZURE_TOKEN_CREDENTIALS, nowhere else");
    }
    if case["description"].as_str().is_some_and(|text| text.starts_with("options:")) {
        return Some("options in code, not settings");
    }
    if said.contains("thumbprint") || said.contains("X509Store") || said.contains("Requested value") {
        return Some("looking a certificate up in the store of Windows");
    }
    if has("P") {
        return Some("a section with a value is a connection string");
    }
    None
}

/// The same for credentials.
fn credential_on_purpose(
    case: &Value,
    got: &Result<EndpointSettings, ConfigurationError>,
) -> Option<&'static str> {
    let input = &case["input"];
    let variable = |name: &str| input["environment"][name].as_str();
    match got {
        Err(ConfigurationError::Invalid { key, .. }) if key.ends_with(":credential") => {
            Some("an unknown credential is an error")
        }
        Err(ConfigurationError::Invalid { key, .. }) if key == "AZURE_TOKEN_CREDENTIALS" => {
            let tool = variable(key).unwrap_or_default().to_ascii_lowercase();
            let tools =
                ["visualstudio", "visualstudiocode", "azurepowershell", "interactivebrowser", "broker"];
            let known = tools.iter().any(|name| tool == format!("{name}credential"));
            known.then_some("there is no such credential in Rust")
        }
        _ if variable("AZURE_USERNAME").is_some() => {
            Some("user name and password are no credential of a service")
        }
        _ if pairs(&input["environment"]).any(|(_, value)| value.trim().is_empty()) => {
            Some("a blank variable counts as missing")
        }
        _ if pairs(&input["configuration"]).any(|(_, value)| value.trim() != value) => {
            Some("white space around a value is left out, with a warning")
        }
        _ => None,
    }
}

/// A credential that is made, and never gives a token. Ours says so at once.
fn is_unusable(credential: &Value) -> bool {
    let recorded = recorded(credential);
    credential["usable"] == false
        || credential.get("inner") == Some(&Value::Null)
        || recorded["chain"].as_array().is_some_and(Vec::is_empty)
}

#[test]
fn credentials_of_settings() {
    run("credentials_of_settings", "credentials-from-configuration", |case| {
        if let Some(reason) = not_ours(case) {
            return Verdict::OnPurpose(reason);
        }
        let input = &case["input"];
        let mut configuration = Configuration::new().variables(pairs(&input["environment"]));
        let only = match case["api"].as_str() {
            Some("new EnvironmentCredential()") => Some("EnvironmentCredential"),
            Some("new WorkloadIdentityCredential()") => Some("WorkloadIdentityCredential"),
            _ => None,
        };
        if let Some(name) = only {
            configuration = configuration.set("AZURE_TOKEN_CREDENTIALS", name);
        }
        // A section of its own, unless the case brings one.
        let section = case["description"].as_str().is_some_and(|text| text.contains("GetSection(\"P\")"));
        for (key, value) in pairs(&input["configuration"]) {
            configuration = match section {
                true => configuration.set(key, value),
                false => configuration.set(format!("P:{key}"), value),
            };
        }
        let configuration = configuration.set("P:serviceUri", "https://a.example.com").connection("P");
        let got = configuration.endpoints().map(|mut endpoints| endpoints.remove(0));
        let usable = got.as_ref().ok().map(|settings| ServiceEndpoint::try_from(settings.clone()));
        let refused = matches!(
            usable,
            None | Some(Err(EndpointError::Credential(
                InvalidCredential::Part { .. } | InvalidCredential::Authority
            ) | EndpointError::AuthorityHost(_)))
        );

        let wanted = match case.get("result") {
            None if refused => return Verdict::Same,
            None => json!("an error"),
            Some(result) if is_unusable(result) && refused => return Verdict::Same,
            Some(result) if only.is_some() => json!([recorded(result)]),
            Some(result) => recorded(result),
        };
        let shown = match &got {
            Ok(settings) if only.is_some() => ours(settings.credential())["chain"].clone(),
            Ok(settings) => ours(settings.credential()),
            Err(error) => json!(error.to_string()),
        };
        if shown == wanted && !refused {
            return Verdict::Same;
        }
        match credential_on_purpose(case, &got) {
            Some(reason) => Verdict::OnPurpose(reason),
            None => Verdict::Wrong(format!("got {shown}, wanted {wanted}")),
        }
    });
}
