//! The parameters of a class, one by one, by what they do against a real store.
//!
//! Those about TLS are in `tls`; what an object may say is in `attributes`.

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::{Class, Pod, Volume};
use coffer_tests::fixture::eventually;
use coffer_tests::provider::ProviderProcess;
use coffer_tests::vault::JwtRole;
use serde_json::json;
use tokio::net::{TcpStream, UnixListener};

use crate::stage::{SOON, failure, has, mount, object, provider, provider_as, text, unique};
use crate::world::{Store, run, store};

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

/// §2 roleName, §14 errors: a class without a role is refused, and each role is logged in to by its name
#[test]
fn a_role_is_needed_and_chosen_by_its_name() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("role", &json!({"k": "v"})).await?;
        for (role, expected) in [
            (None, "missing 'roleName' in SecretProviderClass definition"),
            (Some(""), "missing 'roleName'"),
            (Some("nobody"), "failed to login"),
        ] {
            let mut class = store.class_of(&path);
            class.parameters.remove("roleName");
            if let Some(role) = role {
                class = class.with("roleName", role);
            }
            has(
                &failure(&store.mount(&provider, class).await?)?,
                &[expected],
            )?;
        }
        assert_eq!(
            text(&store.mount(&provider, store.class_of(&path)).await?)?,
            "v"
        );
        Ok(())
    })
}

/// §2 vaultAddress: the class's address beats the operator's
#[test]
fn an_address_of_the_class_beats_the_flag() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&["-vault-addr", NOWHERE]).await?);
        let path = store.secret("address", &json!({"k": "v"})).await?;
        assert_eq!(
            text(&store.mount(&provider, store.class_of(&path)).await?)?,
            "v"
        );
        let mut elsewhere = store.class_of(&path);
        elsewhere.parameters.remove("vaultAddress");
        let told = failure(&store.mount(&provider, elsewhere).await?)?;
        has(&told, &["Unknown: ", "127.0.0.1:9"])
    })
}

/// §2 vaultAddress: `unix://<path>` reaches a store behind a socket
#[test]
fn an_address_may_be_a_unix_socket() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("unix", &json!({"k": "v"})).await?;
        let socket = provider.directory().join("store.sock");
        let pump = tokio::spawn(pump(
            UnixListener::bind(&socket)?,
            store
                .vault
                .address()
                .trim_start_matches("http://")
                .to_owned(),
        ));
        let address = format!("unix://{}", socket.display());
        let class = store.class_of(&path).with("vaultAddress", &address);
        assert_eq!(text(&store.mount(&provider, class).await?)?, "v");
        pump.abort();
        Ok(())
    })
}

/// A store's other door.
async fn pump(listener: UnixListener, upstream: String) -> Result<()> {
    loop {
        let (mut client, _) = listener.accept().await?;
        let mut server = TcpStream::connect(&upstream).await?;
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
    }
}

/// §2 vaultNamespace, §15 case 9, §5 -vault-namespace, §5 VAULT_NAMESPACE: login and reads happen in the namespace, and an empty one unsets nothing
#[test]
fn case_15_09_a_namespace_holds_both_login_and_secret() -> Result<()> {
    run(async {
        let store = store().await?;
        let namespace = unique("team");
        in_namespace(store, &namespace).await?;
        let class = store
            .class_of("secret/data/n")
            .with("vaultAuthMountPath", "jwt");
        let bare = provider(&[]).await?;
        let inside = class.clone().with("vaultNamespace", &namespace);
        assert_eq!(text(&store.mount(&bare, inside).await?)?, "inside");
        has(
            &failure(&store.mount(&bare, class.clone()).await?)?,
            &["failed to login"],
        )?;

        let flag = provider(&["-vault-namespace", &namespace]).await?;
        let empty = class.clone().with("vaultNamespace", "");
        for class in [class.clone(), empty] {
            assert_eq!(text(&store.mount(&flag, class).await?)?, "inside");
        }
        let environment = provider_as("vault", &[], &[("VAULT_NAMESPACE", &namespace)]).await?;
        assert_eq!(text(&store.mount(&environment, class).await?)?, "inside");
        Ok(())
    })
}

