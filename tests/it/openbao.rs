//! Under the socket name `openbao` the names, defaults and habits of OpenBao's provider hold.

use std::collections::BTreeSet;
use std::slice;

use anyhow::{Result, anyhow};
use coffer_provider::config::{Config, OPTIONS, Sources};
use coffer_provider_core::target::Layer;
use coffer_tests::driver::{Class, Pod, Volume};
use coffer_tests::fixture::directory;
use coffer_tests::provider::ProviderProcess;
use coffer_tests::scripted::{Arrived, Reply, ScriptedStore};
use coffer_tests::vault::JwtAuth;
use serde_json::{Value, json};
use tonic::Code;

use crate::stage::check_failure;

/// M1: the name comes from the socket; audience, parameter prefixes and environment follow it.
#[tokio::test]
async fn the_name_selects_audience_prefixes_and_environment() -> Result<()> {
    let (store, other) = (ScriptedStore::start().await?, ScriptedStore::start().await?);
    store.put("secret/data/a", json!({"k": "v"}));
    let environment = [
        ("BAO_ADDR", store.address()),
        ("VAULT_ADDR", other.address()),
    ];
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let provider =
        ProviderProcess::start_as("openbao", &["-kubeconfig", "off"], &environment).await?;
    let driver = provider.driver()?;
    assert_eq!(driver.version().await?.runtime_name, "openbao-csi-provider");

    let issuer = JwtAuth::new("https://issuer.example")?;
    let pod = Pod::new("shop", "pod")?;
    let class = Class::new("class")
        .with("roleName", "plain")
        .with("vaultRoleName", "prefixed")
        .with(
            "objects",
            "- {objectName: a, secretPath: secret/data/a, secretKey: k}",
        );
    let volume = Volume::new(pod.clone(), class.clone())
        .with_token(issuer.mint(&pod, "vault", 3600)?)
        .with_token(issuer.mint(&pod, "openbao", 3600)?);
    assert_eq!(
        driver.mount(&volume.first_mount()).await?.files()?["a"],
        "v"
    );
    let login = store
        .requests()
        .into_iter()
        .find(Arrived::is_login)
        .map(|login| login.json())
        .unwrap_or_default();
    assert_eq!(
        login["role"], "prefixed",
        "a prefixed role beats the plain one"
    );
    let audience = volume
        .tokens
        .iter()
        .flatten()
        .find(|token| token.audience == "openbao");
    assert_eq!(
        login["jwt"],
        audience.map_or(Value::Null, |token| json!(token.jwt))
    );
    assert_eq!(other.connections(), 0);

    let moved = class
        .with("baoAddress", &store.address())
        .with("vaultAddress", &other.address());
    let mut moved_volume = volume.clone();
    moved_volume.class = moved;
    driver
        .mount(&moved_volume.first_mount())
        .await?
        .response()?;
    assert_eq!(other.connections(), 0, "bao before vault");
    Ok(())
}

/// D30, M1: the hint of a token request that is refused names the audience that was looked up among the driver's tokens.
#[tokio::test]
async fn a_refused_token_request_names_the_audience_that_was_looked_up() -> Result<()> {
    let api = ScriptedStore::start().await?;
    let refusal = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "is forbidden", "code": 403});
    api.on(
        "/api/v1/namespaces/shop/serviceaccounts/default/token",
        Reply::json(403, &refusal),
    );
    let place = directory("kubeconfig")?;
    let kubeconfig = place.path().join("config");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": api.address()}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&kubeconfig, config.to_string())?;
    let kubeconfig = kubeconfig.display().to_string();
    let class = Class::new("class").with("roleName", "app").with(
        "objects",
        "- {objectName: a, secretPath: secret/data/a, secretKey: k}",
    );
    let volume = Volume::new(Pod::new("shop", "pod")?, class);
    for (name, arguments, audience) in [
        ("openbao", &[][..], "openbao"),
        ("vault", &[], "vault"),
        (
            "openbao",
            &["--audience", "https://store.example"],
            "https://store.example",
        ),
    ] {
        let ours = ["-kubeconfig", &kubeconfig, "--hmac-source", "generate"];
        let provider = ProviderProcess::start_as(name, &[&ours, arguments].concat(), &[]).await?;
        let outcome = provider.driver()?.mount(&volume.first_mount()).await?;
        let text = check_failure(&outcome, Code::FailedPrecondition, "no_token")?;
        let hint = format!("add audience \"{audience}\" to tokenRequests of the CSIDriver");
        assert!(text.contains(&hint), "{hint} in {text}");
    }
    Ok(())
}

/// D4, M1: a whole reply has the fields of the name's library: `mount_type` under `vault` only.
#[tokio::test]
async fn a_whole_reply_has_the_fields_of_the_names_library() -> Result<()> {
    let store = ScriptedStore::start().await?;
    let document = json!({"request_id": "r", "lease_id": "", "data": {"k": "v"}, "mount_type": "kv", "other": 1});
    store.on("/v1/kv/a", Reply::json(200, &document));
    let issuer = JwtAuth::new("https://issuer.example")?;
    let address = store.address();
    for (name, expected) in [("vault", true), ("openbao", false)] {
        let provider =
            ProviderProcess::start_as(name, &["-kubeconfig", "off", "-vault-addr", &address], &[])
                .await?;
        let pod = Pod::new("shop", "pod")?;
        let class = Class::new("class")
            .with("roleName", "app")
            .with("objects", "- {objectName: a, secretPath: kv/a}");
        let volume = Volume::new(pod.clone(), class).with_token(issuer.mint(&pod, name, 3600)?);
        let files = provider
            .driver()?
            .mount(&volume.first_mount())
            .await?
            .files()?;
        let whole: Value = serde_json::from_slice(&files["a"])?;
        assert_eq!(
            whole.get("mount_type").is_some(),
            expected,
            "{name}: {whole}"
        );
        assert!(whole.get("other").is_none(), "{whole}");
    }
    Ok(())
}

