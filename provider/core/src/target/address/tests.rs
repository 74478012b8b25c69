//! Spellings of addresses, what is none, and where SRV records have a say.

use super::{Address, BadAddress};

#[test]
fn spellings_of_one_address_are_equal() {
    for (text, expected) in [
        ("https://Vault.Example:8200/", "https://vault.example:8200"),
        ("https://vault", "https://vault:443"),
        ("http://[::1]:8200", "http://[::1]:8200"),
        ("http://10.0.0.1", "http://10.0.0.1:80"),
        ("https://proxy/vault/", "https://proxy:443/vault"),
        ("unix:///run/vault.sock", "unix:///run/vault.sock"),
    ] {
        assert_eq!(
            Address::parse(text).unwrap().to_string(),
            expected,
            "{text}"
        );
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for (text, expected) in [
        ("vault:8200", BadAddress::Scheme),
        ("ftp://vault", BadAddress::Scheme),
        ("HTTPS//x", BadAddress::Scheme),
        ("https://", BadAddress::Shape),
        ("https://user:pw@vault", BadAddress::Extras),
        ("https://vault?x=1", BadAddress::Extras),
        ("unix://relative", BadAddress::Shape),
    ] {
        assert_eq!(Address::parse(text), Err(expected), "{text}");
    }
}

#[test]
fn srv_records_are_asked_of_a_name_without_a_port_where_that_is_wanted() {
    for (text, expected, shown) in [
        (
            "https://Vault.Example/",
            Some("_http._tcp.vault.example"),
            "https://vault.example",
        ),
        ("http://vault", Some("_http._tcp.vault"), "http://vault"),
        (
            "https://proxy/vault:1",
            Some("_http._tcp.proxy"),
            "https://proxy/vault:1",
        ),
        // As in Go, where the port behind a bare colon is empty.
        ("https://vault:", Some("_http._tcp.vault"), "https://vault"),
        ("https://vault:443", None, "https://vault:443"),
        ("https://vault:443/a", None, "https://vault:443/a"),
        ("http://vault:80", None, "http://vault:80"),
        ("https://vault:8200", None, "https://vault:8200"),
        ("https://10.0.0.1", None, "https://10.0.0.1:443"),
        ("https://[::1]", None, "https://[::1]:443"),
        ("http://localhost", None, "http://localhost:80"),
        ("http://localhost.", None, "http://localhost.:80"),
        ("unix:///run/v.sock", None, "unix:///run/v.sock"),
    ] {
        let address = Address::parse_by_srv(text).unwrap();
        assert_eq!(address.srv_name().as_deref(), expected, "{text}");
        assert_eq!(address.is_by_srv(), expected.is_some(), "{text}");
        assert_eq!(address.to_string(), shown, "{text}");
        let again = Address::parse_by_srv(&address.to_string()).unwrap();
        assert_eq!(again, address, "{text}");
        let plain = Address::parse(text).unwrap();
        assert_eq!((plain.srv_name(), address.without_srv()), (None, plain));
    }
}

#[test]
fn what_srv_records_lead_to_differs_from_what_is_written() {
    let [by_srv, written] =
        ["https://vault", "https://vault:443"].map(|text| Address::parse_by_srv(text).unwrap());
    assert_ne!(by_srv, written);
    assert!(by_srv.same_server(&written), "one to the operator's policy");
}

#[test]
fn an_address_moves_to_hosts_that_a_url_can_name() {
    for (address, host, port, expected) in [
        (
            "https://vault/a",
            "Node-1.Example.",
            8200,
            Some("https://node-1.example:8200/a"),
        ),
        ("http://vault", "node_1", 443, Some("http://node_1:443")),
        ("http://vault", "10.0.0.1.", 80, Some("http://10.0.0.1:80")),
        ("https://vault", ".", 8200, None),
        ("https://vault", "", 8200, None),
        ("https://vault", "node", 0, None),
        ("https://vault", "evil/", 8200, None),
        ("https://vault", "a@evil", 8200, None),
        ("https://vault", "evil\\.a", 8200, None),
        ("https://vault", "a b", 8200, None),
        ("unix:///s", "node", 8200, None),
    ] {
        let moved = Address::parse_by_srv(address).unwrap().moved_to(host, port);
        assert!(moved.as_ref().is_none_or(|moved| !moved.is_by_srv()));
        assert_eq!(
            moved.map(|moved| moved.to_string()).as_deref(),
            expected,
            "{host}:{port}"
        );
    }
}

#[test]
fn plain_http_is_plain_unless_it_stays_on_the_machine() {
    for (text, expected) in [
        ("http://vault", true),
        ("https://vault", false),
        ("http://127.0.0.1:1", false),
        ("http://[::1]", false),
        ("unix:///s", false),
    ] {
        assert_eq!(
            Address::parse(text).unwrap().is_plain_http(),
            expected,
            "{text}"
        );
    }
}
