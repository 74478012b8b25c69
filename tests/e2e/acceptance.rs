//! The twelve cases of the peers' own suite, with the harness in the driver's place: mutual TLS to the store
//! by flags, kubernetes auth by TokenReview, audience `vault`, rotation off.
//!
//! Case 3 is answered by the driver before it calls a provider, case 9 is in `parameters`, case 11 in
//! `version_key`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_tests::driver::{Class, Kubelet, Pod, Published, Volume};
use coffer_tests::fixture::eventually;
use coffer_tests::provider::ProviderProcess;
use coffer_tests::vault::{Policy, Vault};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::cluster::{Rights, install};
use crate::engines::pki;
use crate::stage::{SOON, failure, has, mount, object, text, texts, unique};
use crate::world::{cluster, end_with_us, everything, leased, postgres, run};

/// A store that asks every client for its certificate, with all that the cases read.
struct Suite {
    vault: Vault,
    /// PKI engine.
    pki: String,
}

/// The namespace of the suite's pods.
const TEST: &str = "acceptance";

async fn suite() -> Result<&'static Suite> {
    static SUITE: OnceCell<Suite> = OnceCell::const_new();
    SUITE.get_or_try_init(set_up).await
}

async fn set_up() -> Result<Suite> {
    let vault = Vault::start_tls(true).await?;
    end_with_us(&vault.farewell())?;
    let api = &cluster().await?.api;
    api.create_namespace(TEST).await?;
    api.create_service_account(TEST, "stranger").await?;
    api.trusted_by(&vault, "kubernetes").await?;
    vault.policy("everything", &everything()).await?;
    for (role, audience) in [("csi", Some("vault")), ("custom", Some("custom-audience"))] {
        let body = json!({
            "bound_service_account_names": "default",
            "bound_service_account_namespaces": TEST,
            "audience": audience,
            "token_policies": "everything",
            "token_ttl": "20m",
        });
        vault
            .write(&format!("auth/kubernetes/role/{role}"), &body)
            .await?;
    }
    vault
        .kv2_put("secret", "foo1", &json!({"bar": "hello1"}))
        .await?;
    vault
        .kv2_put("secret", "foo2", &json!({"bar": "hello2"}))
        .await?;
    vault
        .kv2_put(
            "secret",
            "foo3",
            &json!({"bar": BASE64_STANDARD.encode("hello3")}),
        )
        .await?;
    let pki = pki(&vault).await?;
    postgres().await?.engine(&vault, "database", "1h").await?;
    Ok(Suite { vault, pki })
}

impl Suite {
    /// A provider whose flags name the store, its CA and the client certificate.
    async fn provider(&self, rights: Rights) -> Result<ProviderProcess> {
        let tls = self.vault.tls().context("the store has no TLS")?;
        let [ca, certificate, key] = [&tls.ca, &tls.client_certificate, &tls.client_key]
            .map(|path| path.display().to_string());
        let arguments = [
            "-vault-addr",
            self.vault.address(),
            "-vault-tls-ca-cert",
            &ca,
            "-vault-tls-client-cert",
            &certificate,
            "-vault-tls-client-key",
            &key,
        ];
        install(&cluster().await?.api, rights)
            .await?
            .start("vault", &arguments)
            .await
    }

    /// A role for the usual account with these rights and no others.
    async fn role(&self, rights: &Policy) -> Result<String> {
        let role = unique("role");
        self.vault.policy(&role, rights).await?;
        let body = json!({
            "bound_service_account_names": "default",
            "bound_service_account_namespaces": TEST,
            "token_policies": role,
            "token_ttl": "20m",
        });
        let path = format!("auth/kubernetes/role/{role}");
        self.vault.write(&path, &body).await?;
        Ok(role)
    }

    async fn volume(&self, objects: &str) -> Result<Volume> {
        volume(class("csi", objects), "default").await
    }
}

/// The suite's classes name no address: it comes from the flags.
fn class(role: &str, objects: &str) -> Class {
    Class::new("c")
        .with("roleName", role)
        .with("objects", objects)
}

async fn volume(class: Class, account: &str) -> Result<Volume> {
    let api = &cluster().await?.api;
    let pod = api.create_pod(TEST, &unique("p"), account).await?;
    let token = api
        .create_token(TEST, account, &["vault"], Some(&pod), 900)
        .await?;
    Ok(Volume::new(pod, class).with_token(token))
}

/// §15 case 1: two KV values with their contents and modes in the pod's volume
#[test]
fn case_15_01_kv_values_and_modes() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::Secret).await?;
        let objects = object(
            "secret-1",
            "secret/data/foo1",
            "secretKey: bar, filePermission: 0624",
        ) + &object("secret-2", "secret/data/foo2", "secretKey: bar");
        let mut node = Kubelet::new(
            provider.driver()?,
            suite.volume(&objects).await?,
            Duration::from_secs(3600),
        )?;
        ensure!(matches!(node.publish().await?, Published::Written));
        let files = node.files()?;
        assert_eq!(
            (&files["secret-1"][..], &files["secret-2"][..]),
            (&b"hello1"[..], &b"hello2"[..])
        );
        assert_eq!(
            (node.mode("secret-1")?, node.mode("secret-2")?),
            (0o624, 0o644)
        );
        assert_eq!(node.versions().len(), 2);
        Ok(())
    })
}

