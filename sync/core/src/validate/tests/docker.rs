//! Docker files as the API server stores and kubelet reads them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::Case;
use crate::secret_type::SecretType;
use crate::validate::Check;

fn current(json: impl AsRef<[u8]>) -> Case {
    Case::new(&SecretType::DockerConfigJson).with(".dockerconfigjson", json)
}

fn legacy(json: impl AsRef<[u8]>) -> Case {
    Case::new(&SecretType::DockerCfg).with(".dockercfg", json)
}

fn entry(entry: &str) -> Case {
    current(format!("{{\"auths\":{{\"r.example\":{entry}}}}}"))
}

fn auth(text: &str) -> String {
    format!("{{\"auth\":\"{}\"}}", STANDARD.encode(text))
}

/// 4.3, rows "empty bytes; array; ..." and "nesting > 10 000".
#[test]
fn what_the_api_server_does_not_read_is_refused_for_both_types() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let encoded = STANDARD.encode("{}");
    for json in [
        &b""[..],
        b"[]",
        b"\"text\"",
        b"1",
        b"true",
        b"auths:\n  a: b\n",
        b"{'auths':{}}",
        b"{\"auths\":{},}",
        b"\xef\xbb\xbf{}",
        b"{\0}\0",
        b"{} {}",
        b"{} // comment",
        b"{}\0",
        b"{}\xc2\xa0",
        encoded.as_bytes(),
        b"\"{\\\"auths\\\":{}}\"",
        b"{\"a\":1e999}",
        deep.as_bytes(),
    ] {
        let shown = String::from_utf8_lossy(&json[..json.len().min(40)]).into_owned();
        for case in [current(json), legacy(json)] {
            let told: Vec<Check> = case.findings().checks().into_iter().collect();
            assert_eq!(told.first(), Some(&Check::DockerJson), "{shown:?}");
            assert!(
                told[1..].iter().all(|check| *check == Check::ValueBom),
                "{told:?}"
            );
        }
    }
}

/// 4.3, row "`{}`, `null`, duplicate keys, ...".
#[test]
fn what_the_api_server_reads_is_never_refused() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(9_998), "]".repeat(9_998));
    for json in [
        &b"{}"[..],
        b"null",
        b"{\"auths\":{},\"auths\":{}}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\\ud800\"}",
        b"{\"auths\":3}",
        b" \n{}\r\n\t",
        deep.as_bytes(),
    ] {
        for case in [current(json), legacy(json)] {
            assert!(
                !case.findings().refused(),
                "{:?}",
                String::from_utf8_lossy(json)
            );
        }
    }
}

/// 4.3 and 4.4 `docker.shape`.
#[test]
fn another_shape_is_told_and_nothing_that_follows_from_it() {
    for json in [
        "{}",
        "null",
        "{\"auths\":3}",
        "{\"auths\":null}",
        "{\"r.example\":{}}",
    ] {
        current(json).tells(&[Check::DockerShape]);
    }
    for json in [
        "null",
        "{\"auths\":{\"r.example\":{\"auth\":\"opensesame\"}}}",
    ] {
        legacy(json).tells(&[Check::DockerShape]);
    }
    entry("3").tells(&[Check::DockerShape, Check::DockerEmpty]);
    entry("{\"username\":1}").tells(&[Check::DockerShape, Check::DockerEmpty]);
    let remembered = current("null").remembers();
    let all = [
        Check::DockerShape,
        Check::DockerAuth,
        Check::DockerAuthMismatch,
        Check::DockerEmpty,
    ];
    assert_eq!(remembered, all);
}

#[test]
fn sound_files_raise_nothing() {
    let login = auth("tiger:pass1234");
    entry(&login).tells(&[]);
    entry("{\"username\":\"tiger\",\"password\":\"pass1234\"}").tells(&[]);
    entry("{\"Username\":\"tiger\",\"PASSWORD\":\"pass1234\",\"email\":null}").tells(&[]);
    legacy(format!("{{\"r.example\":{login}}}")).tells(&[]);
    current(format!(
        "{{\"AUTHS\":{{\"r.example\":{login},\"other.example\":{{}}}}}}"
    ))
    .tells(&[]);
    // Invalid UTF-8 in a place that nobody reads.
    let mut bytes = format!("{{\"auths\":{{\"r.example\":{login}}},\"x\":\"").into_bytes();
    bytes.extend_from_slice(b"\xff\"}");
    current(bytes).tells(&[]);
}

