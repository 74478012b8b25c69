//! `mount`: what it writes, what it says, what it never says, and how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::Class;
use coffer_tests::fixture::{free_port, repository};
use coffer_tests::vault::{JwtRole, Policy, Vault};
use rustix::fs::statfs;
use serde_json::json;

use super::{Desk, Told, manifest, run, run_with, text_of};
use crate::engines::pki;
use crate::stage::{object, unique};
use crate::world::{self, Store, store};

/// What must not be told unless it is asked for.
const CANARY: &str = "canary-5e3c7e";

/// A directory in memory; the kernel removes nothing there, so the test does.
pub(super) fn in_memory() -> Result<tempfile::TempDir> {
    Ok(tempfile::Builder::new()
        .prefix("coffer-cli-")
        .tempdir_in("/dev/shm")?)
}

/// `f_type` of tmpfs and ramfs (linux/magic.h).
const IN_MEMORY: [i64; 2] = [0x0102_1994, 0x8584_58f6];

/// A directory on a disk: where the tests are built, or wherever else there is one.
fn on_disk() -> Result<tempfile::TempDir> {
    let test = std::env::current_exe()?;
    let built = test.parent().context("a test without a directory")?;
    let places = [built, repository(), Path::new("/var/tmp")];
    let place = places
        .iter()
        .find(|place| statfs(**place).is_ok_and(|fs| !IN_MEMORY.contains(&fs.f_type)))
        .with_context(|| format!("this test needs a directory on a disk: none of {places:?} is"))?;
    Ok(tempfile::Builder::new()
        .prefix("coffer-cli-")
        .tempdir_in(place)?)
}

fn mode(path: &Path) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[test]
fn a_class_is_mounted_with_a_service_account_token_and_the_login_given_back() -> Result<()> {
    world::run(async {
        let (store, desk, out) = (store().await?, Desk::new()?, in_memory()?);
        let path = store.secret("cli", &json!({"k": CANARY})).await?;
        let role = role_of_its_own(store).await?;
        let objects = [
            object("o", &path, "secretKey: k, filePermission: 0444"),
            object("d/e", &path, "secretKey: k"),
        ];
        let class = store.class(&objects.concat()).with("roleName", &role);
        let (class, token) = (desk.class("c.yaml", &class)?, desk.token(store, "vault")?);
        let place = out.path().join("files");
        let told = run(&[
            "mount",
            &class,
            "--token-file",
            &token,
            "--out",
            &text_of(&place),
        ])?;
        told.expect(0, &["2 files", "0444", "d/e"])?;
        ensure!(told.err.is_empty(), "{told:?}");
        ensure!(!told.out.contains(CANARY), "{told:?}");
        for file in ["o", "d/e"] {
            assert_eq!(fs::read_to_string(place.join(file))?, CANARY);
            assert_eq!(mode(&place.join(file))?, 0o600);
        }
        for directory in ["", "d"] {
            assert_eq!(mode(&place.join(directory))?, 0o700);
        }
        assert_eq!(logins(store, &role).await?, 0);
        // So does a Mount that fails behind its login, and a look around.
        let bad = store.class_of("secret/data/none").with("roleName", &role);
        let bad = desk.class("bad.yaml", &bad)?;
        run(&["mount", &bad, "--token-file", &token])?.expect(1, &["[not_found]"])?;
        run(&["doctor", &class, "--token-file", &token])?.expect(0, &["ok      login"])?;
        assert_eq!(logins(store, &role).await?, 0);
        Ok(())
    })
}

/// A role whose logins can be counted by their policy, which has its name.
async fn role_of_its_own(store: &Store) -> Result<String> {
    let name = unique("cli");
    store.vault.policy(&name, &world::everything()).await?;
    let role = JwtRole {
        name: &name,
        audience: Some("vault"),
        subject: Some("system:serviceaccount:shop:web"),
        policies: &[&name],
        ttl: "20m",
    };
    store.issuer.role(&store.vault, &store.mount, &role).await?;
    Ok(name)
}

async fn logins(store: &Store, policy: &str) -> Result<usize> {
    let listed = store.vault.read("auth/token/accessors?list=true").await?;
    let accessors = listed["data"]["keys"].as_array().context("no accessors")?;
    let mut count = 0;
    for accessor in accessors {
        let body = json!({"accessor": accessor});
        // Tokens of other cases end while we look.
        let found = store.vault.write("auth/token/lookup-accessor", &body).await;
        let policies = found.unwrap_or_default()["data"]["policies"].clone();
        count += usize::from(
            policies
                .as_array()
                .is_some_and(|all| all.contains(&json!(policy))),
        );
    }
    Ok(count)
}

