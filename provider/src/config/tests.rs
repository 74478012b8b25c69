//! Every source, their order, and everything that can be wrong with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use coffer_provider_core::params::Dialect;
use coffer_provider_core::target::{Ca, Layer, Target};

use super::{Command, Config, HmacSource, OPTIONS, Sources, parse_arguments};

fn sources(arguments: &[&str], environment: &[(&str, &str)], file: &str) -> Sources {
    let typed = std::iter::once("coffer-provider")
        .chain(arguments.iter().copied())
        .map(Into::into);
    let invocation = parse_arguments(typed).unwrap_or_else(|error| panic!("{error}"));
    let mut sources = Sources {
        flags: invocation.flags,
        environment: environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
        file: BTreeMap::new(),
    };
    if !file.is_empty() {
        sources
            .read_file("c.yaml", file)
            .unwrap_or_else(|problems| panic!("{problems:?}"));
    }
    sources
}

fn config(arguments: &[&str], environment: &[(&str, &str)], file: &str) -> Config {
    Config::read(&sources(arguments, environment, file))
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn target(config: &Config) -> Target {
    Layer::resolve(&config.rules.layers.iter().collect::<Vec<_>>()).unwrap()
}

fn problems(arguments: &[&str]) -> Vec<String> {
    let found = Config::read(&sources(arguments, &[], ""))
        .err()
        .unwrap_or_default();
    found.into_iter().map(|problem| problem.field).collect()
}

#[test]
fn nothing_given_is_what_the_peers_do() {
    let config = config(&[], &[], "");
    assert_eq!(config.provider_name, "vault");
    assert_eq!(config.endpoint, PathBuf::from("/tmp/vault.sock"));
    assert_eq!(config.health_addr[0].port(), 8080);
    assert_eq!(
        target(&config).address.to_string(),
        "https://127.0.0.1:8200"
    );
    assert_eq!(
        (
            config.rules.auth_mount.as_str(),
            config.rules.audience.as_str()
        ),
        ("kubernetes", "vault")
    );
    assert_eq!(
        (config.hmac_source, config.hmac_secret_name.as_str()),
        (HmacSource::Api, "vault-csi-provider-hmac-key")
    );
    assert!(config.token_request && !config.events && config.warnings.is_empty());
    assert_eq!(
        (config.cache_size, config.mount_deadline),
        (1000, Duration::from_secs(30))
    );
}

#[test]
fn the_socket_names_the_provider_and_with_it_the_dialect() {
    let config = config(&["-endpoint=/provider/openbao.sock"], &[], "");
    assert_eq!(
        (config.provider_name.as_str(), config.rules.dialect),
        ("openbao", Dialect::OpenBao)
    );
    assert_eq!(config.rules.audience, "openbao");
    assert_eq!(config.hmac_secret_name, "openbao-csi-provider-hmac-key");
    let named = self::config(
        &[
            "--provider-name",
            "team-x",
            "--endpoint",
            "unix:///p/openbao.sock",
        ],
        &[],
        "",
    );
    assert_eq!(
        (named.provider_name.as_str(), named.rules.dialect),
        ("team-x", Dialect::Vault)
    );
    assert_eq!(named.endpoint, PathBuf::from("/p/openbao.sock"));
}

#[test]
fn flags_beat_the_environment_and_that_beats_the_file() {
    let file = "vault-addr: https://file\nvault-namespace: file\nvault-mount: file\ncache-size: 7\nallowed-methods: [GET, PUT]\nlock-connection: true\n";
    let environment = [
        ("VAULT_ADDR", "https://env"),
        ("COFFER_VAULT_NAMESPACE", "env"),
        ("VAULT_SKIP_VERIFY", "1"),
    ];
    let config = config(&["-vault-addr", "https://flag"], &environment, file);
    let target = target(&config);
    assert_eq!(target.address.to_string(), "https://flag:443");
    assert_eq!(target.namespace.as_deref(), Some("env"));
    assert!(target.tls.skip_verify);
    assert_eq!(
        (config.rules.auth_mount.as_str(), config.cache_size),
        ("file", 7)
    );
    assert_eq!(config.rules.policy.allowed_methods.unwrap(), ["GET", "PUT"]);
    assert!(config.rules.policy.lock_connection);
}

#[test]
fn empty_values_override_nothing() {
    let config = config(
        &["--vault-addr="],
        &[("VAULT_ADDR", ""), ("BAO_ADDR", "https://bao")],
        "",
    );
    assert_eq!(target(&config).address.to_string(), "https://bao:443");
}

#[test]
fn the_forks_variables_come_first_under_its_name() {
    let environment = [
        ("VAULT_ADDR", "https://v"),
        ("BAO_ADDR", "https://b"),
        ("VAULT_NAMESPACE", "v"),
        ("BAO_NAMESPACE", ""),
    ];
    let openbao = config(&["-endpoint", "/p/openbao.sock"], &environment, "");
    assert_eq!(target(&openbao).address.to_string(), "https://b:443");
    assert_eq!(
        target(&openbao).namespace.as_deref(),
        Some("v"),
        "an empty BAO_ value falls back"
    );
    let vault = config(&[], &environment, "");
    assert_eq!(target(&vault).address.to_string(), "https://v:443");
    let named = [&environment[..], &[("COFFER_PROVIDER_NAME", "openbao")]].concat();
    for openbao in [
        config(&[], &named, ""),
        config(&[], &environment, "provider-name: openbao"),
        config(&[], &environment, "endpoint: /p/openbao.sock"),
    ] {
        assert_eq!(target(&openbao).address.to_string(), "https://b:443");
    }
}

#[test]
fn every_flag_works_with_one_dash_and_two_and_under_the_forks_name() {
    for option in OPTIONS {
        for name in std::iter::once(&option.name).chain(option.aliases) {
            for dashes in ["-", "--"] {
                let typed = format!("{dashes}{name}=1");
                let sources = sources(&[&typed], &[], "");
                assert_eq!(
                    sources.flags.get(option.name).map(String::as_str),
                    Some("1"),
                    "{typed}"
                );
            }
        }
    }
}

#[test]
fn a_tls_layer_replaces_the_ca_of_the_one_below() {
    let environment = [
        ("VAULT_CACERT", "/env.pem"),
        ("VAULT_TLS_SERVER_NAME", "name"),
    ];
    let config = config(&["-vault-tls-ca-directory", "/flag.d"], &environment, "");
    let tls = target(&config).tls;
    assert_eq!(
        (tls.ca, tls.server_name.as_deref()),
        (Ca::Directory("/flag.d".to_owned()), Some("name"))
    );
    let inline = self::config(
        &[],
        &[("VAULT_CACERT_BYTES", "PEM"), ("VAULT_CACERT", "/env.pem")],
        "",
    );
    assert_eq!(target(&inline).tls.ca, Ca::Pem("PEM".to_owned()));
}

#[test]
fn levels_are_read_as_the_peers_read_them() {
    use coffer_frame::telemetry::Level;
    for (arguments, expected, recognised) in [
        (vec![], Level::Info, true),
        (vec!["-debug"], Level::Debug, true),
        (vec!["-debug=false"], Level::Info, true),
        (vec!["-debug", "-log-level", "warn"], Level::Warn, true),
        (vec!["-log-level=nonsense"], Level::Info, false),
    ] {
        let parsed = config(&arguments, &[], "").log_level;
        assert_eq!(
            (parsed.level, parsed.recognised),
            (expected, recognised),
            "{arguments:?}"
        );
    }
}

#[test]
fn the_cache_is_switched_off_by_zero_and_less() {
    for (value, expected) in [("-10", 0), ("-1", 0), ("0", 0), ("1", 1)] {
        assert_eq!(
            config(&["-cache-size", value], &[], "").cache_size,
            expected,
            "{value}"
        );
    }
}

#[test]
fn the_peers_limits_are_honoured_within_ours() {
    let environment = [
        ("VAULT_MAX_RETRIES", "9"),
        ("VAULT_CLIENT_TIMEOUT", "60"),
        ("VAULT_RATE_LIMIT", "5:10"),
        ("VAULT_HEADERS", r#"{"X-Team":"a"}"#),
        ("VAULT_PROXY_ADDR", "http://proxy:3128"),
        ("VAULT_DISABLE_REDIRECTS", "true"),
        ("VAULT_SRV_LOOKUP", "true"),
    ];
    let config = config(&[], &environment, "");
    assert_eq!(
        (config.http.tries, config.http.first_byte),
        (3, Duration::from_secs(10))
    );
    assert!(config.http.rate.is_some_and(|rate| rate.burst > 9.9));
    let rules = &config.http_rules;
    assert_eq!(
        (&rules.headers["x-team"], rules.proxy.as_deref()),
        (&"a".parse().unwrap(), Some("http://proxy:3128"))
    );
    assert!(rules.no_redirects);
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    let strict = self::config(
        &["-vault-max-retries=0", "-vault-client-timeout=1s"],
        &[],
        "",
    );
    assert_eq!(
        (strict.http.tries, strict.http.first_byte),
        (1, Duration::from_secs(1))
    );
    for bad in [
        "-vault-headers=x",
        r#"-vault-headers={"X-Vault-Token":"t"}"#,
        "-vault-rate-limit=0",
        "-vault-proxy-addr=::",
        "-vault-srv-lookup=maybe",
    ] {
        assert_eq!(problems(&[bad]).len(), 1, "{bad}");
    }
}

#[test]
fn addresses_are_found_by_srv_records_where_the_strongest_source_says_so() {
    let (vault, bao) = (("VAULT_SRV_LOOKUP", "1"), ("BAO_SRV_LOOKUP", "false"));
    let address = ("VAULT_ADDR", "https://vault");
    let openbao = "-endpoint=/p/openbao.sock";
    let flag = "-vault-srv-lookup=false";
    for (arguments, environment, file, expected) in [
        (&[][..], &[address][..], "", false),
        (&[], &[address, vault], "", true),
        (&["-vault-srv-lookup"], &[address], "", true),
        (&[], &[address], "vault-srv-lookup: true", true),
        (&[flag], &[address, vault], "", false),
        (&[], &[address, vault, bao], "", true),
        (&[openbao], &[address, vault, bao], "", false),
    ] {
        let config = config(arguments, environment, file);
        let told = format!("{arguments:?} {environment:?} {file}");
        assert_eq!(target(&config).address.are_by_srv(), expected, "{told}");
    }
}

#[test]
fn all_problems_are_told_together() {
    let found = problems(&[
        "--endpoint=/x/bad name.sock",
        "--health-addr=nowhere",
        "--token-request=maybe",
        "--drain=soon",
        "--inflight=0",
        "--vault-addr=vault:8200",
        "--vault-tls-skip-verify=yes",
        "--vault-srv-lookup=yes",
        "--vault-tls-client-cert=/c",
        "--hmac-source=file",
        "--allowed-addresses=nohost",
        "--cache-size=x",
        "--policy-profile=lax",
    ]);
    for field in [
        "--provider-name",
        "--health-addr",
        "--token-request",
        "--drain",
        "--inflight",
        "vaultAddress",
        "vault-tls-skip-verify",
        "--vault-srv-lookup",
        "vaultTLSClientCertPath",
        "--hmac-key-file",
        "--allowed-addresses",
        "--cache-size",
        "--policy-profile",
    ] {
        assert!(
            found.iter().any(|found| found == field),
            "{field} in {found:?}"
        );
    }
}

#[test]
fn what_changes_nothing_is_warned_about() {
    let environment = [
        ("VAULT_TOKEN", "canary"),
        ("VAULT_AGENT_ADDR", "http://agent"),
        ("BAO_TOKEN", ""),
    ];
    let warnings = config(&["-debug"], &environment, "").warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(warnings.iter().all(|warning| !warning.contains("canary")));
}

#[test]
fn a_file_with_unknown_options_is_refused_with_the_nearest_name() {
    let mut sources = Sources::default();
    let problems = sources
        .read_file("c.yaml", "vault-adr: x\nnonsense-option: y\n")
        .unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        texts[0].contains("nonsense-option") && texts[1].contains("did you mean vault-addr?"),
        "{texts:?}"
    );
    assert!(sources.read_file("c.yaml", "[1, 2]").is_err());
}

#[test]
fn commands_are_told_apart() {
    let command = |arguments: &[&str]| {
        let typed = std::iter::once("coffer-provider")
            .chain(arguments.iter().copied())
            .map(Into::into);
        parse_arguments(typed).map(|invocation| invocation.command)
    };
    assert_eq!(command(&[]).unwrap(), Command::Serve);
    assert_eq!(
        command(&["serve", "-vault-addr=x"]).unwrap(),
        Command::Serve
    );
    assert_eq!(command(&["-version"]).unwrap(), Command::Version);
    assert_eq!(
        command(&["check", "a.yaml", "-", "--strict"]).unwrap(),
        Command::Check {
            files: vec!["a.yaml".into(), "-".into()],
            strict: true
        }
    );
    assert!(
        command(&["check"]).is_err()
            && command(&["mount"]).is_err()
            && command(&["nonsense"]).is_err()
    );
    assert!(
        matches!(command(&["mount", "c.yaml", "--out", "d"]).unwrap(), Command::Mount(m) if m.out == Some("d".into()))
    );
    assert!(matches!(command(&["doctor"]).unwrap(), Command::Doctor(_)));
}

#[test]
fn a_misspelt_variable_of_ours_is_warned_about_without_its_value() {
    let environment = [
        ("COFFER_VAULT_ADR", "https://canary"),
        ("COFFER_SOMETHING_ELSE", "canary"),
        ("COFFER_VAULT_NAMESPACE", "team"),
        ("COFFER_EMPTY", ""),
        // Kubernetes puts these into the pods beside a Service `coffer` or `coffer-metrics`.
        ("COFFER_SERVICE_HOST", "10.0.0.1"),
        ("COFFER_SERVICE_PORT_HTTP", "8080"),
        ("COFFER_METRICS_PORT", "tcp://10.0.0.1:8080"),
        ("COFFER_METRICS_PORT_8080_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(
        config(&[], &environment, "").warnings,
        [
            "COFFER_SOMETHING_ELSE is not known and ignored: see --help for the options",
            "COFFER_VAULT_ADR is not known and ignored: did you mean COFFER_VAULT_ADDR?",
        ]
    );
    for option in OPTIONS {
        let name = option.name.to_ascii_uppercase().replace('-', "_");
        let warnings = config_warnings(&format!("COFFER_{name}X"));
        assert!(
            warnings.contains(&format!("did you mean COFFER_{name}?")),
            "{warnings}"
        );
    }
}

fn config_warnings(variable: &str) -> String {
    config(&[], &[(variable, "x")], "").warnings.concat()
}

#[test]
fn a_misspelt_flag_is_told_with_the_one_that_was_meant() {
    let told = |arguments: &[&str]| {
        let typed = std::iter::once("coffer-provider").chain(arguments.iter().copied());
        let error = parse_arguments(typed.map(Into::into)).err().unwrap();
        error.to_string()
    };
    for (typed, meant) in [
        ("-endpoin", "--endpoint"),
        ("-vault-adr", "--vault-addr"),
        ("-vault-adr=https://x", "--vault-addr"),
        ("--vault-adr", "--vault-addr"),
        ("-versions", "--version"),
    ] {
        let text = told(&[typed, "x"]);
        let argument = typed.trim_start_matches('-').split('=').next().unwrap();
        assert!(
            text.contains(&format!("unexpected argument '--{argument}'"))
                && text.contains(&format!("'{meant}'")),
            "{text}"
        );
    }
    // What stands behind `--` is a file, and a number below zero is a value.
    let typed = ["coffer-provider", "check", "--", "-class.yaml"];
    let invocation = parse_arguments(typed.map(Into::into)).unwrap();
    let files = vec![PathBuf::from("-class.yaml")];
    assert_eq!(
        invocation.command,
        Command::Check {
            files,
            strict: false
        }
    );
    assert_eq!(config(&["-cache-size", "-10"], &[], "").cache_size, 0);
}

#[test]
fn state_has_a_place_unless_an_empty_one_is_given() {
    let place = |arguments: &[&str], environment: &[(&str, &str)], file: &str| {
        let place = config(arguments, environment, file).state_dir;
        place
            .map(|path| path.display().to_string())
            .unwrap_or_default()
    };
    let variable = "COFFER_STATE_DIR";
    for (arguments, environment, file, expected) in [
        (&[][..], &[][..], "", "/run/coffer"),
        (&["--state-dir=/a"], &[], "", "/a"),
        (&["--state-dir="], &[], "", ""),
        (&["--state-dir=off"], &[], "", ""),
        (&[], &[(variable, "off")], "", ""),
        (&[], &[(variable, "/b")], "", "/b"),
        (&[], &[(variable, "")], "", "/run/coffer"),
        (&[], &[], "state-dir: ''", ""),
        (&["--state-dir=/a"], &[], "state-dir: ''", "/a"),
    ] {
        let found = place(arguments, environment, file);
        assert_eq!(found, expected, "{arguments:?} {environment:?} {file}");
    }
    assert_eq!(problems(&["--state-dir=run"]), ["--state-dir"]);
}

#[test]
fn pods_are_watched_only_where_the_node_is_known() {
    let node = |arguments: &[&str], environment: &[(&str, &str)]| {
        config(arguments, environment, "").watched_node
    };
    let variable = [("COFFER_NODE_NAME", "n1")];
    assert_eq!(node(&["--node-name=n1"], &[]), None);
    assert_eq!(
        node(&["--watch-pods", "--node-name=n1"], &[]).as_deref(),
        Some("n1")
    );
    assert_eq!(node(&["--watch-pods"], &variable).as_deref(), Some("n1"));
    assert_eq!(problems(&["--watch-pods"]), ["--node-name"]);
}
