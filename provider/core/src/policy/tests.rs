//! Each rule under both profiles, and the operator's lists.

use super::{Policy, Profile, Rule};
use crate::params::{ClassSpec, Dialect, Parameters};
use crate::target::Layer;

fn verdict(policy: &Policy, own: &str, pairs: &[(&str, &str)]) -> (Vec<String>, Vec<Rule>) {
    let mut parameters: Parameters = [
        ("roleName", "r"),
        ("objects", "[{objectName: a, secretPath: x}]"),
    ]
    .iter()
    .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
    .collect();
    parameters.extend(
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
    );
    let class = ClassSpec::parse(&parameters, Dialect::Vault).unwrap_or_else(|p| panic!("{p:?}"));
    let operator = Layer {
        address: own.to_owned(),
        ..Layer::default()
    };
    let own = Layer::resolve(&[&operator]).unwrap();
    let target = Layer::resolve(&[&operator, &class.layer]).unwrap();
    let verdict = policy.judge(&class, &target, &own);
    (
        verdict
            .refused
            .into_iter()
            .map(|problem| problem.field)
            .collect(),
        verdict.warned.into_iter().map(|(rule, _)| rule).collect(),
    )
}

fn strict() -> Policy {
    Policy {
        profile: Profile::Strict,
        ..Policy::default()
    }
}

const OWN: &str = "https://vault:8200";

#[test]
fn what_strict_refuses_compat_lets_through_and_reports() {
    for (pairs, field, rule) in [
        (
            vec![("vaultAddress", "https://evil")],
            "vaultAddress",
            Rule::Address,
        ),
        (
            vec![("vaultSkipTLSVerify", "true")],
            "vaultSkipTLSVerify",
            Rule::SkipVerify,
        ),
        (
            vec![("vaultCACertPath", "/etc/passwd")],
            "vaultCACertPath",
            Rule::TlsPath,
        ),
        (
            vec![("vaultCADirectory", "/etc/coffer/tls/../..")],
            "vaultCADirectory",
            Rule::TlsPath,
        ),
        (
            vec![(
                "objects",
                "[{objectName: a, secretPath: x, method: DELETE}]",
            )],
            "objects[0].method",
            Rule::Method,
        ),
    ] {
        assert_eq!(verdict(&strict(), OWN, &pairs).0, [field], "{pairs:?}");
        assert_eq!(
            verdict(&Policy::default(), OWN, &pairs),
            (vec![], vec![rule]),
            "{pairs:?}"
        );
    }
    let plain = [("vaultAddress", "http://vault:8200")];
    assert_eq!(
        verdict(&Policy::default(), "http://vault:8200", &plain),
        (vec![], vec![Rule::Http])
    );
    assert_eq!(
        verdict(&strict(), "http://vault:8200", &plain).0,
        ["vaultAddress"]
    );
}

#[test]
fn the_operators_own_address_and_files_are_never_refused() {
    assert_eq!(verdict(&strict(), OWN, &[]), (vec![], vec![]));
    assert_eq!(
        verdict(&strict(), OWN, &[("vaultAddress", "https://VAULT:8200/")]),
        (vec![], vec![])
    );
    assert_eq!(
        verdict(
            &strict(),
            OWN,
            &[("vaultCACertPath", "/etc/coffer/tls/ca.pem")]
        ),
        (vec![], vec![])
    );
}

#[test]
fn exceptions_bind_under_strict() {
    let policy = Policy {
        allow_skip_tls_verify: true,
        allow_plain_http: true,
        ..strict()
    };
    assert_eq!(
        verdict(&policy, "http://vault:8200", &[("vaultSkipTLSVerify", "1")]),
        (vec![], vec![])
    );
    assert!(strict().judge_api_server_audience().refused.len() == 1);
    let policy = Policy {
        allow_api_server_audience: true,
        ..strict()
    };
    assert_eq!(
        policy.judge_api_server_audience(),
        super::Verdict::default()
    );
    assert_eq!(
        Policy::default().judge_api_server_audience().warned.len(),
        1
    );
}

#[test]
fn lists_of_the_operator_bind_under_compat_too() {
    let list = |entries: &[&str]| Some(entries.iter().map(|e| (*e).to_owned()).collect());
    let policy = Policy {
        allowed_addresses: list(&["https://other"]),
        allowed_namespaces: list(&["team-a"]),
        allowed_auth_mounts: list(&["kubernetes"]),
        allowed_methods: list(&["GET"]),
        allowed_tls_dirs: list(&["/tls"]),
        ..Policy::default()
    };
    let bad = [
        ("vaultAddress", "https://evil"),
        ("vaultNamespace", "team-b"),
        ("vaultAuthMountPath", "jwt"),
        ("vaultCACertPath", "/x/ca.pem"),
        ("objects", "[{objectName: a, secretPath: x, method: PUT}]"),
    ];
    assert_eq!(
        verdict(&policy, OWN, &bad).0,
        [
            "vaultAddress",
            "vaultNamespace",
            "vaultAuthMountPath",
            "vaultCACertPath",
            "objects[0].method"
        ]
    );
    let good = [
        ("vaultAddress", "https://other:443"),
        ("vaultNamespace", "/team-a/"),
        ("vaultAuthMountPath", "kubernetes/"),
        ("vaultCACertPath", "/tls/ca.pem"),
    ];
    assert_eq!(verdict(&policy, OWN, &good), (vec![], vec![]));
    let open = Policy {
        allowed_addresses: list(&["*"]),
        ..strict()
    };
    assert_eq!(
        verdict(&open, OWN, &[("vaultAddress", "https://any")]),
        (vec![], vec![])
    );
}

#[test]
fn a_locked_connection_is_the_operators_alone() {
    let policy = Policy {
        lock_connection: true,
        ..Policy::default()
    };
    let pairs = [
        ("vaultAddress", OWN),
        ("vaultNamespace", "n"),
        ("vaultAuthMountPath", "m"),
        ("vaultTLSServerName", "s"),
    ];
    assert_eq!(
        verdict(&policy, OWN, &pairs).0,
        [
            "vaultAddress",
            "vaultNamespace",
            "vaultAuthMountPath",
            "vaultTLS"
        ]
    );
    assert_eq!(verdict(&policy, OWN, &[]), (vec![], vec![]));
}

#[test]
fn every_address_of_a_list_is_judged() {
    let own = "https://vault:8200, https://vault-2:8200";
    for (named, refused) in [
        ("https://vault-2:8200,https://vault:8200", 0),
        ("https://vault-2:8200", 0),
        ("https://vault:8200,https://evil", 1),
        ("https://evil,https://worse", 2),
        ("https://vault:8200,http://vault-2:8200", 2),
    ] {
        let pairs = [("vaultAddress", named)];
        let fields = vec!["vaultAddress"; refused];
        assert_eq!(verdict(&strict(), own, &pairs).0, fields, "{named}");
        let warned = verdict(&Policy::default(), own, &pairs).1;
        assert_eq!(warned.len(), refused, "{named}");
    }
    let policy = Policy {
        allowed_addresses: Some(vec!["https://other".to_owned()]),
        ..Policy::default()
    };
    let pairs = [("vaultAddress", "https://other,https://evil")];
    assert_eq!(verdict(&policy, own, &pairs).0, ["vaultAddress"]);
    let plain = verdict(&Policy::default(), "https://a,http://b,http://c", &[]);
    assert_eq!(plain, (vec![], vec![Rule::Http, Rule::Http]));
}
