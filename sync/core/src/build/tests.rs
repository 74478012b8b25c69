//! What builders make of what stores keep.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{BuildFault, BuildReason, build};
use crate::bytes::{Data, SecretBytes};
use crate::secret_type::SecretType;
use crate::validate::{Policy, Subject, validate};

/// Certificates and keys.
mod tls;

/// A file of the test data, by name.
macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/", $name)).as_slice()
    };
}
use fixture;

fn data<V: AsRef<[u8]>>(pairs: &[(&str, V)]) -> Data {
    let pair = |(key, value): &(&str, V)| {
        let bytes = SecretBytes::new(value.as_ref().to_vec());
        ((*key).to_owned(), bytes)
    };
    pairs.iter().map(pair).collect()
}

/// The result as text, by key.
fn built<V: AsRef<[u8]>>(secret_type: &SecretType, inputs: &[(&str, V)]) -> Vec<(String, String)> {
    let built = build(secret_type, data(inputs)).unwrap_or_else(|faults| panic!("{faults:#?}"));
    built
        .iter()
        .map(|(key, value)| {
            (
                key.clone(),
                String::from_utf8_lossy(value.expose()).into_owned(),
            )
        })
        .collect()
}

fn faults<V: AsRef<[u8]>>(secret_type: &SecretType, inputs: &[(&str, V)]) -> Vec<BuildFault> {
    build(secret_type, data(inputs)).err().unwrap_or_default()
}

#[track_caller]
fn makes(secret_type: &SecretType, inputs: &[(&str, &str)], expected: &[(&str, &str)]) {
    let built = built(secret_type, inputs);
    let built: Vec<(&str, &str)> = built
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    assert_eq!(built, expected);
}

#[track_caller]
fn refuses(secret_type: &SecretType, inputs: &[(&str, &str)], expected: &[(BuildReason, &str)]) {
    let faults = faults(secret_type, inputs);
    let told: Vec<(BuildReason, &str)> = faults
        .iter()
        .map(|fault| (fault.reason, fault.field.as_str()))
        .collect();
    assert_eq!(told, expected, "{faults:#?}");
}

/// Section 5, first sentence: without inputs of a builder nothing changes.
#[test]
fn data_without_inputs_of_a_builder_stays_as_it_is() {
    for secret_type in SecretType::BUILT_IN {
        makes(&secret_type, &[("extra", "x\r\n")], &[("extra", "x\r\n")]);
    }
    let inputs = [("registry", "r"), ("token", "a.b"), ("userinfo", "u:p")];
    for free in [SecretType::Opaque, SecretType::parse("example.net/x")] {
        makes(&free, &inputs, &inputs);
    }
}

/// Section 5, row "basic-auth".
#[test]
fn userinfo_is_split_at_the_first_colon() {
    for (userinfo, user, password) in [
        ("admin:t0p-Secret", "admin", "t0p-Secret"),
        ("admin:a:b", "admin", "a:b"),
        ("admin:x\n", "admin", "x"),
        ("admin:x\r\n", "admin", "x"),
        ("admin:x\n\n", "admin", "x\n"),
        ("admin:x\r", "admin", "x\r"),
        (":", "", ""),
    ] {
        let expected = [("extra", "e"), ("password", password), ("username", user)];
        makes(
            &SecretType::BasicAuth,
            &[("userinfo", userinfo), ("extra", "e")],
            &expected,
        );
    }
    let unreadable = [(BuildReason::Unreadable, "data[userinfo]")];
    refuses(
        &SecretType::BasicAuth,
        &[("userinfo", "admin")],
        &unreadable,
    );
    let ambiguous = [(BuildReason::Ambiguous, "data[userinfo]")];
    refuses(
        &SecretType::BasicAuth,
        &[("userinfo", "a:b"), ("username", "a")],
        &ambiguous,
    );
}

