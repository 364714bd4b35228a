//! Tests of which proxy a request goes through.

use super::*;

fn environment(variables: &[(&str, &str)]) -> Proxy {
    Proxy(Arc::new(Rules::read(&|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })))
}

/// The proxy for a URL; `-` for none.
fn chosen(proxy: &Proxy, url: &str) -> String {
    match proxy.for_url(&Url::parse(url).unwrap()) {
        Ok(Some(server)) => format!("{server:?}"),
        Ok(None) => "-".to_owned(),
        Err(variable) => format!("{variable} is invalid"),
    }
}

#[test]
fn each_variable_counts_for_its_scheme() {
    let both = [("HTTP_PROXY", "http://plain:1"), ("HTTPS_PROXY", "http://secure:2")];
    let all = [("ALL_PROXY", "socks5://all"), ("HTTPS_PROXY", "secure:2")];
    let lower = [
        ("HTTP_PROXY", "http://upper:1"),
        ("http_proxy", "http://lower:1"),
        ("HTTPS_PROXY", "http://upper:1"),
        ("https_proxy", "https://lower"),
    ];
    let empty = [("HTTPS_PROXY", ""), ("ALL_PROXY", " ")];
    for (variables, http, https) in [
        (&both[..], "http://plain:1", "http://secure:2"),
        (&all, "socks5://all:1080", "http://secure:2"),
        (&lower, "http://lower:1", "https://lower"),
        (&[("all_proxy", "socks://desktop:9/")], "socks5h://desktop:9", "socks5h://desktop:9"),
        (
            &[("all_proxy", "http://lower:1"), ("ALL_PROXY", "http://upper:1")],
            "http://lower:1",
            "http://lower:1",
        ),
        (&empty, "-", "-"),
        (&[], "-", "-"),
    ] {
        let proxy = environment(variables);
        assert_eq!(chosen(&proxy, "http://hub.example/chat"), http, "{variables:?}");
        assert_eq!(chosen(&proxy, "https://hub.example/chat"), https, "{variables:?}");
    }
}

#[test]
fn a_request_to_a_cgi_program_does_not_choose_its_proxy() {
    for cgi in ["REQUEST_METHOD", "GATEWAY_INTERFACE"] {
        let proxy =
            environment(&[(cgi, "GET"), ("HTTP_PROXY", "http://evil:1"), ("HTTPS_PROXY", "http://good:1")]);
        assert_eq!(chosen(&proxy, "http://hub.example"), "-");
        assert_eq!(chosen(&proxy, "https://hub.example"), "http://good:1");
        let proxy =
            environment(&[(cgi, ""), ("HTTP_PROXY", "http://evil:1"), ("http_proxy", "http://good:1")]);
        let expected = if OS == "windows" { "-" } else { "http://good:1" };
        assert_eq!(chosen(&proxy, "http://hub.example"), expected);
    }
}

#[test]
fn a_variable_without_an_address_is_named_when_it_counts() {
    let proxy = environment(&[("HTTPS_PROXY", "ftp://secret:secret@h"), ("NO_PROXY", "near.example")]);
    assert_eq!(chosen(&proxy, "https://hub.example"), "HTTPS_PROXY is invalid");
    for url in ["http://hub.example", "https://near.example", "https://localhost:5001"] {
        assert_eq!(chosen(&proxy, url), "-", "{url}");
    }
    assert!(!format!("{proxy:?}").contains("secret"));
}