#[test]
fn leased_credentials_keep_their_login_only_when_they_are_written() -> Result<()> {
    world::run(async {
        let (store, desk, out) = (store().await?, Desk::new()?, in_memory()?);
        let engine = pki(&store.vault).await?;
        let leased = json!({"allow_any_name": true, "generate_lease": true, "ttl": "1h"});
        store
            .vault
            .write(&format!("{engine}/roles/leased"), &leased)
            .await?;
        let arguments = "secretKey: certificate, method: PUT, secretArgs: {common_name: a.test}";
        let objects = object("o", &format!("{engine}/issue/leased"), arguments);
        let token = desk.token(store, "vault")?;
        let written = text_of(out.path());
        for (more, kept) in [(&["--dry-run"][..], 0), (&["--out", &written], 1)] {
            let role = role_of_its_own(store).await?;
            let class = store.class(&objects).with("roleName", &role);
            let class = desk.class("c.yaml", &class)?;
            let told = run(&[&["mount", &class, "--token-file", &token], more].concat())?;
            told.expect(0, &["1 file"])?;
            assert_eq!(
                told.err.contains("1 of the answers are leased"),
                kept == 1,
                "{told:?}"
            );
            assert_eq!(logins(store, &role).await?, kept, "{more:?}");
        }
        Ok(())
    })
}

#[test]
fn absent_objects_are_shown_beside_the_files() -> Result<()> {
    world::run(async {
        let (store, desk) = (store().await?, Desk::new()?);
        let path = store.secret("cli", &json!({"k": CANARY})).await?;
        let objects = object("o", &path, "secretKey: k")
            + &object("d/late", &path, "secretKey: none, optional: true");
        let class = desk.class("c.yaml", &store.class(&objects))?;
        let token = desk.token(store, "vault")?;
        let mount = ["mount", &class, "--token-file", &token];
        let told = run(&mount)?;
        let absent = format!("  absent           d/late  (optional, path {path}): ");
        told.expect(0, &["1 file", &absent, "does not exist at the secret path"])?;
        let report = run(&[&mount[..], &["--output", "json"]].concat())?.json()?;
        assert_eq!(report["files"].as_array().map(Vec::len), Some(1));
        assert_eq!(report["absent"][0]["name"], "d/late");
        assert_eq!(report["absent"][0]["path"], json!(path));
        Ok(())
    })
}

#[test]
fn a_store_token_is_used_and_not_given_back() -> Result<()> {
    world::run(async {
        let (store, desk) = (store().await?, Desk::new()?);
        let path = store.secret("cli", &json!({"k": "v"})).await?;
        let class = desk.class("c.yaml", &store.class_of(&path).with("roleName", "none"))?;
        let token = desk.store_token(store, "everything").await?;
        let told = run(&["mount", &class, "--vault-token-file", &token])?;
        told.expect(0, &["1 file", "nothing written"])?;
        ensure!(
            store
                .vault
                .is_token_valid(&fs::read_to_string(&token)?)
                .await?
        );
        // Which of the two is meant is not guessed.
        let both = [
            "mount",
            &class,
            "--vault-token-file",
            &token,
            "--token-file",
            &token,
        ];
        run(&both)?.expect(2, &["cannot be used with"])
    })
}

#[test]
fn a_directory_on_a_disk_is_warned_about_beside_the_result() -> Result<()> {
    world::run(async {
        let (store, desk, disk) = (store().await?, Desk::new()?, on_disk()?);
        let path = store.secret("cli", &json!({"k": CANARY})).await?;
        let class = desk.class("c.yaml", &store.class_of(&path))?;
        let token = desk.token(store, "vault")?;
        let out = text_of(&disk.path().join("new"));
        let mount = [
            "mount",
            &class,
            "--token-file",
            &token,
            "--output",
            "json",
            "--out",
            &out,
        ];
        let told = run(&[&mount[..], &["--dry-run"]].concat())?;
        told.expect(0, &[])?;
        assert_eq!(told.json()?["directory"], json!(null));
        ensure!(told.err.is_empty() && !Path::new(&out).exists(), "{told:?}");
        let told = run(&mount)?;
        told.expect(0, &[])?;
        ensure!(told.err.contains("is not on a tmpfs"), "{told:?}");
        let report = told.json()?;
        assert_eq!(report["schema"], "coffer.mount/v1");
        assert_eq!(report["directory"], json!(out));
        assert_eq!(
            report["files"],
            json!([{"path": "o", "mode": "0644", "bytes": CANARY.len()}])
        );
        assert_eq!(fs::read_to_string(Path::new(&out).join("o"))?, CANARY);
        Ok(())
    })
}

