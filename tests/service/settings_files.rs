//! Settings files as .NET and the tools of Azure Functions read them.
#![cfg(feature = "service")]

use hubwire::service::configuration::{Configuration, ConfigurationError as E};

const A: &str = "Endpoint=https://a;AccessKey=marked-key-a";

/// Address and access key of the only endpoint.
fn only(configuration: &Configuration) -> (String, String) {
    let endpoints = configuration.endpoints().unwrap_or_else(|error| panic!("{error}"));
    let [endpoint] = &endpoints[..] else { panic!("{} endpoints", endpoints.len()) };
    let hubwire::service::credentials::CredentialSettings::AccessKey(key) = endpoint.credential() else {
        panic!("{:?}", endpoint.credential());
    };
    (endpoint.endpoint(), key.secret().to_owned())
}

fn read(text: &str) -> (String, String) {
    only(&Configuration::new().json(text).unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn with_key(key: &str) -> (String, String) {
    ("https://a".to_owned(), key.to_owned())
}

#[test]
fn what_is_not_json_to_the_letter_is_read() {
    let a = A;
    for text in [
        format!("\u{feff}{{\"Values\": {{\"AzureSignalRConnectionString\": \"{a}\"}}}}"),
        format!(
            "// of the tools\n{{\"Values\": {{\"AzureSignalRConnectionString\": \"{a}\" /* no // end */,}},}}\n"
        ),
        format!("{{\"isEncrypted\": false, \"values\": {{\"AzureSignalRConnectionString\": \"{a}\"}}}}"),
        format!("{{\"VALUES\": {{}}, \"connectionStrings\": {{\"azuresignalrconnectionstring\": \"{a}\"}}}}"),
        format!(
            r#"{{"Values": {{}}, "ConnectionStrings": {{"AzureSignalRConnectionString":
                {{"ConnectionString": "{a}", "ProviderName": "Custom"}}}}}}"#
        ),
        format!(r#"{{"Values": null, "ConnectionStrings": {{"Azure:SignalR:ConnectionString": "{a}"}}}}"#),
        format!(r#"{{"ConnectionStrings": {{"Azure": {{"SignalR": {{"ConnectionString": "{a}"}}}}}}}}"#),
        format!(
            r#"{{"Values": {{}}, "ConnectionStrings": {{"Azure:SignalR": {{"ConnectionString": "{a}"}}}}}}"#
        ),
        format!(r#"{{"azure": {{"signalR": {{"connectionstring": "{a}"}}}}}}"#),
        format!(r#"{{"AZURE__SIGNALR__CONNECTIONSTRING": "{a}"}}"#),
        // What looks like a comment or a comma in a text is none.
        format!(r#"{{"Values": {{"AzureSignalRConnectionString": "{a}", "x": "http://b,}} /* ", }}}}"#),
    ] {
        assert_eq!(read(&text), with_key("marked-key-a"), "{text}");
    }
}

/// As `local.settings.json` and web.config have it, in either file and whatever the name.
#[test]
fn a_connection_string_may_be_an_object() {
    let object = format!(r#"{{"ConnectionString": "{A}", "ProviderName": "Custom"}}"#);
    for start in ["{", r#"{"Values": {}, "#, r#"{"IsEncrypted": false, "Values": {"x": "y"}, "#] {
        for strings in [
            format!(r#""ConnectionStrings": {{"AzureSignalRConnectionString": {object}}}"#),
            format!(r#""connectionStrings": {{"azuresignalrconnectionstring": {object}}}"#),
            format!(r#""ConnectionStrings": {{"Azure:SignalR:ConnectionString": {object}}}"#),
            format!(r#""ConnectionStrings": {{"Azure__SignalR__ConnectionString": {object}}}"#),
            format!(r#""ConnectionStrings": {{"Azure": {{"SignalR": {{"ConnectionString": {object}}}}}}}"#),
        ] {
            let text = format!("{start}{strings}}}");
            assert_eq!(read(&text), with_key("marked-key-a"), "{text}");
            let warnings = Configuration::new().json(&text).unwrap().warnings().unwrap();
            assert!(warnings.is_empty(), "{text}: {warnings:?}");
        }
    }
    for text in [
        format!(r#"{{"ConnectionStrings:AzureSignalRConnectionString": {object}}}"#),
        format!(r#"{{"Azure": {{"SignalR": {{"ConnectionString": {object}}}}}}}"#),
    ] {
        assert_eq!(read(&text), with_key("marked-key-a"), "{text}");
    }
    let named = format!(r#"{{"ConnectionStrings": {{"My:SignalR": {object}}}}}"#);
    let configuration = Configuration::new().json(&named).unwrap().connection("My:SignalR");
    assert_eq!(only(&configuration), with_key("marked-key-a"));

    // A fault is that of the connection string, under its own key.
    for name in ["AzureSignalRConnectionString", "Azure:SignalR:ConnectionString"] {
        let text = format!(
            r#"{{"ConnectionStrings": {{"{name}": {{"ConnectionString": "x", "ProviderName": "Custom"}}}}}}"#
        );
        let error = Configuration::new().json(&text).unwrap().endpoints().unwrap_err();
        let expected = format!("ConnectionStrings:{name}");
        assert!(matches!(&error, E::ConnectionString { key, .. } if *key == expected), "{error:?}");
    }
}

#[test]
fn of_one_key_twice_the_last_counts() {
    let key = |n: u32| format!("Endpoint=https://a;AccessKey={n}");
    let (one, two) = (key(1), key(2));
    for text in [
        format!(
            r#"{{"Values": {{"AzureSignalRConnectionString": "{one}", "AzureSignalRConnectionString": "{two}"}}}}"#
        ),
        // In the order of the file, not of the alphabet.
        format!(
            r#"{{"Values": {{"azureSignalRConnectionString": "{one}", "AzureSignalRConnectionString": "{two}"}}}}"#
        ),
        format!(
            r#"{{"Values": {{"AzureSignalRConnectionString": "{one}", "azureSignalRConnectionString": "{two}"}}}}"#
        ),
        format!(
            r#"{{"Azure:SignalR:ConnectionString": "{one}", "Azure": {{"SignalR": {{"ConnectionString": "{two}"}}}}}}"#
        ),
        format!(
            r#"{{"Azure": {{"SignalR": {{"ConnectionString": "{one}"}}}}, "Azure__SignalR:ConnectionString": "{two}"}}"#
        ),
    ] {
        assert_eq!(read(&text), with_key("2"), "{text}");
    }
}

/// A number is the text that it is written as: an id may have more digits than a number.
#[test]
fn numbers_and_truth_values_are_their_text() {
    let text = r#"{"C": {"serviceUri": "https://a", "tenantId": 12345678901234567890123, "clientId": 0.10, "clientSecret": true},
        "Azure": {"SignalR": {"RetryOptions": {"MaxRetries": 5}}}}"#;
    let configuration = Configuration::new().json(text).unwrap().connection("C");
    let endpoint = configuration.endpoints().unwrap().remove(0);
    assert_eq!(endpoint.credential().tenant_id(), Some("12345678901234567890123"));
    assert_eq!(endpoint.credential().client_id(), Some("0.10"));
    let builder = hubwire::service::ServiceClient::builder().configuration(&configuration).unwrap();
    assert!(format!("{builder:?}").contains("max_retries: 5"), "{builder:?}");
}

#[test]
fn encrypted_settings_are_refused_as_such() {
    for text in [
        r#"{"IsEncrypted": true, "Values": {"AzureSignalRConnectionString": "CfDJ8"}}"#,
        r#"{"isencrypted": "True", "values": {}}"#,
        r#"{"IsEncrypted": true, "ConnectionStrings": {"AzureSignalRConnectionString": "CfDJ8"}}"#,
    ] {
        let error = Configuration::new().json(text).unwrap_err();
        assert!(matches!(error, E::Encrypted), "{text}: {error:?}");
        assert!(error.to_string().contains("func settings decrypt"), "{error}");
    }
}

#[test]
fn faults_have_a_place_and_show_nothing() {
    for (text, place) in [
        ("{\n  // marked\n  \"Values\": marked\n}", (3, 13)),
        ("{\"a\": 1} {}", (1, 10)),
        ("{'a': 'marked'}", (1, 2)),
        ("{a: 1}", (1, 2)),
        ("{\"a\": 1 \"b\": 2}", (1, 8)),
        ("{\"a\": 0x1F}", (1, 7)),
        ("{\"a\": \"marked", (1, 7)),
        ("/* marked", (1, 1)),
        ("[]", (0, 0)),
        ("", (0, 0)),
        ("// marked", (0, 0)),
    ] {
        let error = Configuration::new().json(text).expect_err(text);
        assert!(!format!("{error} {error:?}").contains("marked"), "{error:?}");
        let E::InvalidJson { line, column } = error else { panic!("{text}: {error:?}") };
        assert_eq!((line, column), place, "{text}");
    }
    // As deep as a file may be nested, and deeper.
    for (depth, is_read) in [(200, true), (100_000, false)] {
        for (open, close) in [("{\"a\":", "}"), ("[", "]")] {
            let text = format!("{{\"a\":{}1{}}}", open.repeat(depth), close.repeat(depth));
            assert_eq!(Configuration::new().json(&text).is_ok(), is_read, "{depth} {open}");
        }
    }
}

#[test]
fn files_have_the_encoding_that_their_mark_says() {
    let folder = std::env::temp_dir().join(format!("hubwire-settings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("local.settings.json");
    let text = format!("{{\"Values\": {{\"AzureSignalRConnectionString\": \"{A}\"}}}} // ä𝄞");
    let units: Vec<u16> = text.encode_utf16().collect();
    // As `>` of Windows PowerShell writes it.
    let little = [vec![0xff, 0xfe], units.iter().flat_map(|unit| unit.to_le_bytes()).collect()].concat();
    let big = [vec![0xfe, 0xff], units.iter().flat_map(|unit| unit.to_be_bytes()).collect()].concat();
    let utf8 = [b"\xef\xbb\xbf", text.as_bytes()].concat();
    for bytes in [text.clone().into_bytes(), utf8, little.clone(), big] {
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(only(&Configuration::new().file(&path).unwrap()), with_key("marked-key-a"));
    }
    let cut = little[..little.len() - 1].to_vec();
    for bytes in [cut, b"{\"a\": \"\xff\"}".to_vec(), format!("{{}}{}", " ".repeat(1024 * 1024)).into_bytes()]
    {
        std::fs::write(&path, bytes).unwrap();
        let error = Configuration::new().file(&path).unwrap_err();
        assert!(matches!(error, E::Unreadable { .. }), "{error:?}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
