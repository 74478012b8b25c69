//! What stores keep, made into what types require, from a provider's files to the bytes of a Secret.
//!
//! Faults of inputs are in the core's own tests, but for one that shows where people read of it.

use anyhow::{Context, Result, ensure};
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use serde_json::json;

use super::{Data, advice, data, data_of, fixture};
use crate::sync::Scene;
use crate::sync::outages::is_well;
use crate::world::run;

const TLS: &str = "kubernetes.io/tls";
const DOCKER: &str = "kubernetes.io/dockerconfigjson";
/// What kubectl makes of the page's example.
const TIGER: &str = "\"my-registry.example:5000\":{\"username\":\"tiger\",\"password\":\"pass1234\",\
                     \"email\":\"tiger@acme.example\",\"auth\":\"dGlnZXI6cGFzczEyMzQ=\"}";

/// A Secret that is made of files.
struct Made {
    name: &'static str,
    type_: &'static str,
    /// File and key.
    pairs: &'static [(&'static str, &'static str)],
    files: Data,
    expected: Data,
    /// Ids of checks.
    told: &'static [&'static str],
}

/// Has all of them made from one answer.
async fn all_made(made: &[Made]) -> Result<()> {
    let scene = Scene::plain(&[]).await?;
    for one in made {
        for (path, bytes) in &one.files {
            scene
                .vendor
                .put(&format!("{}/{path}", one.name), bytes.clone());
        }
    }
    scene.class("c").await?;
    for one in made {
        let name = one.name;
        let pairs: Vec<(String, &str)> = one
            .pairs
            .iter()
            .map(|(file, key)| (format!("{name}/{file}"), *key))
            .collect();
        let pairs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(file, key)| (file.as_str(), *key))
            .collect();
        let sync = scene.create(scene.sync_of(name, one.type_, &pairs)).await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await;
        let ready = ready.context(name)?;
        let secret = scene.secret(name).await?.context("there is no Secret")?;
        ensure!(secret["type"] == one.type_, "{name}: {}", secret["type"]);
        let found = data(&secret);
        let keys: Vec<&String> = found.keys().collect();
        ensure!(found == one.expected, "{name}: other bytes under {keys:?}");
        let message = ready["message"].as_str().unwrap_or_default();
        ensure!(advice(message) == one.told, "{name}: {message}");
        is_well(&scene, &sync).await?;
    }
    Ok(())
}

/// Types §5, rows "tls": bundles, PFX files of every age, the answer of a PKI, and Ed25519.
#[test]
fn pairs_are_made_of_what_stores_keep() -> Result<()> {
    let [leaf, key] = [fixture!("leaf.crt"), fixture!("leaf.key")];
    let [int, root] = [fixture!("int.crt"), fixture!("root.crt")];
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let chain = [leaf, int].concat();
    let pair = data_of(&[("tls.crt", &chain[..]), ("tls.key", key)]);
    let with_root = data_of(&[("tls.crt", &chain[..]), ("tls.key", key), ("ca.crt", root)]);
    let answer = json!({
        "certificate": text(leaf),
        "private_key": text(key),
        "issuing_ca": text(int),
        "ca_chain": [text(int), text(root)],
    });
    let inside = json!({"request_id": "x", "data": answer});
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519)?;
    let params = CertificateParams::new(vec!["a.example".to_owned()])?;
    let crt = params.self_signed(&ed25519)?.pem();
    let ed25519 = ed25519.serialize_pem();
    let pfx = |file: &[u8]| data_of(&[("pfx", file), ("password", &b"made-up\n"[..])]);
    let pfx_pairs = &[("pfx", "tls.pfx"), ("password", "tls.pfx-password")];
    let of = |name, pairs: &'static [(&'static str, &'static str)], files, expected: &Data| Made {
        name,
        type_: TLS,
        pairs,
        files,
        expected: expected.clone(),
        told: &[],
    };
    let made = [
        of(
            "same-file",
            &[("bundle", "tls.crt"), ("bundle", "tls.key")],
            data_of(&[("bundle", [key, leaf, int].concat())]),
            &pair,
        ),
        of(
            "ed25519",
            &[("bundle", "tls.crt"), ("bundle", "tls.key")],
            data_of(&[("bundle", format!("{crt}{ed25519}"))]),
            &data_of(&[("tls.crt", &crt), ("tls.key", &ed25519)]),
        ),
        of(
            "pem",
            &[("bundle", "tls.pem")],
            data_of(&[("bundle", [root, int, leaf, key].concat())]),
            &with_root,
        ),
        of("pfx-aes", pfx_pairs, pfx(fixture!("aes.pfx")), &with_root),
        of("pfx-rc2", pfx_pairs, pfx(fixture!("rc2.pfx")), &with_root),
        of("pfx-3des", pfx_pairs, pfx(fixture!("3des.pfx")), &with_root),
        of(
            "json",
            &[("answer", "tls.json")],
            data_of(&[("answer", answer.to_string())]),
            &with_root,
        ),
        of(
            "json-inside",
            &[("answer", "tls.json")],
            data_of(&[("answer", inside.to_string())]),
            &with_root,
        ),
    ];
    run(all_made(&made))
}