#[test]
fn a_link_in_the_directory_leads_nowhere() -> Result<()> {
    world::run(async {
        let (store, desk, out) = (store().await?, Desk::new()?, in_memory()?);
        let path = store.secret("cli", &json!({"k": CANARY})).await?;
        let class = store.class(&object("d/o", &path, "secretKey: k"));
        let (class, token) = (desk.class("c.yaml", &class)?, desk.token(store, "vault")?);
        let other = desk.path("other");
        fs::create_dir(&other)?;
        std::os::unix::fs::symlink(&other, out.path().join("d"))?;
        let told = run(&[
            "mount",
            &class,
            "--token-file",
            &token,
            "--out",
            &text_of(out.path()),
        ])?;
        told.expect(3, &["is a link or a file where a directory is needed"])?;
        ensure!(fs::read_dir(&other)?.next().is_none());
        Ok(())
    })
}

#[test]
fn values_are_printed_only_when_they_are_asked_for() -> Result<()> {
    world::run(async {
        let (store, desk) = (store().await?, Desk::new()?);
        let path = store.secret("cli", &json!({"k": CANARY})).await?;
        let (good, bad) = (
            desk.class("good.yaml", &store.class_of(&path))?,
            desk.class(
                "bad.yaml",
                &store.class(&object("o", &path, "secretKey: k, encoding: hex")),
            )?,
        );
        let token = desk.token(store, "vault")?;
        let jwt = fs::read_to_string(&token)?;
        for form in ["text", "json"] {
            for (command, class, code) in [
                ("mount", &good, 0),
                ("mount", &bad, 1),
                ("doctor", &good, 0),
            ] {
                let told = run(&[command, class, "--token-file", &token, "--output", form])?;
                told.expect(code, &[])?;
                let all = format!("{}{}", told.out, told.err);
                ensure!(
                    !all.contains(CANARY) && !all.contains(jwt.trim()),
                    "{told:?}"
                );
            }
            let told = run(&[
                "mount",
                &good,
                "--token-file",
                &token,
                "--output",
                form,
                "--show-secrets",
            ])?;
            told.expect(0, &[])?;
            ensure!(
                told.out.contains(CANARY) && !told.err.contains(CANARY),
                "{told:?}"
            );
        }
        Ok(())
    })
}

/// Runs a mount in both forms: the text of the one is the message of the other.
fn refused(arguments: &[&str], code: i32, reason: &str, parts: &[&str]) -> Result<()> {
    let text = run(arguments)?;
    text.expect(code, parts)?;
    ensure!(text.out.is_empty(), "a refusal is no result: {text:?}");
    let told: Told = run(&[arguments, &["--output", "json"]].concat())?;
    told.expect(code, parts)?;
    let json = told.json()?;
    assert_eq!(json["schema"], "coffer.error/v1");
    assert_eq!(json["exit"], json!(code));
    assert_eq!(json["reason"], json!(reason), "{told:?}");
    Ok(())
}

/// A class that mounts, and a token for it.
struct Fine {
    desk: Desk,
    path: String,
    class: Class,
    token: String,
}

impl Fine {
    async fn new() -> Result<Self> {
        let (store, desk) = (store().await?, Desk::new()?);
        let path = store.secret("cli", &json!({"k": "v"})).await?;
        let (class, token) = (store.class_of(&path), desk.token(store, "vault")?);
        Ok(Self {
            desk,
            path,
            class,
            token,
        })
    }

    /// The class as it is, as a file.
    fn class(&self) -> Result<String> {
        self.desk.class("c.yaml", &self.class)
    }

    /// The class with another parameter, as a file.
    fn with(&self, key: &str, value: &str) -> Result<String> {
        let class = self.class.clone().with(key, value);
        self.desk.class(&format!("{key}.yaml"), &class)
    }
}

#[test]
fn what_class_or_store_refuse_ends_with_one_and_its_reason() -> Result<()> {
    world::run(async {
        let (store, fine) = (store().await?, Fine::new().await?);
        let missing = object("o", "secret/data/no-such", "secretKey: k");
        let bad = "- {objectName: a, secretPth: b}";
        for (key, value, reason, part) in [
            ("roleName", "no-such", "login_refused", "no-such"),
            (
                "vaultNamespace",
                "no-such",
                "login_refused",
                "vaultNamespace",
            ),
            ("objects", &missing, "not_found", "secret/data/no-such"),
            ("objects", bad, "bad_request", "secretPath"),
        ] {
            let class = fine.with(key, value)?;
            let arguments = ["mount", &class, "--token-file", &fine.token];
            refused(&arguments, 1, reason, &[part])?;
        }
        let class = fine.class()?;
        let other = fine.desk.token(store, "other")?;
        let parts = ["warning: the token is for audience \"other\"", "audience"];
        let arguments = ["mount", &class, "--token-file", &other];
        refused(&arguments, 1, "login_refused", &parts)?;
        let rights = Policy::read(&["secret/none"]);
        store.vault.policy("cli-nothing", &rights).await?;
        let poor = fine.desk.store_token(store, "cli-nothing").await?;
        let arguments = ["mount", &class, "--vault-token-file", &poor];
        refused(&arguments, 1, "denied", &[&fine.path])
    })
}