/// A namespace with an auth method `jwt`, a role `csi` and a secret of its own.
async fn in_namespace(store: &Store, namespace: &str) -> Result<()> {
    let vault = &store.vault;
    let at = |path: &str| format!("{namespace}/{path}");
    vault
        .write(&format!("sys/namespaces/{namespace}"), &json!({}))
        .await?;
    vault
        .write(
            &at("sys/mounts/secret"),
            &json!({"type": "kv", "options": {"version": "2"}}),
        )
        .await?;
    vault
        .write(&at("sys/auth/jwt"), &json!({"type": "jwt"}))
        .await?;
    let config = json!({"jwt_validation_pubkeys": [store.issuer.public_pem()]});
    vault.write(&at("auth/jwt/config"), &config).await?;
    let policy = json!({"policy": "path \"*\" { capabilities = [\"read\"] }"});
    vault.write(&at("sys/policies/acl/reader"), &policy).await?;
    let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "token_policies": ["reader"]});
    vault.write(&at("auth/jwt/role/csi"), &role).await?;
    let secret = json!({"data": {"k": "inside"}});
    let put = async || vault.write(&at("secret/data/n"), &secret).await;
    eventually(SOON, "a KV v2 engine", put).await?;
    Ok(())
}

/// §2 vaultAuthMountPath, §2 vaultKubernetesMountPath, §5 -vault-mount, §14 errors: either name, never both, and an empty one is the default
#[test]
fn the_auth_mount_has_two_names_and_a_default() -> Result<()> {
    run(async {
        let store = store().await?;
        let path = store.secret("mount", &json!({"k": "v"})).await?;
        let mut plain = store.class_of(&path);
        plain.parameters.remove("vaultAuthMountPath");
        let flag = provider(&["-vault-mount", &store.mount]).await?;
        let bare = provider(&[]).await?;
        for (provider, class) in [
            (
                &bare,
                plain.clone().with("vaultAuthMountPath", &store.mount),
            ),
            (
                &bare,
                plain.clone().with("vaultKubernetesMountPath", &store.mount),
            ),
            (&flag, plain.clone()),
            (&flag, plain.clone().with("vaultAuthMountPath", "")),
            (&flag, plain.clone().with("vaultKubernetesMountPath", "")),
        ] {
            assert_eq!(text(&store.mount(provider, class).await?)?, "v");
        }
        let default = failure(&store.mount(&bare, plain.clone()).await?)?;
        has(&default, &["failed to login", "auth/kubernetes"])?;
        let both = plain
            .with("vaultAuthMountPath", "")
            .with("vaultKubernetesMountPath", "");
        let told = failure(&store.mount(&bare, both).await?)?;
        has(
            &told,
            &["cannot set both vaultKubernetesMountPath and vaultAuthMountPath"],
        )
    })
}

/// §2 audience: the driver's token of exactly that audience is sent, and of no other
#[test]
fn an_audience_picks_the_drivers_token() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("audience", &json!({"k": "v"})).await?;
        let role = JwtRole {
            name: "custom",
            audience: Some("https://store.example"),
            subject: None,
            policies: &["everything"],
            ttl: "20m",
        };
        store.issuer.role(&store.vault, &store.mount, &role).await?;
        let class = store.class_of(&path).with("roleName", "custom");
        let custom = class.clone().with("audience", "https://store.example");
        let pod = Pod::new("default", "p")?;
        let both = |class: Class| -> Result<Volume> {
            let mut volume = Volume::new(pod.clone(), class);
            for audience in ["vault", "https://store.example"] {
                volume = volume.with_token(store.issuer.mint(&pod, audience, 900)?);
            }
            Ok(volume)
        };
        assert_eq!(text(&mount(&provider, &both(custom.clone())?).await?)?, "v");
        let wrong = failure(&mount(&provider, &both(class)?).await?)?;
        has(&wrong, &["Unauthenticated: failed to login", "audience"])?;
        let only =
            Volume::new(pod.clone(), custom).with_token(store.issuer.mint(&pod, "vault", 900)?);
        let none = failure(&mount(&provider, &only).await?)?;
        has(&none, &["FailedPrecondition: ", "https://store.example"])
    })
}

