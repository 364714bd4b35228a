//! Names of endpoints, settings, endpoints by address and credential, and what a `ServerEndpoint` does to requests.

use hubwire::service::{
    BuildError, NegotiateOptions, ServiceClient, ServiceEndpoint,
    configuration::{Configuration, ConfigurationError},
    credentials::{ClientSecret, Credential},
    endpoints::{EndpointError, EndpointRole, EndpointStatus},
};
use serde_json::{Value, json};

use super::{
    Case, Checked, Verdict,
    compare::{compare_access, compare_request, same, text},
    server::serve,
};
use crate::fakes;

pub(super) async fn check(case: &Case) -> Checked {
    let Case { case: recorded, key, .. } = case;
    let options = &recorded["options"];
    if let Some(text) = options["name_with_endpoint_type"].as_str() {
        return name_with_type(text, &recorded["result"]);
    }
    if options["configuration"].is_object() {
        return configuration(recorded, key).await;
    }
    if case.name().starts_with("rest-") && recorded["connection_string"].is_string() {
        return requests(recorded, key).await;
    }
    match case.name() {
        "init-endpoints" => replaced_addresses(recorded, key).await,
        name if name.starts_with("ctor-uri") => address_and_credential(recorded),
        _ => Ok(Verdict::Unknown),
    }
}

fn role(role: EndpointRole) -> &'static str {
    match role {
        EndpointRole::Primary => "Primary",
        EndpointRole::Secondary => "Secondary",
        _ => "another",
    }
}

fn same_endpoint(endpoint: &EndpointStatus, recorded: &Value) -> Result<(), String> {
    same("endpoint", &json!(endpoint.endpoint()), &recorded["endpoint"])?;
    same("name", &json!(endpoint.name()), &recorded["name"])?;
    same("role", &json!(role(endpoint.role())), &recorded["endpoint_type"])
}

/// `name[:type]`, as it stands in keys.
fn name_with_type(named: &str, recorded: &Value) -> Checked {
    let key = match named {
        "" => "Azure:SignalR:ConnectionString".to_owned(),
        named => format!("Azure:SignalR:ConnectionString:{named}"),
    };
    let (address, secret) = (&recorded["endpoint"], &recorded["access_key"]["value"]);
    let string = format!(
        "Endpoint={};AccessKey={}",
        address.as_str().unwrap_or_default(),
        secret.as_str().unwrap_or_default()
    );
    let configuration = Configuration::new()
        .set(key, string)
        // Somebody has to be primary.
        .set("Azure:SignalR:Endpoints:other", "Endpoint=https://other.example.com;AccessKey=k");
    let client = ServiceClient::from_configuration(&configuration).map_err(text)?;
    let endpoints = client.endpoints();
    let endpoint = endpoints.iter().find(|e| address == e.endpoint().as_str()).ok_or("it is not there")?;
    if named.rsplit(':').next().is_some_and(|kind| kind.parse::<u8>().is_ok()) {
        // .NET takes the number of a type for its name.
        return same("name", &json!(endpoint.name()), &json!(named)).map(|()| Verdict::Alike);
    }
    same_endpoint(endpoint, recorded)?;
    Ok(Verdict::Alike)
}

async fn configuration(case: &Value, key: &str) -> Checked {
    let set = |all: Configuration, (name, value): (&String, &Value)| {
        all.set(name, value.as_str().unwrap_or_default())
    };
    let settings = case["options"]["configuration"].as_object().into_iter().flatten();
    let mut configuration = settings.fold(Configuration::new(), set);
    // What is said in code comes later.
    if let Some(string) = case["options"]["more"]["connection_string"].as_str() {
        configuration = configuration.set("Azure:SignalR:ConnectionString", string);
    }
    let client = ServiceClient::from_configuration(&configuration);
    let thrown = case["exception"]["type"].as_str().unwrap_or_default();
    let client = match (thrown.rsplit('.').next().unwrap_or_default(), client) {
        ("", Ok(client)) => client,
        (
            "AzureSignalRNoPrimaryEndpointException",
            Err(ConfigurationError::Build(BuildError::NoPrimaryEndpoint)),
        )
        | ("InvalidOperationException", Err(ConfigurationError::NoConnection { .. })) => {
            return Ok(Verdict::Alike);
        }
        // Ours has several endpoints without server connections.
        ("NotImplementedException", Ok(client)) if client.endpoints().len() > 1 => return Ok(Verdict::Alike),
        // The SDK of app servers reads this section, that of management does not.
        ("InvalidOperationException", Ok(client))
            if case["options"]["configuration"]["ConnectionStrings:Azure:SignalR:ConnectionString"]
                .is_string() =>
        {
            return same("number", &json!(client.endpoints().len()), &json!(1)).map(|()| Verdict::Alike);
        }
        (thrown, client) => return Err(format!("{client:?}, not {thrown:?}")),
    };
    let endpoints = client.endpoints();
    let recorded = case["result"]["endpoints"].as_array().cloned().unwrap_or_default();
    same("number of endpoints", &json!(endpoints.len()), &json!(recorded.len()))?;
    endpoints.iter().zip(&recorded).try_for_each(|(endpoint, recorded)| same_endpoint(endpoint, recorded))?;
    negotiated(case, &client, &case["result"]["negotiate"], key).await
}

/// Compares what clients get.
async fn negotiated(case: &Value, client: &ServiceClient, recorded: &Value, key: &str) -> Checked {
    let hub = client.hub("chat").map_err(text)?;
    let access = hub.negotiate(NegotiateOptions::anonymous()).await;
    let access = access.map(|access| (access.url, access.access_token));
    compare_access(case, &Value::Null, recorded, access, key)?;
    Ok(Verdict::Alike)
}