/// What one variable decides, as text.
type Shown = fn(&Config) -> String;

/// The variables without their prefix, a value for each of BAO_ and VAULT_, and what they decide.
const VARIABLES: &[(&str, [&str; 2], Shown)] = &[
    ("ADDR", ["https://bao", "https://vault"], |c| {
        layer(c).address.clone()
    }),
    ("NAMESPACE", ["bao", "vault"], |c| {
        layer(c).namespace.clone()
    }),
    ("CACERT", ["/bao.pem", "/vault.pem"], |c| {
        layer(c).ca_file.clone()
    }),
    ("CACERT_BYTES", ["BAO", "VAULT"], |c| {
        layer(c).ca_pem.clone()
    }),
    ("CAPATH", ["/bao", "/vault"], |c| {
        layer(c).ca_directory.clone()
    }),
    ("TLS_SERVER_NAME", ["bao", "vault"], |c| {
        layer(c).server_name.clone()
    }),
    ("CLIENT_CERT", ["/bao.crt", "/vault.crt"], |c| {
        layer(c).client_cert.clone()
    }),
    ("CLIENT_KEY", ["/bao.key", "/vault.key"], |c| {
        layer(c).client_key.clone()
    }),
    ("SKIP_VERIFY", ["true", "false"], |c| {
        layer(c).skip_verify.to_string()
    }),
    ("CLIENT_TIMEOUT", ["3s", "4s"], |c| {
        format!("{:?}", c.http.first_byte)
    }),
    ("MAX_RETRIES", ["0", "1"], |c| c.http.tries.to_string()),
    ("RATE_LIMIT", ["5:10", "7:20"], |c| {
        c.http.rate.map_or(0.0, |rate| rate.burst).to_string()
    }),
    (
        "HEADERS",
        [r#"{"x-of":"bao"}"#, r#"{"x-of":"vault"}"#],
        |c| format!("{:?}", c.http_rules.headers),
    ),
    ("PROXY_ADDR", ["http://bao", "http://vault"], |c| {
        format!("{:?}", c.http_rules.proxy)
    }),
    ("HTTP_PROXY", ["http://bao", "http://vault"], |c| {
        format!("{:?}", c.http_rules.proxy)
    }),
    ("DISABLE_REDIRECTS", ["true", "false"], |c| {
        c.http_rules.no_redirects.to_string()
    }),
    ("SRV_LOOKUP", ["true", "false"], |c| {
        layer(c).srv_lookup.to_string()
    }),
];

/// The connection settings of the environment, above those of the file.
fn layer(config: &Config) -> &Layer {
    &config.rules.layers[1]
}

fn configured(name: &str, environment: &[(String, &str)]) -> Result<Config> {
    let mut sources = Sources::default();
    sources
        .flags
        .insert("provider-name".to_owned(), name.to_owned());
    // A certificate counts only with its key, so the other half is always there by its own name.
    let halves = ["CLIENT_CERT", "CLIENT_KEY"];
    if environment
        .iter()
        .any(|(name, _)| halves.iter().any(|half| name.ends_with(half)))
    {
        for half in ["CERT", "KEY"] {
            let own = format!("VAULT_CLIENT_{half}");
            sources.environment.insert(own, "/other".to_owned());
        }
    }
    for (name, value) in environment {
        sources
            .environment
            .insert(name.clone(), (*value).to_owned());
    }
    Config::read(&sources).map_err(|problems| anyhow!("{problems:?}"))
}

/// §5 BAO_ names: each variable is read under both prefixes; that of the provider's name comes first.
#[test]
fn every_variable_of_the_peers_is_read_under_both_prefixes() -> Result<()> {
    let told: BTreeSet<&str> = VARIABLES.iter().map(|(name, ..)| *name).collect();
    let known = OPTIONS.iter().map(|option| option.peer_env);
    assert_eq!(told, known.filter(|name| !name.is_empty()).collect());
    let unset = configured("openbao", &[])?;
    for (name, [ours, theirs], shown) in VARIABLES {
        let bao = (format!("BAO_{name}"), *ours);
        let vault = (format!("VAULT_{name}"), *theirs);
        let [ours, theirs] = [&bao, &vault].map(|one| configured("openbao", slice::from_ref(one)));
        let (ours, theirs) = (shown(&ours?), shown(&theirs?));
        assert_ne!(ours, theirs, "{name}");
        assert_ne!(ours, shown(&unset), "{name}");
        let both = [bao.clone(), vault];
        assert_eq!(
            shown(&configured("openbao", &both)?),
            ours,
            "{name} under openbao"
        );
        assert_eq!(
            shown(&configured("vault", &both)?),
            theirs,
            "{name} under vault"
        );
        // The half of a pair under the other name would hide what is asked here.
        if !name.starts_with("CLIENT_C") && !name.starts_with("CLIENT_K") {
            assert_eq!(shown(&configured("vault", &[bao])?), ours, "{name} alone");
        }
    }
    Ok(())
}
