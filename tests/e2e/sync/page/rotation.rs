//! What a new value may do to an old one, under the policy that nobody has to choose: for each type with checks that
//! hold, from bad to bad, to good, to another good one, to a worse one that is held, and to one that no server takes.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use super::{Data, data, data_of, fixture};
use crate::sync::outages::{asked_anew, is_well, refetched, serves_last_good, untouched};
use crate::sync::{Scene, condition_of};
use crate::sync_objects::stored;
use crate::world::run;

/// What one type is taken through. Files have the names of the keys that they become.
struct Course {
    type_: &'static str,
    /// Unusable in the same way, twice.
    bad: [Data; 2],
    /// Without fault.
    good: [Data; 3],
    /// Unusable, and one of the checks that say so.
    worse: (Data, &'static str),
    /// What the API server would refuse.
    refused: Refused,
}

/// How content becomes what the API server refuses.
enum Refused {
    /// By its bytes.
    Bytes(Data),
    /// By its keys: only this one is mapped.
    Key(&'static str),
}

/// Files and keys of the same names.
fn pairs<'k>(keys: impl IntoIterator<Item = &'k str>) -> Value {
    let pair = |key: &str| json!({"sourcePath": key, "targetKey": key});
    keys.into_iter().map(pair).collect()
}

/// From now on the vendor returns these files.
fn put(scene: &Scene, files: &Data) {
    let files = files.iter();
    let files = files.map(|(path, bytes)| (path.clone(), Bytes::from(bytes.clone())));
    scene.vendor.change(|script| script.files = files.collect());
}

impl Course {
    async fn run(self) -> Result<()> {
        let scene = Scene::plain(&[]).await?;
        put(&scene, &self.bad[0]);
        let class = scene.class("c").await?;
        let keys: Vec<(&str, &str)> = self.good[0]
            .keys()
            .map(|key| (key.as_str(), key.as_str()))
            .collect();
        let sync = scene.sync_of("a", self.type_, &keys);
        let sync = scene.create(sync).await?;
        let first = written(&scene, &sync, &self.bad[0]).await?;
        for files in [&self.bad[1], &self.good[0], &self.good[1]] {
            put(&scene, files);
            refetched(&scene, &class, &sync).await?;
            let now = written(&scene, &sync, files).await?;
            ensure!(now["metadata"]["uid"] == first["metadata"]["uid"]);
        }
        self.held(&scene, &class, &sync).await?;
        self.refused(&scene, &class, &sync).await
    }

    /// A worse value is held back until there is a good one.
    async fn held(&self, scene: &Scene, class: &Value, sync: &Value) -> Result<()> {
        let (worse, check) = &self.worse;
        let before = scene.secret("a").await?.context("there is no Secret")?;
        put(scene, worse);
        refetched(scene, class, sync).await?;
        scene.says(sync, "Ready", "True", "Held").await?;
        scene
            .says(sync, "SecretUpdated", "False", "ControllerSyncError")
            .await?;
        let held = scene
            .says(sync, "coffer.rs/Held", "True", "SemanticRegression")
            .await?;
        let message = held["message"].as_str().unwrap_or_default();
        ensure!(message.contains(check), "{message}");
        scene.told("a", "SyncHeld").await?;
        untouched(scene, &before).await?;

        put(scene, &self.good[2]);
        refetched(scene, class, sync).await?;
        written(scene, sync, &self.good[2]).await?;
        let now = stored(&scene.ground.admin, sync).await?;
        let held = condition_of(&now, "coffer.rs/Held");
        ensure!(held.is_none(), "{}", now["status"]);
        Ok(())
    }