/// Section 5, row "ssh-auth".
#[test]
fn ssh_pem_gets_the_line_ends_that_openssh_reads() {
    for (pem, key) in [
        ("a\nb\n", "a\nb\n"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("a\nb", "a\nb\n"),
        ("a\rb", "a\rb\n"),
        ("", ""),
    ] {
        makes(
            &SecretType::SshAuth,
            &[("ssh-pem", pem)],
            &[("ssh-privatekey", key)],
        );
    }
    let ambiguous = [(BuildReason::Ambiguous, "data[ssh-pem]")];
    refuses(
        &SecretType::SshAuth,
        &[("ssh-pem", "a"), ("ssh-privatekey", "b")],
        &ambiguous,
    );
}

/// Section 5, row "bootstrap".
#[test]
fn a_token_is_split_into_id_and_secret() {
    let token = "5emitj.kq4gihvszzgn1p0r";
    let expected = [("token-id", "5emitj"), ("token-secret", "kq4gihvszzgn1p0r")];
    makes(&SecretType::BootstrapToken, &[("token", token)], &expected);
    makes(
        &SecretType::BootstrapToken,
        &[("token", &format!("{token}\n"))],
        &expected,
    );
    let unreadable = [(BuildReason::Unreadable, "data[token]")];
    refuses(
        &SecretType::BootstrapToken,
        &[("token", "5emitj")],
        &unreadable,
    );
    let ambiguous = [(BuildReason::Ambiguous, "data[token]")];
    refuses(
        &SecretType::BootstrapToken,
        &[("token", token), ("token-id", "x")],
        &ambiguous,
    );
}

const TIGER: [(&str, &str); 4] = [
    ("registry", "my-registry.example:5000"),
    ("username", "tiger"),
    ("password", "pass1234"),
    ("email", "tiger@acme.example"),
];
const TIGER_ENTRY: &str = "\"my-registry.example:5000\":{\"username\":\"tiger\",\"password\":\"pass1234\",\
                           \"email\":\"tiger@acme.example\",\"auth\":\"dGlnZXI6cGFzczEyMzQ=\"}";

/// Section 5, row "dockerconfigjson, dockercfg": the documentation's example, as kubectl writes it.
#[test]
fn the_documentations_registry_gives_kubectls_bytes() {
    let current = format!("{{\"auths\":{{{TIGER_ENTRY}}}}}");
    makes(
        &SecretType::DockerConfigJson,
        &TIGER,
        &[(".dockerconfigjson", &current)],
    );
    let legacy = format!("{{{TIGER_ENTRY}}}");
    makes(&SecretType::DockerCfg, &TIGER, &[(".dockercfg", &legacy)]);
}

#[test]
fn several_registries_are_told_by_number_and_sorted_by_host() {
    let inputs = [
        ("registry.0", "z.example"),
        ("username.0", "u"),
        ("password.0", "<p>&\n"),
        ("registry.1", "a.example\n"),
        ("auth.1", "dTpw"),
        ("registry", ""),
        ("username", "h"),
        ("password", "q"),
    ];
    let expected = "{\"auths\":{\"a.example\":{\"auth\":\"dTpw\"},\
                    \"https://index.docker.io/v1/\":{\"username\":\"h\",\"password\":\"q\",\"auth\":\"aDpx\"},\
                    \"z.example\":{\"username\":\"u\",\"password\":\"\\u003cp\\u003e\\u0026\",\"auth\":\"dTo8cD4m\"}}}";
    makes(
        &SecretType::DockerConfigJson,
        &inputs,
        &[(".dockerconfigjson", expected)],
    );
}

#[test]
fn docker_files_are_merged() {
    let first =
        "{ \"auths\" : { \"z.example\" : { \"auth\" : \"dTpw\" } }, \"credsStore\" : \"x\" }";
    let second = format!("{{\"auths\":{{{TIGER_ENTRY}}}}}");
    let inputs = [
        (".dockerconfigjson.0", first),
        (".dockerconfigjson.1", second.as_str()),
    ];
    let merged = format!("{TIGER_ENTRY},\"z.example\":{{\"auth\":\"dTpw\"}}");
    let current = format!("{{\"auths\":{{{merged}}}}}");
    makes(
        &SecretType::DockerConfigJson,
        &inputs,
        &[(".dockerconfigjson", &current)],
    );
    makes(
        &SecretType::DockerCfg,
        &inputs,
        &[(".dockercfg", &format!("{{{merged}}}"))],
    );
    let with_login = [inputs[0], TIGER[0], TIGER[1], TIGER[2], TIGER[3]];
    makes(
        &SecretType::DockerConfigJson,
        &with_login,
        &[(".dockerconfigjson", &current)],
    );
}

#[test]
fn what_keeps_docker_files_from_being_built_is_told_at_once() {
    use BuildReason::{Ambiguous, Incomplete, Unreadable};
    let docker = SecretType::DockerConfigJson;
    let file = "{\"auths\":{\"r.example\":{}}}";
    refuses(
        &docker,
        &[(".dockerconfigjson", "{}"), ("username", "u")],
        &[(Ambiguous, "data[.dockerconfigjson]")],
    );
    refuses(
        &docker,
        &[(".dockerconfigjson", file), (".dockerconfigjson.0", file)],
        &[(Ambiguous, "data[.dockerconfigjson]")],
    );
    refuses(
        &docker,
        &[(".dockerconfigjson.0", file), (".dockerconfigjson.1", file)],
        &[(Ambiguous, "data[.dockerconfigjson.1]")],
    );
    refuses(
        &docker,
        &[("registry", "r"), ("auth", "a"), ("username", "u")],
        &[(Ambiguous, "data[auth]")],
    );
    refuses(
        &docker,
        &[
            ("username", "u"),
            ("registry.1", "r"),
            (".dockerconfigjson.2", "[]"),
        ],
        &[
            (Incomplete, "data[registry]"),
            (Incomplete, "data[password]"),
            (Incomplete, "data[username.1]"),
            (Incomplete, "data[password.1]"),
            (Unreadable, "data[.dockerconfigjson.2]"),
        ],
    );
    refuses(
        &docker,
        &[("registry", "r"), ("username", "a:b"), ("password", "p")],
        &[(Unreadable, "data[username]")],
    );
    let told = faults(
        &docker,
        &[
            ("registry", &b"r"[..]),
            ("username", b"\xff"),
            ("password", b"p"),
        ],
    );
    assert_eq!(
        told.iter().map(|fault| fault.reason).collect::<Vec<_>>(),
        [Unreadable]
    );
}

/// Section 6: no text of a fault holds a byte of an input.
#[test]
fn no_fault_holds_a_byte_of_an_input() {
    let marker = "hunter2-canary";
    let keys = [
        "userinfo",
        "token",
        "registry",
        "username",
        "password",
        "auth",
        "email",
        "username.0",
        ".dockerconfigjson.0",
        "tls.pem",
        "tls.pfx-password",
        "tls.json",
        "ssh-pem",
        "ssh-privatekey",
    ];
    for secret_type in SecretType::BUILT_IN {
        for key in keys {
            for other in keys {
                for fault in faults(&secret_type, &[(key, marker), (other, marker)]) {
                    let text = fault.to_string();
                    assert!(
                        !text.contains("hunter2") && !text.contains("canary"),
                        "{text}"
                    );
                }
            }
        }
    }
}

/// What goes in by a builder comes out without a word from any check.
#[test]
fn what_is_built_of_sound_inputs_raises_nothing() {
    let openssh = String::from_utf8(fixture!("ssh.ed25519").to_vec()).unwrap();
    let pem = [
        fixture!("rest.pem"),
        fixture!("leaf.key"),
        fixture!("leaf.crt"),
    ]
    .concat();
    let same = [
        fixture!("leaf.key"),
        fixture!("leaf.crt"),
        fixture!("rest.pem"),
    ]
    .concat();
    let token = data(&[
        ("token", "5emitj.kq4gihvszzgn1p0r"),
        ("usage-bootstrap-signing", "true"),
        ("expiration", "2031-01-01T00:00:00Z"),
    ]);
    for (secret_type, inputs) in [
        (
            SecretType::BasicAuth,
            data(&[("userinfo", "admin:t0p-Secret\n")]),
        ),
        (
            SecretType::SshAuth,
            data(&[
                ("ssh-pem", openssh.trim_end().replace('\n', "\r\n")),
                ("known_hosts", "x".to_owned()),
            ]),
        ),
        (SecretType::DockerConfigJson, data(&TIGER)),
        (SecretType::DockerCfg, data(&TIGER)),
        (SecretType::Tls, data(&[("tls.pem", &pem)])),
        (
            SecretType::Tls,
            data(&[("tls.crt", &same), ("tls.key", &same)]),
        ),
        (
            SecretType::Tls,
            data(&[
                ("tls.pfx", fixture!("aes.pfx")),
                ("tls.pfx-password", b"made-up"),
            ]),
        ),
        (SecretType::BootstrapToken, token),
    ] {
        let built = build(&secret_type, inputs).unwrap();
        let subject = Subject {
            name: "bootstrap-token-5emitj",
            namespace: "kube-system",
            secret_type: &secret_type,
            data: &built,
            labels: &BTreeMap::new(),
            annotations: &BTreeMap::new(),
            required_keys: &[],
            service_account_exists: None,
        };
        let findings = validate(
            &subject,
            Policy::Strict,
            "2030-01-01T00:00:00Z".parse().unwrap(),
        );
        assert_eq!(findings.list(), [], "{secret_type:?}");
    }
}

proptest! {
    #[test]
    fn a_login_is_read_back_from_what_is_built(
        registry in "[^\r]*",
        username in "[^:\r]*",
        password in "[^\r]*",
    ) {
        let inputs = [
            ("registry", format!("{registry}\n")),
            ("username", format!("{username}\n")),
            ("password", format!("{password}\n")),
        ];
        let built = built(&SecretType::DockerConfigJson, &inputs);
        let json: serde_json::Value = serde_json::from_str(&built[0].1).unwrap();
        let host = if registry.is_empty() { "https://index.docker.io/v1/" } else { registry.as_str() };
        let entry = &json["auths"][host];
        prop_assert_eq!(entry["username"].as_str().unwrap_or(""), username.as_str());
        prop_assert_eq!(entry["password"].as_str().unwrap_or(""), password.as_str());
        let auth = STANDARD.decode(entry["auth"].as_str().unwrap()).unwrap();
        prop_assert_eq!(auth, format!("{username}:{password}").into_bytes());
        let html = ['<', '>', '&', '\u{2028}'];
        prop_assert!(!built[0].1.contains(html));
    }

    #[test]
    fn userinfo_is_read_back_when_joined(user in "[^:\n\r]*", password in "[^\n\r]*") {
        let built = built(&SecretType::BasicAuth, &[("userinfo", format!("{user}:{password}\n"))]);
        prop_assert_eq!(&built[0].1, &password);
        prop_assert_eq!(&built[1].1, &user);
    }
}
