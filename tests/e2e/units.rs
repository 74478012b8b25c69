//! What the peers test beside their code, seen from outside: caches, paths, requests, replies over time.

use std::fs;
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result, ensure};
use coffer_proto::v1alpha1::MountRequest;
use coffer_tests::driver::{Pod, Volume};
use coffer_tests::fixture::{directory, eventually, repository};
use coffer_tests::provider::ProviderProcess;
use coffer_tests::scripted::{Reply, ScriptedStore};
use coffer_tests::vault::JwtAuth;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::stage::{
    SOON, failure, has, mount, object, provider, scripted_class, scripted_volume, settled, text,
    texts,
};
use crate::world::{run, store};

/// §14 listener: a socket file that a dead process left is replaced
#[test]
fn a_stale_socket_is_replaced() -> Result<()> {
    run(async {
        let place = directory("stale")?;
        let socket = place.path().join("vault.sock");
        drop(UnixListener::bind(&socket)?);
        let arguments = ["--kubeconfig", "off", "--hmac-source", "generate"];
        let provider = settled(ProviderProcess::start_on(&socket, &arguments, &[]).await?).await?;
        assert_eq!(provider.driver()?.version().await?.version, "v1alpha1");
        Ok(())
    })
}

/// §14 mount, D4: files and versions are the same while nothing changes; other content has other versions in a new process too
#[test]
fn versions_follow_the_bytes_over_processes() -> Result<()> {
    run(async {
        let store = store().await?;
        let place = directory("versions")?;
        let key = place.path().join("key");
        fs::write(&key, "a key of the operator's")?;
        let key = key.display().to_string();
        let start = async || provider(&["--hmac-key-file", &key]).await;
        let path = store
            .secret("three", &json!({"k": "one", "b64": "aGVsbG8="}))
            .await?;
        let objects = object("key", &path, "secretKey: k")
            + &object("whole", &path, "")
            + &object("decoded", &path, "secretKey: b64, encoding: base64");
        let volume = store.volume(store.class(&objects))?;
        let (first, second) = (start().await?, start().await?);
        let mounted = mount(&first, &volume).await?;
        let versions = mounted.versions()?;
        let distinct: std::collections::BTreeSet<&String> = versions.values().collect();
        assert_eq!(
            (distinct.len(), texts(&mounted)?["decoded"].as_str()),
            (3, "hello")
        );
        for provider in [&first, &second, &first] {
            let again = mount(provider, &volume).await?;
            assert_eq!(
                (again.versions()?, texts(&again)?),
                (versions.clone(), texts(&mounted)?)
            );
        }
        let name = path.trim_start_matches("secret/data/");
        store
            .vault
            .kv2_put("secret", name, &json!({"k": "two", "b64": "aGVsbG8="}))
            .await?;
        let changed = mount(&start().await?, &volume).await?.versions()?;
        ensure!(changed["key"] != versions["key"] && changed["whole"] != versions["whole"]);
        assert_eq!(changed["decoded"], versions["decoded"]);
        Ok(())
    })
}

