//! The settings of Azure Functions, as Microsoft's article on Entra applications has them, in a command of `--once`.
//!
//! Source: [Azure SignalR Service bindings in Azure Functions](https://learn.microsoft.com/azure/azure-signalr/signalr-howto-authorize-application#azure-signalr-service-bindings-in-azure-functions).
#![cfg(unix)]

use hubwire::service::{NegotiateOptions, ServiceClient, configuration::Configuration};

use crate::program::{hubwire, run_with};

/// Tells the test below that it is the command.
const IN_COMMAND: &str = "HUBWIRE_TEST_IN_COMMAND";

/// "Configure an identity in predefined environment variables".
const PREDEFINED: &str = "export AzureSignalRConnectionString__serviceUri=$HUBWIRE_LOCAL_ENDPOINT";

/// "Configure an identity in SignalR-specified variables".
const SPECIFIED: &str = "
    export AzureSignalRConnectionString__serviceUri=$HUBWIRE_LOCAL_ENDPOINT
    export AzureSignalRConnectionString__clientId=$AZURE_CLIENT_ID
    export AzureSignalRConnectionString__clientSecret=$AZURE_CLIENT_SECRET
    export AzureSignalRConnectionString__tenantId=$AZURE_TENANT_ID
    unset AZURE_CLIENT_ID AZURE_CLIENT_SECRET AZURE_TENANT_ID
";

#[tokio::test]
async fn what_the_command_does() {
    if std::env::var_os(IN_COMMAND).is_none() {
        return;
    }
    let service = ServiceClient::from_configuration(&Configuration::from_environment()).unwrap();
    let hub = service.hub("chat").unwrap();
    hub.all().send("Message", ("hello",)).await.unwrap();
    hub.negotiate(NegotiateOptions::for_user("ann")).await.unwrap();
    println!("the command was there");
}

#[test]
fn the_settings_of_the_article_work_unchanged() {
    let test = std::env::current_exe().unwrap();
    for settings in [PREDEFINED, SPECIFIED] {
        let script = format!(
            "unset AzureSignalRConnectionString Azure__SignalR__ConnectionString IDENTITY_ENDPOINT IDENTITY_HEADER
             {settings}
             exec \"$0\" --exact local::functions::what_the_command_does --nocapture"
        );
        let mut command = hubwire(["local", "--once", "--entra", "--", "sh", "-c", &script]);
        command.arg(&test).env(IN_COMMAND, "1");
        let output = run_with(command, "");
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && printed.contains("the command was there"),
            "{settings}: {output:?}"
        );
    }
}
