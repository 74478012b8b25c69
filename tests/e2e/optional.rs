//! Objects that may be absent: what is left out, what is said of it, and what `optional` does not cover.
//!
//! A Mount that only scripted answers can show is in `it`; the syntax is in `attributes`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::{Kubelet, Published};
use coffer_tests::vault::{JwtRole, Policy};
use serde_json::{Value, json};

use crate::stage::{failure, has, object, provider, texts, unique};
use crate::world::{Store, run, store};

/// What no log may hold.
const CANARY: &str = "canary-8d1f02";

/// What the log says of absent objects.
const LEFT_OUT: &str = "optional objects do not exist and are left out";

/// A KV v2 secret whose first version is destroyed and whose second is deleted; the third holds `k`.
async fn secret_with_lost_versions(store: &Store) -> Result<String> {
    let name = unique("lost");
    for _ in 0..3 {
        let data = json!({"k": CANARY});
        store.vault.kv2_put("secret", &name, &data).await?;
    }
    for (verb, version) in [("destroy", 1), ("delete", 2)] {
        let path = format!("secret/{verb}/{name}");
        let body = json!({"versions": [version]});
        store.vault.write(&path, &body).await?;
    }
    Ok(format!("secret/data/{name}"))
}

/// The lines of a JSON log with this message.
fn lines(log: &str, message: &str) -> Vec<Value> {
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    lines
        .filter(|line: &Value| line["msg"] == message)
        .collect()
}

/// D25, §3 optional: an absent path, version or key of an optional object is left out, and the log says so once
#[test]
fn optional_objects_that_do_not_exist_are_left_out() -> Result<()> {
    run(async {
        let (store, mut provider) = (store().await?, provider(&[]).await?);
        let path = secret_with_lost_versions(store).await?;
        let absent = [
            ("path", format!("{path}-none"), "secretKey: k"),
            ("engine", "no-such-engine/x".to_owned(), "secretKey: k"),
            ("destroyed", format!("{path}?version=1"), "secretKey: k"),
            ("deleted", format!("{path}?version=2"), "output: data"),
            ("future", format!("{path}?version=9"), ""),
            ("key", path.clone(), "secretKey: none"),
        ];
        let mut objects = object("needed", &path, "secretKey: k")
            + &object("there", &path, "secretKey: k, optional: true");
        for (name, path, rest) in &absent {
            let comma = if rest.is_empty() { "" } else { ", " };
            objects += &object(name, path, &format!("optional: true{comma}{rest}"));
        }
        let volume = store.volume(store.class(&objects))?;
        let driver = provider.driver()?;
        for _ in 0..3 {
            let outcome = driver.mount(&volume.first_mount()).await?;
            let files = texts(&outcome).with_context(|| provider.log())?;
            let found: Vec<&str> = files.keys().map(String::as_str).collect();
            assert_eq!(found, ["needed", "there"]);
            assert_eq!(outcome.versions()?.len(), 2);
        }
        let log = provider.whole_log().await?;
        ensure!(!log.contains(CANARY), "the log holds a value");
        let told = lines(&log, LEFT_OUT);
        let [line] = told.as_slice() else {
            anyhow::bail!("{} lines: {told:?}", told.len())
        };
        assert_eq!(line["level"], "info");
        for (name, path, _) in &absent {
            let (path, _) = path.split_once('?').unwrap_or((path, ""));
            let (name, path) = (format!("\"{name}\""), format!("(path {path})"));
            has(line["absent"].as_str().unwrap_or_default(), &[&name, &path])?;
        }
        let mounted = lines(&log, "mounted");
        let numbers = (&mounted[0]["objects"], &mounted[0]["absent"]);
        assert_eq!(numbers, (&json!(2), &json!(6)));
        Ok(())
    })
}

/// D25, §3 optional: a needed object that fails is named, an optional one beside it that is absent is not
#[test]
fn an_optional_object_does_not_excuse_a_needed_one() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("needed", &json!({"k": "v"})).await?;
        let objects = object("there", &path, "secretKey: k")
            + &object("maybe", &path, "secretKey: none, optional: true")
            + &object("needed", &path, "secretKey: none, optional: false");
        let told = failure(&store.mount(&provider, store.class(&objects)).await?)?;
        has(&told, &["NotFound: object \"needed\"", "[not_found]"])?;
        ensure!(!told.contains("maybe"), "{told}");
        Ok(())
    })
}

/// D25, §3 optional: when every object is optional and absent the mount fails and names them
#[test]
fn a_mount_without_any_file_fails() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("all", &json!({"k": "v"})).await?;
        let objects = object("one", &path, "secretKey: none, optional: true")
            + &object("two", &format!("{path}-none"), "optional: true");
        let told = failure(&store.mount(&provider, store.class(&objects)).await?)?;
        let expected = [
            "NotFound: 2 of 2 objects failed",
            "\"one\"",
            "\"two\"",
            "all objects of the class are optional and absent",
            "[not_found]",
        ];
        has(&told, &expected)
    })
}

/// D25, §3 optional: the file comes with its object at the next republish, and goes with it
#[test]
fn an_optional_file_comes_and_goes_with_its_object() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("comes", &json!({"k": "v"})).await?;
        let (name, late) = (unique("late"), |name: &str| format!("secret/data/{name}"));
        let objects = object("needed", &path, "secretKey: k")
            + &object("late", &late(&name), "secretKey: k, optional: true");
        let volume = store.volume(store.class(&objects))?;
        let mut node = Kubelet::new(provider.driver()?, volume, Duration::ZERO)?;
        let found =
            |node: &Kubelet| -> Result<Vec<String>> { Ok(node.files()?.into_keys().collect()) };
        ensure!(matches!(node.publish().await?, Published::Written));
        assert_eq!(found(&node)?, ["needed"]);
        store
            .vault
            .kv2_put("secret", &name, &json!({"k": "new"}))
            .await?;
        ensure!(matches!(node.publish().await?, Published::Written));
        assert_eq!(node.files()?["late"], "new");
        assert_eq!(found(&node)?, ["late", "needed"]);
        store.vault.delete(&late(&name)).await?;
        ensure!(matches!(node.publish().await?, Published::Written));
        assert_eq!(found(&node)?, ["needed"]);
        Ok(())
    })
}

/// §3 optional: what exists but is denied, or cannot be decoded, fails the mount all the same
#[test]
fn optional_covers_neither_a_denial_nor_a_bad_value() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("covered", &json!({"k": "v"})).await?;
        let denied = store.secret("denied", &json!({"k": "v"})).await?;
        let role = unique("optional");
        store.vault.policy(&role, &Policy::read(&[&path])).await?;
        let bound = JwtRole {
            name: &role,
            audience: Some("vault"),
            subject: None,
            policies: &[&role],
            ttl: "20m",
        };
        store
            .issuer
            .role(&store.vault, &store.mount, &bound)
            .await?;
        for (asked, rest, expected) in [
            (
                &denied,
                "secretKey: k",
                "PermissionDenied: object \"maybe\"",
            ),
            (
                &path,
                "secretKey: k, encoding: hex",
                "FailedPrecondition: object \"maybe\"",
            ),
        ] {
            let objects = object("needed", &path, "secretKey: k")
                + &object("maybe", asked, &format!("{rest}, optional: true"));
            let class = store.class(&objects).with("roleName", &role);
            has(
                &failure(&store.mount(&provider, class).await?)?,
                &[expected],
            )?;
        }
        Ok(())
    })
}