/// §15 case 2: the files that the driver's sync reads: either spelling of the path, base64 decoded
#[test]
fn case_15_02_files_for_the_drivers_sync() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::Secret).await?;
        let objects = object("secret-1", "/v1/secret/data/foo1", "secretKey: bar")
            + &object("secret-2", "v1/secret/data/foo2", "secretKey: bar")
            + &object(
                "secret-3",
                "secret/data/foo3",
                "secretKey: bar, encoding: base64",
            );
        let files = texts(&mount(&provider, &suite.volume(&objects).await?).await?)?;
        let found: Vec<&str> = files.values().map(String::as_str).collect();
        assert_eq!(found, ["hello1", "hello2", "hello3"]);
        Ok(())
    })
}

/// §15 case 4: two classes in two volumes of one pod
#[test]
fn case_15_04_two_classes_in_one_pod() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::Secret).await?;
        let first = suite
            .volume(&object("o", "secret/data/foo1", "secretKey: bar"))
            .await?;
        let mut second = first.clone();
        second.name = "second".to_owned();
        second.class = class("csi", &object("o", "secret/data/foo2", "secretKey: bar"));
        second.class.name = "d".to_owned();
        for _ in 0..2 {
            assert_eq!(text(&mount(&provider, &first).await?)?, "hello1");
            assert_eq!(text(&mount(&provider, &second).await?)?, "hello2");
        }
        Ok(())
    })
}

/// The object of cases 5 and 7.
fn certificate(suite: &Suite) -> String {
    let args = "method: PUT, secretArgs: {common_name: test.example.com, ttl: 24h}";
    object("certs", &format!("{}/issue/test", suite.pki), args)
}

fn check_certificate(whole: &str) -> Result<()> {
    let whole: Value = serde_json::from_str(whole)?;
    for field in ["certificate", "issuing_ca"] {
        let pem = whole["data"][field].as_str().context("no PEM")?;
        has(
            pem,
            &["-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"],
        )?;
    }
    let pem = whole["data"]["certificate"].as_str().unwrap_or_default();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(body)?;
    let name = b"test.example.com";
    ensure!(
        der.windows(name.len()).any(|part| part == name),
        "no such common name"
    );
    Ok(())
}

/// §15 case 5: a certificate by PUT with arguments, as a whole reply
#[test]
fn case_15_05_a_certificate_as_whole_json() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::Secret).await?;
        let mounted = mount(&provider, &suite.volume(&certificate(suite)).await?).await?;
        check_certificate(&texts(&mounted)?["certs"])
    })
}

/// The objects of cases 6 and 7, from the database engine at `mount`.
fn credentials(mount: &str) -> String {
    let path = format!("{mount}/creds/reader");
    object("user", &path, "secretKey: username")
        + &object(
            "password",
            &format!("/v1/{path}"),
            "secretKey: password, method: GET",
        )
}

impl Suite {
    /// Another database engine, whose leases are one case's alone.
    async fn database(&self) -> Result<String> {
        let mount = unique("database");
        let postgres = postgres().await?;
        postgres.engine(&self.vault, &mount, "1h").await?;
        Ok(mount)
    }

    /// How many leases of a database engine are live; the store has no list of none.
    async fn leases(&self, mount: &str) -> Result<usize> {
        let path = format!("sys/leases/lookup/{mount}/creds/reader?list=true");
        let list = self.vault.read(&path).await?;
        let keys = list["data"]["keys"].as_array().map(Vec::len);
        keys.context("a list without keys")
    }
}

/// §15 case 6, D10, D13: name and password of two objects on one path log in to the database as a pair
#[test]
fn case_15_06_database_credentials_log_in_as_a_pair() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::Secret).await?;
        let mount_point = suite.database().await?;
        let volume = suite.volume(&credentials(&mount_point)).await?;
        let files = texts(&mount(&provider, &volume).await?)?;
        postgres()
            .await?
            .log_in(&files["user"], &files["password"])?;
        assert_eq!(suite.leases(&mount_point).await?, 1);
        let driver = provider.driver()?;
        for _ in 0..10 {
            assert_eq!(texts(&driver.mount(&volume.first_mount()).await?)?, files);
        }
        assert_eq!(
            suite.leases(&mount_point).await?,
            1,
            "issued again by a poll"
        );
        Ok(())
    })
}