fn address_and_credential(case: &Value) -> Checked {
    let call = case["sdk_call"].as_str().unwrap_or_default();
    let address = call.split("new Uri(\"").nth(1).and_then(|rest| rest.split('"').next());
    let address = address.ok_or("no address in the call")?;
    let credential: Credential = ClientSecret::new("tenant", "app", "secret").into();
    let made = ServiceEndpoint::new(address, credential.clone());
    let recorded = &case["result"];
    let endpoint = match made {
        Err(EndpointError::InvalidUrl { .. }) if !case["exception"].is_null() => return Ok(Verdict::Alike),
        // The SDK puts its paths behind the query.
        Err(EndpointError::InvalidUrl { .. }) if address.contains('?') => {
            let address = address.split('?').next().unwrap_or_default();
            ServiceEndpoint::new(address, credential).map_err(text)?
        }
        Ok(endpoint) if case["exception"].is_null() => endpoint,
        made => return Err(format!("{made:?}, not {}", case["exception"])),
    };
    let field = |name: &str| recorded[name].as_str().unwrap_or_default();
    let mut endpoint = endpoint.named(field("name"));
    if field("endpoint_type") == "Secondary" {
        endpoint = endpoint.secondary();
    }
    let endpoint = endpoint
        .client_endpoint(field("client_endpoint"))
        .and_then(|endpoint| endpoint.server_endpoint(field("server_endpoint")))
        .map_err(text)?;
    same("endpoint", &json!(endpoint.endpoint()), &recorded["endpoint"])?;
    same("name", &json!(endpoint.name()), &recorded["name"])?;
    same("role", &json!(role(endpoint.role())), &recorded["endpoint_type"])?;
    Ok(Verdict::Alike)
}

/// Addresses given in code take the place of those in the string.
async fn replaced_addresses(case: &Value, key: &str) -> Checked {
    let recorded = &case["result"];
    let string = case["options"]["connection_string"].as_str().unwrap_or_default();
    let fake = fakes::Fake::start(fakes::all_well).await;
    let endpoint = ServiceEndpoint::from_connection_string(string)
        .and_then(|endpoint| {
            endpoint.client_endpoint(recorded["client_endpoint"].as_str().unwrap_or_default())
        })
        .and_then(|endpoint| endpoint.server_endpoint(&fake.url))
        .map_err(text)?;
    let client = ServiceClient::builder().endpoint(endpoint).build().map_err(text)?;
    let hub = client.hub("chat").map_err(text)?;
    hub.all().send("m", ()).await.map_err(text)?;
    let base = |name: &str| recorded[name].as_str().unwrap_or_default().to_owned();
    let (_, claims) = fakes::verified(fake.last().bearer(), key);
    let audience = format!("{}api/hubs/chat/:send", base("audience_base_url"));
    same("audience", &claims["aud"], &json!(audience))?;
    let access = hub.negotiate(NegotiateOptions::anonymous()).await.map_err(text)?;
    same("url", &json!(access.url), &json!(format!("{}client/?hub=chat", base("client_endpoint"))))?;
    let (_, claims) = fakes::verified(&access.access_token, key);
    same("audience", &claims["aud"], &json!(format!("{}client/?hub=chat", base("audience_base_url"))))?;
    Ok(Verdict::Alike)
}

/// A message to a group, and the question for the service's health.
async fn requests(case: &Value, key: &str) -> Checked {
    let string = case["connection_string"].as_str().unwrap_or_default();
    let of = |port: &str| -> Vec<Value> {
        let requests = case[format!("requests_port_{port}")].as_array().cloned().unwrap_or_default();
        requests.into_iter().map(|request| with_slash(string, request)).collect()
    };
    let recorded = [of("a"), of("b")];
    let (url_a, mut seen_a) = serve(recorded[0].clone()).await;
    let (url_b, mut seen_b) = serve(recorded[1].clone()).await;
    let port = |url: &str| url.rsplit(':').next().unwrap_or_default().to_owned();
    let string = string.replace("{port-a}", &port(&url_a)).replace("{port-b}", &port(&url_b));
    let endpoint = ServiceEndpoint::from_connection_string(&string).map_err(text)?;
    let client = ServiceClient::builder().endpoint(endpoint).build().map_err(text)?;
    let hub = client.hub("chat").map_err(text)?;
    hub.group("g").send("m", ("x",)).await.map_err(text)?;
    let healthy = client.is_healthy().await.map_err(text)?;
    same("result", &json!(healthy), &case["result"])?;
    for (recorded, seen) in recorded.iter().zip([&mut seen_a, &mut seen_b]) {
        for request in recorded {
            let made = seen.try_recv().map_err(|_| format!("no request for {}", request["raw_target"]))?;
            compare_request(&Value::Null, &made, request, Some(key))?;
        }
        if let Ok(more) = seen.try_recv() {
            return Err(format!("one request too many: {}", more.target));
        }
    }
    Ok(Verdict::Alike)
}

/// The SDK leaves out the slash between the path of a `ServerEndpoint` and its own.
fn with_slash(string: &str, mut request: Value) -> Value {
    let path = string.rsplit("{port-b}").next().filter(|path| path.len() > 1 && !path.ends_with('/'));
    if let Some(path) = path {
        for name in ["raw_target", "path"] {
            let joined = request[name].as_str().unwrap_or_default();
            request[name] = joined.replacen(&format!("{path}api/"), &format!("{path}/api/"), 1).into();
        }
    }
    request
}