#[test]
fn what_could_not_be_tried_ends_with_a_code_of_its_own() -> Result<()> {
    world::run(async {
        let fine = Fine::new().await?;
        let nowhere = format!("http://127.0.0.1:{}", free_port()?);
        let (class, away) = (fine.class()?, fine.with("vaultAddress", &nowhere)?);
        let (token, none) = (&fine.token[..], fine.desk.file("empty", "\n")?);
        for (class, [option, value], code, reason, part) in [
            (
                &away[..],
                ["--token-file", token],
                3,
                "store_unreachable",
                "check that it runs",
            ),
            (
                &class,
                ["--token-file", "/no/such"],
                3,
                "unreadable",
                "/no/such",
            ),
            (
                &class,
                ["--token-file", &none],
                3,
                "unreadable",
                "holds no token",
            ),
            (
                "/no/such",
                ["--token-file", token],
                3,
                "unreadable",
                "/no/such",
            ),
            (
                &class,
                ["--vault-addr", "nonsense"],
                64,
                "bad_configuration",
                "nonsense",
            ),
            (&class, ["--audience", "x"], 2, "usage", "--token-file"),
        ] {
            refused(&["mount", class, option, value], code, reason, &[part])?;
        }
        Ok(())
    })
}

#[test]
fn every_object_that_failed_is_told() -> Result<()> {
    world::run(async {
        let (store, desk) = (store().await?, Desk::new()?);
        let names: Vec<String> = (0..30).map(|at| format!("o{at:02}")).collect();
        let objects = names
            .iter()
            .map(|name| object(name, &format!("secret/data/{name}"), "secretKey: k"));
        let class = desk.class("c.yaml", &store.class(&objects.collect::<String>()))?;
        let token = desk.token(store, "vault")?;
        let told = run(&["mount", &class, "--token-file", &token, "--output", "json"])?;
        told.expect(1, &["30 of 30 objects failed (role csi, store 127.0.0.1:"])?;
        let json = told.json()?;
        let failed = json["objects"].as_array().context("no objects")?;
        for (name, object) in names.iter().zip(failed) {
            assert_eq!(
                (&object["name"], &object["reason"]),
                (&json!(name), &json!("not_found"))
            );
            ensure!(
                told.err
                    .contains(&format!("object \"{name}\" (path secret/data/{name})"))
            );
        }
        Ok(())
    })
}

#[test]
fn a_sealed_store_cannot_be_asked() -> Result<()> {
    world::run(async {
        let store = Store::of(Vault::start().await?).await?;
        ensure!(store.vault.is_own(), "a shared store is not sealed");
        let desk = Desk::new()?;
        let class = desk.class("c.yaml", &store.class_of("secret/data/a"))?;
        let token = desk.token(&store, "vault")?;
        store.vault.seal().await?;
        let arguments = ["mount", &class, "--token-file", &token];
        refused(&arguments, 3, "store_state", &["sealed", "unseal"])?;
        let told = run(&["doctor", &class, "--token-file", &token])?;
        told.expect(
            1,
            &[
                "FAILED  store: sealed",
                "-> unseal the store",
                "skipped login: needs store",
            ],
        )?;
        told.expect(1, &["ok      token: of shop/web"])
    })
}

#[test]
fn the_class_comes_from_standard_input_and_by_its_name() -> Result<()> {
    world::run(async {
        let (store, desk) = (store().await?, Desk::new()?);
        let path = store.secret("cli", &json!({"k": "v"})).await?;
        let token = desk.token(store, "vault")?;
        let mut second = store.class_of(&path);
        "second".clone_into(&mut second.name);
        // Three dashes inside a text end no document.
        let text = format!(
            "kind: ConfigMap\ndata:\n  text: |\n    a\n    ---\n    kind: SecretProviderClass\n---\n{}\n---\n{}\n",
            manifest(&store.class_of("secret/data/none")),
            manifest(&second)
        );
        let mount = |more: &[&str]| {
            run_with(
                &[&["mount", "-", "--token-file", &token], more].concat(),
                &text,
            )
        };
        mount(&[])?.expect(2, &["2 such classes", "one of shop/c, shop/second"])?;
        mount(&["--class-name", "third"])?
            .expect(2, &["no class \"third\" but: shop/c, shop/second"])?;
        for name in ["second", "shop/second"] {
            mount(&["--class-name", name])?.expect(0, &["class second from "])?;
        }
        mount(&["--class-name", "second", "--pod-namespace", "other"])?.expect(
            0,
            &[
                "warning: pods of namespace other cannot use this class",
                "warning: the token is that of service account shop/web",
            ],
        )
    })
}