/// D10: what a failed mount had been given is revoked
#[test]
fn d10_leases_of_a_failed_mount_are_revoked() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::Secret).await?;
        let mount_point = suite.database().await?;
        let path = format!("{mount_point}/creds/reader");
        let role = suite.role(&leased(&path)).await?;
        let good = object("user", &path, "secretKey: username");
        mount(&provider, &volume(class(&role, &good), "default").await?)
            .await?
            .response()?;
        assert_eq!(suite.leases(&mount_point).await?, 1);
        let bad = good + &object("nope", "secret/data/nope", "secretKey: k");
        failure(&mount(&provider, &volume(class(&role, &bad), "default").await?).await?)?;
        eventually(SOON, "the second lease's end", async || {
            let count = suite.leases(&mount_point).await?;
            ensure!(count == 1, "{count} leases");
            Ok(())
        })
        .await
    })
}

/// §15 case 7: database, key-value and PKI in one class
#[test]
fn case_15_07_three_engines_in_one_class() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::Secret).await?;
        let objects = credentials("database")
            + &object("bar", "secret/data/foo1", "secretKey: bar")
            + &certificate(suite);
        let files = texts(&mount(&provider, &suite.volume(&objects).await?).await?)?;
        postgres()
            .await?
            .log_in(&files["user"], &files["password"])?;
        assert_eq!(files["bar"], "hello1");
        check_certificate(&files["certs"])
    })
}

/// §15 case 8: a service account that the role does not bind is told in the store's own words
#[test]
fn case_15_08_a_wrong_service_account() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::Secret).await?;
        let objects = object("o", "secret/data/foo1", "secretKey: bar");
        let volume = volume(class("csi", &objects), "stranger").await?;
        let told = failure(&mount(&provider, &volume).await?)?;
        has(
            &told,
            &[
                "Unauthenticated: failed to login",
                "service account name not authorized",
                "Code: 403",
                "bind this service account",
                "acceptance/stranger",
            ],
        )
    })
}

/// §15 case 10, §2 audience: an audience that kubelet sends no token for is requested
#[test]
fn case_15_10_a_custom_audience_is_requested() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::SecretAndTokens).await?;
        let objects = object("o", "secret/data/foo1", "secretKey: bar");
        let class = class("custom", &objects).with("audience", "custom-audience");
        assert_eq!(
            text(&mount(&provider, &volume(class, "default").await?).await?)?,
            "hello1"
        );
        Ok(())
    })
}

/// §15 case 12, §2 vaultAuthMountPath: the jwt auth method with the cluster's own keys
#[test]
fn case_15_12_a_jwt_auth_mount() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let provider = suite.provider(Rights::Secret).await?;
        let api = &cluster().await?.api;
        let binding = json!({
            "metadata": {"name": "keys-for-everybody"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:service-account-issuer-discovery"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:unauthenticated"}],
        });
        let bindings = Api::<ClusterRoleBinding>::all(api.client());
        bindings
            .create(&PostParams::default(), &serde_json::from_value(binding)?)
            .await?;
        suite.vault.enable_auth("jwt", "jwt").await?;
        let config = json!({"jwks_url": format!("{}/openid/v1/jwks", api.url()), "jwks_ca_pem": api.authority()});
        eventually(SOON, "keys that the store can read", async || {
            suite.vault.write("auth/jwt/config", &config).await
        })
        .await?;
        let subject = format!("system:serviceaccount:{TEST}:default");
        let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "bound_subject": subject, "token_policies": ["everything"]});
        suite.vault.write("auth/jwt/role/csi", &role).await?;
        let objects = object("o", "secret/data/foo1", "secretKey: bar");
        let class = class("csi", &objects).with("vaultAuthMountPath", "jwt");
        assert_eq!(
            text(&mount(&provider, &volume(class.clone(), "default").await?).await?)?,
            "hello1"
        );
        let told = failure(&mount(&provider, &volume(class, "stranger").await?).await?)?;
        has(&told, &["failed to login", "invalid subject (sub) claim"])
    })
}

/// §5 -vault-tls-client-cert, §5 -vault-tls-client-key: without its certificate a client of this store is turned away
#[test]
fn a_store_that_wants_a_certificate_turns_others_away() -> Result<()> {
    run(async {
        let suite = suite().await?;
        let tls = suite.vault.tls().context("the store has no TLS")?;
        let ca = tls.ca.display().to_string();
        let provider = crate::stage::provider(&[
            "-vault-addr",
            suite.vault.address(),
            "-vault-tls-ca-cert",
            &ca,
        ])
        .await?;
        let token = coffer_tests::driver::ServiceToken::new("vault", "junk");
        let volume = Volume::new(
            Pod::new(TEST, "p")?,
            class("csi", &object("o", "secret/data/foo1", "")),
        )
        .with_token(token);
        let told = failure(&mount(&provider, &volume).await?)?;
        // The alert may be lost with the connection; the hint is the same.
        has(&told, &["does it demand a client certificate?"])
    })
}