/// 4.3 `docker.auth`.
#[test]
fn an_auth_is_padded_base64_with_a_colon_or_unpadded() {
    let (padded, unpadded) = (STANDARD.encode("u:pw"), STANDARD_NO_PAD.encode("u:pw"));
    assert!(padded.ends_with('=') && !unpadded.ends_with('='));
    for fine in [
        padded.clone(),
        unpadded.clone(),
        padded.replacen("Onb", "On\\nb", 1),
    ] {
        entry(&format!("{{\"auth\":\"{fine}\"}}")).tells(&[]);
    }
    for broken in [
        "opensesame",
        "not base64!",
        &STANDARD.encode("no colon"),
        &format!("{unpadded}="),
        &format!("{padded} "),
        &padded.replace('d', "-"),
    ] {
        let case = entry(&format!("{{\"auth\":\"{broken}\"}}"));
        case.tells(&[Check::DockerAuth, Check::DockerEmpty]);
        let text = case.texts(Check::DockerAuth);
        assert!(text.contains("entry 1") && !text.contains(broken), "{text}");
    }
}

/// 4.3 `docker.auth-mismatch`.
#[test]
fn an_auth_that_disagrees_is_told() {
    let with = |username: &str, password: &str| {
        let auth = STANDARD.encode("tiger:pass1234");
        entry(&format!(
            "{{\"username\":\"{username}\",\"password\":\"{password}\",\"auth\":\"{auth}\"}}"
        ))
    };
    with("tiger", "pass1234").tells(&[]);
    with("", "").tells(&[]);
    with("lion", "pass1234").tells(&[Check::DockerAuthMismatch]);
    with("tiger", "other").tells(&[Check::DockerAuthMismatch]);
}

/// 4.3 `docker.empty`.
#[test]
fn a_file_without_usable_credentials_is_told() {
    current("{\"auths\":{}}").tells(&[Check::DockerEmpty]);
    legacy("{}").tells(&[Check::DockerEmpty]);
    for none in ["{}", "{\"username\":\"u\"}", &auth("u:"), &auth(":p")] {
        entry(none).tells(&[Check::DockerEmpty]);
    }
}

/// 4.3 `docker.host`.
#[test]
fn a_host_that_no_image_matches_is_told() {
    let told = |host: &str| {
        let json = format!("{{\"auths\":{{\"{host}\":{}}}}}", auth("u:p"));
        current(json).texts(Check::DockerHost)
    };
    for fine in [
        "r.example",
        "my-registry.example:5000",
        "https://r.example/v2/",
        "http://r.example/team/app",
        "*.r.example",
        "[::1]:5000",
        "https://index.docker.io/v1/",
    ] {
        assert_eq!(told(fine), "", "{fine}");
    }
    for (host, part) in [
        ("", "URL"),
        ("https://", "URL"),
        ("a b.example", "URL"),
        ("r.example:port", "URL"),
        ("r.example/*", "'*'"),
        ("r.example:*", "'*'"),
        ("docker.io", "https://index.docker.io/v1/"),
        ("https://index.docker.io/v1", "https://index.docker.io/v1/"),
        ("registry-1.docker.io", "https://index.docker.io/v1/"),
    ] {
        assert!(told(host).contains(part), "{host}: {}", told(host));
    }
}

/// 4.3 `docker.ignored`.
#[test]
fn members_that_kubelet_ignores_are_told() {
    let login = "\"username\":\"u\",\"password\":\"p\"";
    for name in ["identitytoken", "registrytoken"] {
        entry(&format!("{{{login},\"{name}\":\"x\"}}")).tells(&[Check::DockerIgnored]);
        entry(&format!("{{{login},\"{name}\":\"\"}}")).tells(&[]);
    }
    for member in ["\"credsStore\":\"pass\"", "\"credHelpers\":{\"a\":\"b\"}"] {
        let json = format!("{{\"auths\":{{\"r.example\":{{{login}}}}},{member}}}");
        current(json).tells(&[Check::DockerIgnored]);
    }
}