    /// What no server takes is not sent, and is no reason to lose what is there.
    async fn refused(&self, scene: &Scene, class: &Value, sync: &Value) -> Result<()> {
        let before = scene.secret("a").await?.context("there is no Secret")?;
        match &self.refused {
            Refused::Bytes(files) => {
                put(scene, files);
                refetched(scene, class, sync).await?;
            }
            Refused::Key(key) => {
                let mut files = self.good[2].clone();
                files.entry((*key).to_owned()).or_insert(b"x".to_vec());
                put(scene, &files);
                asked_anew(scene, class).await?;
                let data = json!({"spec": {"secretObject": {"data": pairs([*key])}}});
                scene.merge(sync, &data).await?;
            }
        }
        let told = serves_last_good(scene, sync, "ControllerPatchError").await?;
        ensure!(told.starts_with("InvalidData: "), "{told}");
        untouched(scene, &before).await?;

        put(scene, &self.good[2]);
        let keys = self.good[2].keys().map(String::as_str);
        let data = json!({"spec": {"secretObject": {"data": pairs(keys)}}});
        scene.merge(sync, &data).await?;
        refetched(scene, class, sync).await?;
        is_well(scene, sync).await?;
        untouched(scene, &before).await
    }
}

/// Waits until the Secret holds exactly this and all is well.
async fn written(scene: &Scene, sync: &Value, files: &Data) -> Result<Value> {
    let same = |secret: &Value| data(secret) == *files;
    let secret = scene.until("a", "the new content", same).await?;
    is_well(scene, sync).await?;
    Ok(secret)
}

fn tls(crt: &[u8], key: &[u8]) -> Data {
    data_of(&[("tls.crt", crt), ("tls.key", key)])
}

/// Types §7, rotation matrix.
#[test]
fn a_tls_pair_is_replaced_by_no_worse_one() -> Result<()> {
    let example = |key: &[u8]| tls(fixture!("page.tls.crt"), key);
    run(Course {
        type_: "kubernetes.io/tls",
        bad: [
            example(b"Example data for the TLS crt field"),
            example(b"Other data for the TLS crt field"),
        ],
        good: [
            tls(fixture!("leaf.crt"), fixture!("leaf.key")),
            tls(fixture!("p256.crt"), fixture!("p256.sec1.key")),
            tls(fixture!("p521.crt"), fixture!("p521.key")),
        ],
        worse: (example(b"no key at all"), "tls.expired"),
        refused: Refused::Key("tls.crt"),
    }
    .run())
}

fn ssh(key: &[u8]) -> Data {
    data_of(&[("ssh-privatekey", key)])
}

/// Types §7, rotation matrix.
#[test]
fn an_ssh_key_is_replaced_by_no_worse_one() -> Result<()> {
    run(Course {
        type_: "kubernetes.io/ssh-auth",
        bad: [
            ssh(b"Pouring6%Emoticon%Scuba"),
            ssh(b"Raining7%Other%Words"),
        ],
        good: [
            ssh(fixture!("ssh.ed25519")),
            ssh(fixture!("ssh.p521")),
            ssh(fixture!("ssh.rsa")),
        ],
        worse: (ssh(fixture!("ssh.encrypted")), "ssh.encrypted"),
        refused: Refused::Bytes(ssh(b"")),
    }
    .run())
}

fn login(username: &str, password: &str) -> Data {
    data_of(&[("username", username), ("password", password)])
}

/// Types §7, rotation matrix.
#[test]
fn a_login_is_replaced_by_no_worse_one() -> Result<()> {
    run(Course {
        type_: "kubernetes.io/basic-auth",
        bad: [login("ad:min", "one"), login("us:er", "two")],
        good: [
            login("admin", "t0p-Secret"),
            login("admin", "t0p-Secret-2"),
            login("root", "t0p-Secret-3"),
        ],
        worse: (login("ad:min", "four"), "basic.colon"),
        refused: Refused::Key("extra"),
    }
    .run())
}

fn docker(text: &str) -> Data {
    data_of(&[(".dockerconfigjson", text)])
}

/// Types §7, rotation matrix.
#[test]
fn registry_credentials_are_replaced_by_no_worse_ones() -> Result<()> {
    let of = |host: &str, auth: &str| {
        docker(&format!(
            "{{\"auths\":{{\"{host}\":{{\"auth\":\"{auth}\"}}}}}}"
        ))
    };
    run(Course {
        type_: "kubernetes.io/dockerconfigjson",
        bad: [of("r.example", "opensesame"), of("s.example", "opensesame")],
        good: [
            of("r.example", "dTpwMQ=="),
            of("r.example", "dTpwMg=="),
            of("s.example", "dTpwMw=="),
        ],
        worse: (of("r.example", "opensesame"), "docker.auth"),
        refused: Refused::Bytes(docker("[]")),
    }
    .run())
}
