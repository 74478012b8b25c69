//! Every source, their order, and everything that can be wrong with them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use coffer_sync_core::options::names::CONTROLLER;
use coffer_sync_core::secret_type::SecretType;
use coffer_sync_core::secret_type::gate::AllowedTypes;

use super::{Command, Config, Form, OPTIONS, RenderArguments, Sources, parse_arguments};
use coffer_frame::telemetry::{Level, LogFormat};

fn sources(arguments: &[&str], environment: &[(&str, &str)], file: &str) -> Sources {
    let typed = std::iter::once("coffer-sync")
        .chain(arguments.iter().copied())
        .map(Into::into);
    let invocation = parse_arguments(typed).unwrap_or_else(|error| panic!("{error}"));
    let mut sources = Sources {
        flags: invocation.flags,
        environment: environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
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

/// The fields of all problems.
fn problems(arguments: &[&str]) -> Vec<String> {
    let found = Config::read(&sources(arguments, &[], ""))
        .err()
        .unwrap_or_default();
    found.into_iter().map(|problem| problem.field).collect()
}

#[test]
fn nothing_given_is_what_the_reference_says() {
    let config = config(&[], &[], "");
    assert_eq!(config.controller_name, CONTROLLER);
    assert_eq!(config.refresh_interval, Some(Duration::from_secs(600)));
    assert_eq!(
        config.provider_dirs,
        [
            "/var/run/secrets-store-sync-providers",
            "/etc/kubernetes/secrets-store-csi-providers",
            "/var/run/secrets-store-csi-providers",
        ]
        .map(PathBuf::from)
    );
    assert_eq!(config.provider_timeout, Duration::from_secs(30));
    assert_eq!(
        (config.max_response_bytes, config.answer_bytes_in_flight),
        (4 << 20, 32 << 20)
    );
    assert_eq!(
        (
            config.workers,
            config.provider_concurrency,
            config.provider_burst,
            config.kube_api_burst
        ),
        (8, 8, 80, 100)
    );
    assert!((config.provider_qps - 40.0).abs() < 1e-9);
    assert!((config.kube_api_qps - 50.0).abs() < 1e-9);
    assert_eq!(
        (config.lease_name.as_str(), config.hmac_secret_name.as_str()),
        ("coffer-sync", "coffer-sync-hmac")
    );
    assert_eq!(
        (config.pod_name.as_str(), config.pod_uid.as_str()),
        ("coffer-sync", "")
    );
    assert!(config.leader_elect);
    for off in [
        config.claim_unnamed,
        config.drift_watch,
        config.recreate,
        config.restarts,
        config.class_status,
        config.per_object_metrics,
    ] {
        assert!(!off);
    }
    assert_eq!(config.status_heartbeat, Duration::from_secs(3600));
    assert_eq!(config.crd_check_interval, Duration::from_secs(60));
    assert_eq!(config.health_addr.to_string(), "0.0.0.0:8081");
    assert_eq!(
        (config.log_level, config.log_format),
        (Level::Info, LogFormat::Json)
    );
    assert_eq!(config.allowed_types, AllowedTypes::Harmless);
    assert!(config.audiences.is_empty() && config.watch_namespaces.is_empty());
    assert_eq!(config.namespace, None);
    assert_eq!(config.warnings, [""; 0]);
}

#[test]
fn flags_beat_the_environment_and_that_beats_the_file() {
    let file = "workers: 2\nlease-name: file\nprovider-qps: 7.5\nwatch-namespaces: [b, a, b]\naudience: {vault: vault, aws: sts.example.net}\nrestarts: true\n";
    let environment = [
        ("COFFER_SYNC_WORKERS", "3"),
        ("COFFER_SYNC_LEASE_NAME", "env"),
        ("COFFER_SYNC_DRIFT_WATCH", ""),
    ];
    let config = config(&["--workers=4"], &environment, file);
    assert_eq!((config.workers, config.lease_name.as_str()), (4, "env"));
    assert!((config.provider_qps - 7.5).abs() < 1e-9);
    assert_eq!(config.watch_namespaces, ["a", "b"]);
    assert_eq!(config.audiences["aws"], "sts.example.net");
    assert!(config.restarts && !config.drift_watch);
}

#[test]
fn lists_are_repeated_or_written_with_commas() {
    let config = config(
        &[
            "--audience",
            "vault= vault ",
            "--audience=aws=sts,gcp=g",
            "--allowed-types=Opaque, kubernetes.io/tls",
            "serve",
            "--provider-dirs=/a,/b",
        ],
        &[],
        "",
    );
    let audiences: Vec<(&str, &str)> = config
        .audiences
        .iter()
        .map(|(provider, audience)| (provider.as_str(), audience.as_str()))
        .collect();
    assert_eq!(
        audiences,
        [("aws", "sts"), ("gcp", "g"), ("vault", "vault")]
    );
    assert_eq!(
        config.allowed_types,
        AllowedTypes::Listed(vec![SecretType::Opaque, SecretType::Tls])
    );
    assert_eq!(config.provider_dirs, [PathBuf::from("/a"), "/b".into()]);
}

#[test]
fn switches_are_bare_or_have_a_value() {
    for (arguments, expected) in [
        (&["--leader-elect"][..], true),
        (&["--leader-elect=false"], false),
        (&["--leader-elect=false", "--leader-elect=true"], true),
        (&[], true),
    ] {
        assert_eq!(
            config(arguments, &[], "").leader_elect,
            expected,
            "{arguments:?}"
        );
    }
}

#[test]
fn the_poll_period_follows_the_rules_of_the_annotation() {
    for (text, expected) in [
        ("30s", Some(30)),
        ("168h", Some(604_800)),
        ("1h30m", Some(5400)),
        ("0", None),
        ("0s", None),
    ] {
        let interval = config(&["--refresh-interval", text], &[], "").refresh_interval;
        assert_eq!(interval, expected.map(Duration::from_secs), "{text}");
    }
    for text in ["29s", "169h", "often", "-1s"] {
        let argument = format!("--refresh-interval={text}");
        assert_eq!(problems(&[&argument]), ["--refresh-interval"], "{text}");
    }
}

#[test]
fn the_pod_is_known_from_its_variables() {
    let pod = |arguments: &[&str], environment: &[(&str, &str)]| {
        let config = config(arguments, environment, "pod-name: file\nnamespace: file\n");
        (config.pod_name, config.pod_uid, config.namespace)
    };
    let variables = [
        ("POD_NAME", "p1"),
        ("POD_UID", "u1"),
        ("POD_NAMESPACE", "n1"),
        ("HOSTNAME", "h1"),
    ];
    let told = |name: &str, uid: &str, namespace: &str| {
        (name.to_owned(), uid.to_owned(), Some(namespace.to_owned()))
    };
    assert_eq!(pod(&[], &variables), told("p1", "u1", "n1"));
    assert_eq!(
        pod(
            &["--pod-name=p2", "--pod-uid=u2", "--namespace=n2"],
            &variables
        ),
        told("p2", "u2", "n2")
    );
    assert_eq!(pod(&[], &[("HOSTNAME", "h1")]), told("file", "", "file"));
    let host = config(&[], &[("HOSTNAME", "h1")], "");
    assert_eq!((host.pod_name.as_str(), host.namespace), ("h1", None));
}

#[test]
fn all_problems_are_told_together() {
    let found = problems(&[
        "--claim-unnamed=maybe",
        "--refresh-interval=5s",
        "--watch-namespaces=A_b",
        "--provider-dirs=relative",
        "--provider-timeout=0s",
        "--max-response-bytes=4MB",
        "--audience=vault,a/b=c,aws=",
        "--workers=0",
        "--provider-qps=NaN",
        "--provider-burst=-1",
        "--lease-name=-",
        "--status-heartbeat=soon",
        "--health-addr=nowhere",
        "--log-format=xml",
    ]);
    assert_eq!(
        found,
        [
            "--claim-unnamed",
            "--refresh-interval",
            "--watch-namespaces",
            "--provider-dirs",
            "--provider-timeout",
            "--max-response-bytes",
            "--audience",
            "--audience",
            "--audience",
            "--workers",
            "--provider-qps",
            "--provider-burst",
            "--lease-name",
            "--status-heartbeat",
            "--health-addr",
            "--log-format",
        ]
    );
}

#[test]
fn answers_have_room_for_one_at_least() {
    assert_eq!(
        problems(&["--answer-bytes-in-flight=1Mi"]),
        ["--answer-bytes-in-flight"]
    );
    assert_eq!(problems(&["--audience=vault=a,vault=b"]), ["--audience"]);
}

#[test]
fn an_unknown_level_is_info_and_a_warning() {
    for (text, expected, warned) in [
        ("trace", Level::Trace, false),
        ("DEBUG", Level::Debug, false),
        ("error", Level::Error, false),
        ("nonsense", Level::Info, true),
    ] {
        let config = config(&["--log-level", text], &[], "");
        assert_eq!(
            (config.log_level, !config.warnings.is_empty()),
            (expected, warned),
            "{text}"
        );
    }
}

#[test]
fn what_is_probably_misspelt_is_warned_about_without_its_value() {
    let environment = [
        ("COFFER_SYNC_WORKER", "canary"),
        ("COFFER_SYNC_SOMETHING_ELSE", "canary"),
        ("COFFER_SYNC_EMPTY", ""),
        // Kubernetes puts these into the pods beside a Service `coffer-sync`.
        ("COFFER_SYNC_SERVICE_HOST", "10.0.0.1"),
        ("COFFER_SYNC_PORT_8081_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(
        config(&["--allowed-types=kubernetes.io/TLS"], &environment, "").warnings,
        [
            "COFFER_SYNC_SOMETHING_ELSE is not known and ignored: see --help for the options",
            "COFFER_SYNC_WORKER is not known and ignored: did you mean COFFER_SYNC_WORKERS?",
            "--allowed-types: kubernetes.io/TLS is a type of its own: did you mean kubernetes.io/tls?",
        ]
    );
}

#[test]
fn a_file_with_unknown_options_is_refused_with_the_nearest_name() {
    let mut sources = Sources::default();
    let problems = sources
        .read_file("c.yaml", "worker: 1\nnonsense-option: y\naudience: [[a]]\n")
        .unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "c.yaml: audience: is nested too deeply; write a value, a list, or a map of values",
            "c.yaml: nonsense-option: is no option; see --help for their names",
            "c.yaml: worker: is no option; did you mean workers?",
        ]
    );
    assert!(sources.read_file("c.yaml", "[1, 2]").is_err());
}

#[test]
fn every_option_has_one_name_and_a_meaning() {
    for (index, option) in OPTIONS.iter().enumerate() {
        let same = OPTIONS.iter().filter(|other| other.name == option.name);
        assert_eq!(same.count(), 1, "{}", option.name);
        assert!(option.help.len() > 10, "{index}: {}", option.name);
    }
    super::command().debug_assert();
}

#[test]
fn commands_are_told_apart() {
    let parse = |arguments: &[&str]| {
        let typed = std::iter::once("coffer-sync")
            .chain(arguments.iter().copied())
            .map(Into::into);
        parse_arguments(typed)
    };
    let command = |arguments: &[&str]| parse(arguments).map(|invocation| invocation.command);
    assert_eq!(command(&[]).unwrap(), Command::Serve);
    assert_eq!(command(&["serve", "--workers=1"]).unwrap(), Command::Serve);
    assert!(parse(&["--version"]).unwrap().version);
    assert_eq!(
        command(&["render", "a.yaml", "-", "--files=d", "--output", "json"]).unwrap(),
        Command::Render(RenderArguments {
            manifests: vec!["a.yaml".into(), "-".into()],
            files: Some("d".into()),
            show_secrets: false,
            output: Form::Json,
        })
    );
    assert!(matches!(
        command(&["completions", "bash"]).unwrap(),
        Command::Completions { .. }
    ));
    for wrong in [
        &["render"][..],
        &["render", "a.yaml", "--show-secrets"],
        &["render", "a.yaml", "--output=yaml"],
        &["completions"],
        &["nonsense"],
        &["--worker=1"],
    ] {
        assert!(command(wrong).is_err(), "{wrong:?}");
    }
    let flags = parse(&["render", "a.yaml", "--allowed-types=Opaque"]).unwrap();
    assert_eq!(flags.flags["allowed-types"], "Opaque");
}