/// §14 token cache, D7, D31: parallel callers, other objects, tokens and pods share one login and a few connections
#[test]
fn callers_of_one_account_share_a_login_and_connections() -> Result<()> {
    run(async {
        let scripted = ScriptedStore::start().await?;
        scripted.put("secret/data/x", json!({"k": "v", "l": "w"}));
        let issuer = JwtAuth::new("https://issuer.test")?;
        let place = directory("jwks")?;
        let jwks = place.path().join("jwks.json");
        fs::write(&jwks, issuer.jwks().to_string())?;
        let provider = provider(&["--jwks-file", &jwks.display().to_string()]).await?;
        let volume = |pod: &Pod, key: &str| -> Result<Volume> {
            let class = scripted_class(
                &scripted,
                &object("o", "secret/data/x", &format!("secretKey: {key}")),
            );
            Ok(Volume::new(pod.clone(), class).with_token(issuer.mint(pod, "vault", 900)?))
        };
        let warm = Pod::new("default", "warm")?.with_service_account("warm");
        eventually(SOON, "the keys that prove tokens", async || {
            let before = scripted.logins();
            mount(&provider, &volume(&warm, "k")?).await?.response()?;
            ensure!(scripted.logins() == before);
            Ok(())
        })
        .await?;
        scripted.forget_requests();
        let pod = Pod::new("default", "p")?;
        let (shared, driver) = (volume(&pod, "k")?, provider.driver()?);
        let calls = (0..100).map(async |_| driver.mount(&shared.first_mount()).await);
        for mounted in try_join_all(calls).await? {
            assert_eq!(text(&mounted)?, "v");
        }
        assert_eq!(scripted.logins(), 1, "parallel callers");
        assert_eq!(text(&mount(&provider, &volume(&pod, "l")?).await?)?, "w");
        assert_eq!(scripted.logins(), 1, "another token, other objects");
        for n in 0..50 {
            let other = Pod::new("default", &format!("p{n}"))?;
            assert_eq!(text(&mount(&provider, &volume(&other, "k")?).await?)?, "v");
        }
        assert_eq!(scripted.logins(), 1, "other pods");
        ensure!(
            scripted.connections() <= 70,
            "{} connections",
            scripted.connections()
        );
        let before = scripted.connections();
        for _ in 0..50 {
            let other = Pod::new("default", "q")?;
            mount(&provider, &volume(&other, "k")?).await?.response()?;
        }
        // A connection may come back to the pool a moment after its answer.
        let more = scripted.connections() - before;
        ensure!(more <= 5, "{more} new connections for 50 mounts in a row");
        let stranger = Pod::new("default", "p")?.with_service_account("other");
        assert_eq!(
            text(&mount(&provider, &volume(&stranger, "k")?).await?)?,
            "v"
        );
        assert_eq!(scripted.logins(), 2, "another account");
        Ok(())
    })
}

/// §14 client: a first mount is one login and one read, a dead token costs one login more, and a denial ends
#[test]
fn logins_and_reads_are_as_few_as_can_be() -> Result<()> {
    run(async {
        let scripted = ScriptedStore::start().await?;
        scripted.put("secret/data/x", json!({"k": "v"}));
        let provider = provider(&[]).await?;
        let volume = scripted_volume(scripted_class(
            &scripted,
            &object("o", "secret/data/x", "secretKey: k"),
        ))?;
        let seen = || (scripted.logins(), scripted.count("/v1/secret/data/x"));
        mount(&provider, &volume).await?.response()?;
        assert_eq!(seen(), (1, 1));
        scripted.revoke_all();
        scripted.forget_requests();
        assert_eq!(text(&mount(&provider, &volume).await?)?, "v");
        assert_eq!(seen(), (1, 2));
        scripted.on(
            "/v1/secret/data/x",
            Reply::errors(403, &["permission denied"]),
        );
        scripted.forget_requests();
        for _ in 0..10 {
            has(
                &failure(&mount(&provider, &volume).await?)?,
                &["PermissionDenied: ", "permission denied", "Code: 403"],
            )?;
        }
        assert_eq!(scripted.logins(), 0);
        Ok(())
    })
}