/// §2 objects, §14 errors: none, an empty list and bad YAML are told, and no store is asked
#[test]
fn objects_are_needed_and_must_be_a_list() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let nothing = "no secrets configured - the provider will not read any secret material";
        for (objects, expected) in [
            (None, nothing),
            (Some(""), nothing),
            (Some("[]"), nothing),
            (Some("- objectName: [\n"), "objects"),
            (Some("array: []"), "objects"),
        ] {
            let mut class = store.class_of("secret/data/x");
            class.parameters.remove("objects");
            if let Some(objects) = objects {
                class = class.with("objects", objects);
            }
            let told = failure(&store.mount(&provider, class).await?)?;
            has(&told, &["InvalidArgument: ", expected]).with_context(|| format!("{objects:?}"))?;
        }
        Ok(())
    })
}

/// §2 any other key, D22: an unknown parameter is named in the log once and changes nothing
#[test]
fn an_unknown_parameter_is_ignored_with_a_warning() -> Result<()> {
    run(async {
        let (store, mut provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("unknown", &json!({"k": "v"})).await?;
        let class = store
            .class_of(&path)
            .with("kubernetesServiceAccountPath", "/x")
            .with("vaultCAPem", "x")
            .with("vaultAdress", "x")
            .with("secretProviderClass", "c");
        assert_eq!(text(&store.mount(&provider, class).await?)?, "v");
        let log = provider.whole_log().await?;
        has(
            &log,
            &[
                "kubernetesServiceAccountPath",
                "vaultCAPem",
                "did you mean vaultAddress?",
            ],
        )?;
        ensure!(!log.contains("secretProviderClass: is not known"), "{log}");
        Ok(())
    })
}

/// §2 precedence of prefixes, §14 fork prefixes: under both names all prefixes work, and the fork's order counts only there
#[test]
fn prefixes_are_looked_up_in_the_order_of_the_providers_name() -> Result<()> {
    run(async {
        let store = store().await?;
        let path = store.secret("prefix", &json!({"k": "v"})).await?;
        let (vault, openbao) = (
            provider(&[]).await?,
            provider_as("openbao", &[], &[]).await?,
        );
        let bare = Class::new("c").with("objects", &object("o", &path, "secretKey: k"));
        let (good, bad) = (store.vault.address(), NOWHERE);
        // A class that only the prefixes tell apart: role and mount by the same prefix as the address.
        let by = |prefix: &str| {
            bare.clone()
                .with(&format!("{prefix}RoleName"), "csi")
                .with(&format!("{prefix}Address"), good)
                .with(&format!("{prefix}AuthMountPath"), &store.mount)
        };
        for provider in [&vault, &openbao] {
            for prefix in ["vault", "bao", "openbao"] {
                let mounted = serve(store, provider, &openbao, by(prefix)).await;
                ensure!(mounted?, "{prefix} on {}", provider.socket().display());
            }
        }
        for (class, under_vault, under_openbao) in [
            (by("vault").with("baoAddress", bad), true, false),
            (by("bao").with("vaultAddress", bad), false, true),
            (by("openbao").with("vaultAddress", bad), false, true),
            (by("bao").with("openbaoAddress", bad), true, true),
            (by("openbao").with("baoAddress", bad), false, false),
            (by("vault").with("roleName", "nobody"), false, true),
            (by("bao").with("roleName", "nobody"), false, true),
        ] {
            for (provider, expected) in [(&vault, under_vault), (&openbao, under_openbao)] {
                let mounted = serve(store, provider, &openbao, class.clone()).await?;
                ensure!(
                    mounted == expected,
                    "{:?} on {}: {mounted}",
                    class.parameters,
                    provider.socket().display()
                );
            }
        }
        let conflict = by("bao").with("vaultKubernetesMountPath", "kubernetes");
        let told = failure(&mount(&openbao, &volume(store, "openbao", conflict)?).await?)?;
        has(
            &told,
            &["cannot set both openbaoKubernetesMountPath and openbaoAuthMountPath"],
        )?;
        has(
            &vault.log(),
            &["baoAddress: is ignored, because vaultAddress is set"],
        )
    })
}

/// Whether a class mounts. Each provider name looks up a token of its own audience; both are sent.
async fn serve(
    store: &Store,
    provider: &ProviderProcess,
    openbao: &ProviderProcess,
    class: Class,
) -> Result<bool> {
    let audience = if provider.socket() == openbao.socket() {
        "openbao"
    } else {
        "vault"
    };
    Ok(mount(provider, &volume(store, audience, class)?)
        .await?
        .reply
        .is_ok())
}

/// The token that the role takes, under the audience that the provider looks up.
fn volume(store: &Store, audience: &str, class: Class) -> Result<Volume> {
    let mut volume = store.volume(class)?;
    for token in volume.tokens.iter_mut().flatten() {
        audience.clone_into(&mut token.audience);
    }
    Ok(volume)
}

/// §2 attributes of the driver, §14 errors: permission and target path are checked, secrets and mounted versions are not
#[test]
fn of_the_drivers_fields_only_those_that_count_are_checked() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("fields", &json!({"k": "v"})).await?;
        let volume = store.volume(store.class_of(&path))?;
        let driver = provider.driver()?;
        for (target, permission, expected) in [
            ("", "420", "missing target path field"),
            ("/t", "\"420\"", "permission"),
            ("/t", "rw", "permission"),
        ] {
            let mut request = volume.first_mount();
            target.clone_into(&mut request.target_path);
            permission.clone_into(&mut request.permission);
            has(
                &failure(&driver.mount(&request).await?)?,
                &["InvalidArgument: ", expected],
            )?;
        }
        let mut request = volume.clone().with_secret("user", "data").first_mount();
        "384".clone_into(&mut request.permission);
        request
            .current_object_version
            .push(coffer_proto::v1alpha1::ObjectVersion {
                id: "o".to_owned(),
                version: "old".to_owned(),
            });
        let mounted = driver.mount(&request).await?;
        assert_eq!(
            (text(&mounted)?, mounted.modes()?["o"]),
            ("v".to_owned(), 0o600)
        );
        Ok(())
    })
}

/// §2 tokens of the driver: what is no JSON is told without being repeated
#[test]
fn tokens_that_cannot_be_read_are_refused_without_a_word_of_them() -> Result<()> {
    run(async {
        let (store, mut provider) = (store().await?, provider(&[]).await?);
        let class = store.class_of("secret/data/x");
        let volume = Volume::new(Pod::new("default", "p")?, class)
            .with_attribute("csi.storage.k8s.io/serviceAccount.tokens", "{canary-token");
        let told = failure(&mount(&provider, &volume).await?)?;
        has(
            &told,
            &[
                "InvalidArgument: ",
                "failed to unmarshal service account tokens",
            ],
        )?;
        ensure!(
            !told.contains("canary") && !provider.whole_log().await?.contains("canary"),
            "{told}"
        );
        Ok(())
    })
}

/// §2 volumeAttributes, §5 precedence: what the pod's author wrote overrides the class
#[test]
fn volume_attributes_override_the_class() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("attributes", &json!({"k": "v"})).await?;
        let class = store.class_of(&path).with("roleName", "nobody");
        let volume = store.volume(class)?.with_attribute("roleName", "csi");
        assert_eq!(text(&mount(&provider, &volume).await?)?, "v");
        Ok(())
    })
}