#[test]
fn exceptions_are_names_addresses_networks_and_ports() {
    for (list, url, excepted) in [
        ("example.com", "http://example.com", true),
        ("example.com", "http://a.b.Example.COM", true),
        ("example.com", "http://example.com.", true),
        ("example.com", "http://notexample.com", false),
        ("example.com", "http://example.com.evil.test", false),
        (".example.com", "http://a.example.com", true),
        (".example.com", "http://example.com", true),
        ("*.example.com", "http://a.example.com", true),
        ("*.example.com", "http://aexample.com", false),
        ("a.test, EXAMPLE.com ,b.test", "https://example.com", true),
        ("a.test example.com", "https://example.com", true),
        ("example.com:8080", "http://example.com:8080", true),
        ("example.com:8080", "http://example.com", false),
        ("example.com:443", "https://example.com", true),
        ("example.com:80", "https://example.com", false),
        ("10.1.2.3", "http://10.1.2.3", true),
        ("10.1.2.3", "http://10.1.2.30", false),
        ("10.1.2.3:81", "http://10.1.2.3:81", true),
        ("10.1.2.3:81", "http://10.1.2.3:82", false),
        ("10.0.0.0/8", "https://10.200.1.1:5001/hub", true),
        ("10.0.0.0/8", "http://11.0.0.1", false),
        ("10.0.0.0/8", "http://10.example.com", false),
        ("fd00::/8", "http://[fd12::1]:5000", true),
        ("fd12::1", "http://[fd12::1]:5000", true),
        ("[fd12::1]", "http://[fd12::1]:5000", true),
        ("[fd12::1]:5000", "http://[fd12::1]:5000", true),
        ("[fd12::1]:5000", "http://[fd12::1]:5001", false),
        ("fd12::2", "http://[fd12::1]", false),
        ("*", "https://anything.test", true),
        ("*:8080", "https://anything.test", false),
        ("", "http://example.com", false),
        (",, . ,", "http://example.com", false),
        ("example.com:none", "http://example.com", false),
    ] {
        let proxies = [
            environment(&[("ALL_PROXY", "http://proxy:1"), ("NO_PROXY", list)]),
            environment(&[("ALL_PROXY", "http://proxy:1"), ("no_proxy", list), ("NO_PROXY", "other")]),
            Proxy::url("http://proxy:1").unwrap().with_exceptions(list),
        ];
        for proxy in proxies {
            let expected = if excepted { "-" } else { "http://proxy:1" };
            assert_eq!(chosen(&proxy, url), expected, "{list:?} and {url}");
        }
    }
}

#[test]
fn this_machine_is_reached_without_a_proxy_unless_asked_for() {
    for url in [
        "http://localhost:5000",
        "https://LOCALHOST",
        "http://localhost./hub",
        "http://a.localhost",
        "http://127.0.0.1",
        "https://127.8.9.10:5001",
        "http://127.1",
        "http://[::1]:5000",
        "http://[::ffff:127.0.0.1]",
        "http://0.0.0.0:5000",
    ] {
        let explicit = Proxy::url("http://proxy:1").unwrap();
        assert_eq!(chosen(&environment(&[("ALL_PROXY", "http://proxy:1")]), url), "-", "{url}");
        assert_eq!(chosen(&explicit, url), "-", "{url}");
        assert_eq!(chosen(&explicit.with_loopback(true), url), "http://proxy:1", "{url}");
    }
    let explicit = Proxy::url("http://proxy:1").unwrap();
    for url in ["http://localhost.example.com", "http://notlocalhost", "http://128.0.0.1", "http://[::2]"] {
        assert_eq!(chosen(&explicit, url), "http://proxy:1", "{url}");
    }
}

#[test]
fn none_is_none() {
    assert_eq!(chosen(&Proxy::none(), "https://hub.example"), "-");
}

#[test]
fn an_address_that_is_invalid_is_not_repeated() {
    for (address, error) in [
        ("", InvalidProxy::Address),
        ("http://", InvalidProxy::Address),
        ("http://secret:secret@", InvalidProxy::Address),
        ("secret secret", InvalidProxy::Address),
        ("http://secret:0", InvalidProxy::Address),
        ("http://secret:99999", InvalidProxy::Address),
        ("ftp://secret", InvalidProxy::Scheme),
        ("socks4://secret", InvalidProxy::Scheme),
    ] {
        let refused = Proxy::url(address).expect_err(address);
        assert_eq!(refused, error, "{address}");
        assert!(!format!("{refused} {refused:?}").contains("secret"));
    }
}

#[test]
fn credentials_are_not_shown() {
    for address in ["http://user:secret@proxy:1/path?secret#secret", "socks5://secret@proxy:1"] {
        let proxy = Proxy::url(address).unwrap();
        let shown = format!("{proxy:?} {proxy:#?}");
        assert!(shown.contains("proxy:1") && !shown.contains("secret"), "{shown}");
    }
}