/// §14 path, §14 request: what goes over the wire for each spelling of path, query, method and body
#[test]
fn paths_and_requests_go_out_as_the_peers_send_them() -> Result<()> {
    run(async {
        let scripted = ScriptedStore::start().await?;
        scripted.rule(|arrived| (!arrived.is_login()).then(|| Reply::data(&json!({"k": "v"}))));
        let provider = provider(&[]).await?;
        for (path, rest, expected) in [
            ("a/b", "", ("GET", "/v1/a/b", "", "")),
            ("/a/b", "", ("GET", "/v1/a/b", "", "")),
            ("v1/a/b", "", ("GET", "/v1/a/b", "", "")),
            ("/v1/a/b", "", ("GET", "/v1/a/b", "", "")),
            ("1/a", "", ("GET", "/v1/1/a", "", "")),
            ("2*/v1/a", "", ("GET", "/v1/2*/v1/a", "", "")),
            ("v2/a", "", ("GET", "/v1/v2/a", "", "")),
            ("a//b/./c/", "", ("GET", "/v1/a/b/c", "", "")),
            ("a?", "", ("GET", "/v1/a", "", "")),
            ("a?version=1", "", ("GET", "/v1/a", "version=1", "")),
            ("a?x=1&y=%20z&x=2", "", ("GET", "/v1/a", "x=1&x=2&y=+z", "")),
            ("a", "method: LIST", ("LIST", "/v1/a", "", "")),
            ("a", "method: POST", ("POST", "/v1/a", "", "")),
            (
                "a",
                "method: PUT, secretArgs: {b: 1, a: [x, {c: ~}]}",
                ("PUT", "/v1/a", "", r#"{"a":["x",{"c":null}],"b":1}"#),
            ),
            (
                "a",
                "method: PUT, secretArgs: {}",
                ("PUT", "/v1/a", "", "{}"),
            ),
            (
                "a",
                "secretArgs: {q: yes}",
                ("GET", "/v1/a", "", r#"{"q":"yes"}"#),
            ),
        ] {
            scripted.forget_requests();
            let objects = object("o", path, &format!("secretKey: k, {rest}"));
            mount(
                &provider,
                &scripted_volume(scripted_class(&scripted, &objects))?,
            )
            .await?
            .response()?;
            let requests = scripted.requests();
            let sent = requests
                .iter()
                .find(|request| !request.is_login())
                .context("nothing was read")?;
            let body = String::from_utf8_lossy(&sent.body);
            let seen = (
                sent.method.as_str(),
                sent.path.as_str(),
                sent.query.as_str(),
                body.as_ref(),
            );
            assert_eq!(seen, expected, "{path} {rest}");
        }
        Ok(())
    })
}

/// §6 login: what a login sends, and to which mount
#[test]
fn a_login_sends_role_and_token_to_the_mount() -> Result<()> {
    run(async {
        let scripted = ScriptedStore::start().await?;
        scripted.put("secret/data/x", json!({"k": "v"}));
        let provider = provider(&[]).await?;
        let objects = object("o", "secret/data/x", "secretKey: k");
        let class = scripted_class(&scripted, &objects).with("vaultAuthMountPath", "team/jwt");
        mount(&provider, &scripted_volume(class)?)
            .await?
            .response()?;
        let login = &scripted.requests()[0];
        assert_eq!(
            (login.method.as_str(), login.path.as_str()),
            ("POST", "/v1/auth/team/jwt/login")
        );
        assert_eq!(login.json(), json!({"role": "csi", "jwt": "not.a.jwt"}));
        Ok(())
    })
}

/// §14 parse, §2 attributes of the driver: every captured request of drivers 1.5.6 and 1.6.0 is understood
#[test]
fn captured_requests_of_the_driver_are_understood() -> Result<()> {
    run(async {
        let scripted = ScriptedStore::start().await?;
        scripted
            .rule(|arrived| (!arrived.is_login()).then(|| Reply::data(&json!({"bar": "hello"}))));
        let provider = provider(&[]).await?;
        let driver = provider.driver()?;
        let mut seen = 0;
        for entry in fs::read_dir(repository().join("tests/wire/corpus"))? {
            let path = entry?.path();
            if path.extension().is_none_or(|kind| kind != "json") {
                continue;
            }
            let case: Value = serde_json::from_slice(&fs::read(&path)?)?;
            let field = |name: &str| case["request"][name].as_str().unwrap_or_default();
            let request = MountRequest {
                attributes: field("attributes")
                    .replace("http://vault.vault:8200", &scripted.address()),
                secrets: field("secrets").to_owned(),
                target_path: field("target_path").to_owned(),
                permission: field("permission").to_owned(),
                current_object_version: Vec::new(),
            };
            let outcome = driver.mount_raw(&request).await;
            if let Err(status) = &outcome.reply {
                let told = format!(
                    "{}: {:?}: {}",
                    path.display(),
                    status.code(),
                    status.message()
                );
                // What a class lacks and where no token is may be told; the request itself is always read.
                let about_the_class = [
                    "no secrets configured",
                    "missing 'roleName'",
                    "none can be requested",
                    "objects[",
                    "is not a method",
                ];
                ensure!(
                    about_the_class.iter().any(|part| told.contains(part)),
                    "{told}"
                );
            }
            seen += 1;
        }
        ensure!(seen >= 20, "only {seen} requests");
        Ok(())
    })
}