/// Types §5, rows "basic-auth", "ssh-auth", "dockerconfigjson, dockercfg".
#[test]
fn logins_keys_and_registries_are_made_of_what_stores_keep() -> Result<()> {
    let ssh = fixture!("ssh.ed25519");
    let windows = String::from_utf8_lossy(ssh).replace('\n', "\r\n");
    let tiger = data_of(&[
        ("registry", "my-registry.example:5000\n"),
        ("username", "tiger\n"),
        ("password", "pass1234\n"),
        ("email", "tiger@acme.example\n"),
    ]);
    let tiger_pairs = &[
        ("registry", "registry"),
        ("username", "username"),
        ("password", "password"),
        ("email", "email"),
    ];
    let old = "{ \"auths\" : { \"z.example\" : { \"auth\" : \"dTpw\" } } }";
    let new = format!("{{\"auths\":{{{TIGER}}}}}");
    let merged = format!("{{\"auths\":{{{TIGER},\"z.example\":{{\"auth\":\"dTpw\"}}}}}}");
    let hub = "{\"auths\":{\"https://index.docker.io/v1/\":{\"username\":\"u\",\"password\":\"p\",\"auth\":\"dTpw\"}}}";
    let made = [
        Made {
            name: "userinfo",
            type_: "kubernetes.io/basic-auth",
            pairs: &[("login", "userinfo")],
            files: data_of(&[("login", "admin:t0p:Secret\n")]),
            expected: data_of(&[("username", "admin"), ("password", "t0p:Secret")]),
            told: &[],
        },
        Made {
            name: "ssh-pem",
            type_: "kubernetes.io/ssh-auth",
            pairs: &[("key", "ssh-pem"), ("hosts", "known_hosts")],
            files: data_of(&[
                ("key", windows.trim_end()),
                ("hosts", "a.example ssh-ed25519 x"),
            ]),
            expected: data_of(&[
                ("ssh-privatekey", ssh),
                ("known_hosts", &b"a.example ssh-ed25519 x"[..]),
            ]),
            told: &[],
        },
        Made {
            name: "tiger",
            type_: DOCKER,
            pairs: tiger_pairs,
            files: tiger.clone(),
            expected: data_of(&[(".dockerconfigjson", &new)]),
            told: &[],
        },
        Made {
            name: "tiger-of-old",
            type_: "kubernetes.io/dockercfg",
            pairs: tiger_pairs,
            files: tiger,
            expected: data_of(&[(".dockercfg", format!("{{{TIGER}}}"))]),
            told: &[],
        },
        Made {
            name: "hub",
            type_: DOCKER,
            pairs: &[
                ("registry", "registry"),
                ("username", "username"),
                ("password", "password"),
            ],
            files: data_of(&[("registry", ""), ("username", "u"), ("password", "p")]),
            expected: data_of(&[(".dockerconfigjson", hub)]),
            told: &[],
        },
        Made {
            name: "merged",
            type_: DOCKER,
            pairs: &[
                ("old", ".dockerconfigjson.0"),
                ("new", ".dockerconfigjson.1"),
            ],
            files: data_of(&[("old", old), ("new", &new)]),
            expected: data_of(&[(".dockerconfigjson", &merged)]),
            told: &[],
        },
        Made {
            name: "merged-with-a-login",
            type_: DOCKER,
            pairs: &[
                ("old", ".dockerconfigjson.7"),
                ("registry", "registry.1"),
                ("username", "username.1"),
                ("password", "password.1"),
                ("email", "email.1"),
            ],
            files: data_of(&[
                ("old", old),
                ("registry", "my-registry.example:5000"),
                ("username", "tiger"),
                ("password", "pass1234"),
                ("email", "tiger@acme.example"),
            ]),
            expected: data_of(&[(".dockerconfigjson", &merged)]),
            told: &[],
        },
    ];
    run(all_made(&made))
}

/// Types §5: what could be made of two inputs is made of none.
#[test]
fn inputs_that_contradict_each_other_make_nothing() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        let bundle = [fixture!("leaf.key"), fixture!("leaf.crt")].concat();
        scene.vendor.put("bundle", bundle);
        scene.vendor.put("crt", fixture!("leaf.crt").to_vec());
        scene.class("c").await?;
        let pairs = [("bundle", "tls.pem"), ("crt", "tls.crt")];
        let sync = scene.create(scene.sync_of("a", TLS, &pairs)).await?;
        let reason = "RemoteSecretStoreFetchFailed";
        let created = scene.says(&sync, "SecretCreated", "False", reason).await?;
        let message = created["message"].as_str().unwrap_or_default();
        ensure!(message.contains("BuilderAmbiguous"), "{message}");
        scene.says(&sync, "Ready", "False", reason).await?;
        ensure!(scene.secret("a").await?.is_none());
        Ok(())
    })
}
