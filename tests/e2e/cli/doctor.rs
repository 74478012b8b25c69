//! `doctor`: what each step says on a good day, and when one layer is broken.

use std::fs;
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::free_port;
use coffer_tests::vault::{Policy, Vault};
use serde_json::json;

use super::{Desk, run, text_of};
use crate::stage::{object, provider};
use crate::world::{self, Store, store};

/// Names and states of the steps, in their order; the text must say the same.
fn states(arguments: &[&str]) -> Result<Vec<(String, String)>> {
    let told = run(&[arguments, &["--output", "json"]].concat())?;
    let report = told.json()?;
    assert_eq!(report["schema"], "coffer.doctor/v1");
    let text = run(arguments)?;
    assert_eq!(told.code, text.code);
    let mut states = Vec::new();
    for step in report["steps"].as_array().context("no steps")? {
        let part = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let (name, state) = (part("name"), part("state"));
        let mark = match state.as_str() {
            "ok" => "ok     ",
            "failed" => "FAILED ",
            _ => "skipped",
        };
        let line = format!("{mark} {name}: ");
        ensure!(text.out.contains(&line), "{line:?} is not in {text:?}");
        ensure!(
            state != "failed" || !part("hint").is_empty(),
            "no hint: {step}"
        );
        states.push((name, state));
    }
    let has_failed = states.iter().any(|(_, state)| state == "failed");
    assert_eq!(told.code, Some(i32::from(has_failed)), "{states:?}");
    Ok(states)
}

/// The same, short: `dns ok, tls skipped`.
fn line(arguments: &[&str]) -> Result<String> {
    let states = states(arguments)?.into_iter();
    let parts: Vec<String> = states
        .map(|(name, state)| format!("{name} {state}"))
        .collect();
    Ok(parts.join(", "))
}

#[test]
fn a_good_class_is_ok_at_every_step() -> Result<()> {
    world::run(async {
        let (store, desk, provider) = (store().await?, Desk::new()?, provider(&[]).await?);
        let path = store.secret("cli", &json!({"k": "v"})).await?;
        let class = desk.class("c.yaml", &store.class_of(&path))?;
        let token = desk.token(store, "vault")?;
        let socket = text_of(provider.socket());
        let doctor = [
            "doctor",
            &class,
            "--token-file",
            &token,
            "--endpoint",
            &socket,
        ];
        assert_eq!(
            line(&doctor)?,
            "socket ok, class ok, policy ok, dns ok, connection ok, tls skipped, clock ok, store ok, token ok, login ok, capabilities ok"
        );
        let told = run(&doctor)?;
        told.expect(
            0,
            &[
                "answers",
                "strict would refuse",
                "of shop/web for audience \"vault\"",
                "role csi of auth/",
                "read",
            ],
        )?;
        ensure!(told.err.is_empty(), "{told:?}");
        let given = desk.store_token(store, "everything").await?;
        assert_eq!(
            line(&[
                "doctor",
                &class,
                "--vault-token-file",
                &given,
                "--endpoint",
                "/no/vault.sock"
            ])?,
            "socket skipped, class ok, policy ok, dns ok, connection ok, tls skipped, clock ok, store ok, token skipped, login ok, capabilities ok"
        );
        // Without a class there is still a store to look at.
        assert_eq!(
            line(&[
                "doctor",
                "--vault-addr",
                store.vault.address(),
                "--endpoint",
                "/no/vault.sock"
            ])?,
            "socket skipped, class skipped, policy skipped, dns ok, connection ok, tls skipped, clock ok, store ok, token skipped, login skipped, capabilities skipped"
        );
        Ok(())
    })
}

#[test]
fn a_broken_layer_skips_only_what_depends_on_it() -> Result<()> {
    world::run(async {
        let (store, desk) = (store().await?, Desk::new()?);
        let path = store.secret("cli", &json!({"k": "v"})).await?;
        let good = store.class_of(&path);
        let class =
            |name: &str, key: &str, value: &str| desk.class(name, &good.clone().with(key, value));
        let (vault, other) = (desk.token(store, "vault")?, desk.token(store, "other")?);
        let junk = desk.file("junk", "hvs.junk")?;
        let closed = format!("http://127.0.0.1:{}", free_port()?);
        let fine = class("c.yaml", "roleName", "csi")?;
        for (class, more, expected, hint) in [
            (
                class("dns.yaml", "vaultAddress", "http://no-such.invalid:1")?,
                ["--token-file", &vault],
                "dns failed, connection skipped, tls skipped, clock skipped, store skipped, token ok, login skipped, capabilities skipped",
                "check the host",
            ),
            (
                class("away.yaml", "vaultAddress", &closed)?,
                ["--token-file", &vault],
                "dns ok, connection failed, tls skipped, clock skipped, store skipped, token ok, login skipped, capabilities skipped",
                "check that it runs",
            ),
            (
                fine.clone(),
                ["--token-file", &other],
                "dns ok, connection ok, tls skipped, clock ok, store ok, token failed, login failed, capabilities skipped",
                "request it for that audience",
            ),
            (
                fine.clone(),
                ["--token-file", &junk],
                "dns ok, connection ok, tls skipped, clock ok, store ok, token failed, login failed, capabilities skipped",
                "give a service account token",
            ),
            (
                fine.clone(),
                ["--vault-token-file", &junk],
                "dns ok, connection ok, tls skipped, clock ok, store ok, token skipped, login failed, capabilities skipped",
                "it has ended",
            ),
            (
                class("role.yaml", "roleName", "no-such")?,
                ["--token-file", &vault],
                "dns ok, connection ok, tls skipped, clock ok, store ok, token ok, login failed, capabilities skipped",
                "create role no-such",
            ),
            (
                class("ns.yaml", "vaultNamespace", "no-such")?,
                ["--token-file", &vault],
                "dns ok, connection ok, tls skipped, clock ok, store ok, token ok, login failed, capabilities skipped",
                "no such namespace",
            ),
        ] {
            let [option, value] = more;
            let doctor = [
                "doctor",
                &class,
                option,
                value,
                "--endpoint",
                "/no/vault.sock",
            ];
            assert_eq!(
                line(&doctor)?,
                format!("socket skipped, class ok, policy ok, {expected}")
            );
            run(&doctor)?.expect(1, &[hint])?;
        }
        Ok(())
    })
}

#[test]
fn a_broken_class_leaves_the_operators_store_to_look_at() -> Result<()> {
    world::run(async {
        let (store, desk) = (store().await?, Desk::new()?);
        let class = store.class("- {objectName: a, secretPth: b}");
        let class = desk.class("c.yaml", &class)?;
        let doctor = ["doctor", &class, "--endpoint", "/no/vault.sock"];
        let told = line(&[&doctor[..], &["--vault-addr", store.vault.address()]].concat())?;
        ensure!(
            told.starts_with(
                "socket skipped, class failed, policy skipped, dns ok, connection ok,"
            ),
            "{told}"
        );
        let told = line(&doctor)?;
        ensure!(
            told.starts_with(
                "socket skipped, class failed, policy skipped, dns skipped, connection skipped,"
            ),
            "{told}"
        );
        run(&doctor)?.expect(1, &["secretPath", "coffer-provider check"])?;
        run(&["doctor", "/no/such", "--output", "json"])?.expect(3, &["coffer.error/v1"])?;
        let strict = desk.class("s.yaml", &store.class_of("secret/data/a"))?;
        let told = run(&[
            "doctor",
            &strict,
            "--policy-profile",
            "strict",
            "--vault-addr",
            "https://other:1",
        ])?;
        told.expect(
            1,
            &["FAILED  policy: vaultAddress", "is not an allowed address"],
        )
    })
}

#[test]
fn missing_rights_are_told_for_each_path() -> Result<()> {
    world::run(async {
        let (store, desk) = (store().await?, Desk::new()?);
        let name = store.secret("cli", &json!({"k": "v"})).await?;
        let short = name.replace("secret/data/", "secret/");
        store
            .vault
            .policy("cli-rights", &Policy::read(&[&name]))
            .await?;
        let token = desk.store_token(store, "cli-rights").await?;
        let objects = [
            object("a", &name, "secretKey: k"),
            object("b", &short, "secretKey: k"),
            object("c", "secret/data/none", "secretKey: k"),
            object("d", "pki/issue/none", "method: PUT"),
        ];
        let class = desk.class("c.yaml", &store.class(&objects.concat()))?;
        run(&["doctor", &class, "--vault-token-file", &token])?.expect(
            1,
            &[
                &format!("ok      capabilities: {name}: read"),
                &format!("-> did you mean {name}?"),
                "-> the role's policy needs read on secret/data/none",
                "-> the role's policy needs update or create on pki/issue/none",
            ],
        )
    })
}

#[test]
fn the_certificate_is_told_whether_it_is_trusted_or_not() -> Result<()> {
    world::run(async {
        let vault = Vault::start_tls(false).await?;
        let ca = text_of(&vault.tls().context("a store without TLS")?.ca);
        let store = Store::of(vault).await?;
        let desk = Desk::new()?;
        let class = desk.class("c.yaml", &store.class_of("secret/data/a"))?;
        let token = desk.token(&store, "vault")?;
        let doctor = ["doctor", &class, "--token-file", &token];
        run(&doctor)?.expect(
            1,
            &[
                "ok      connection: https://127.0.0.1:",
                "FAILED  tls: ",
                "UnknownIssuer",
                "certificate by \"Coffer test authority\", ends ",
                "-> give the CA that signed it",
                "skipped store: needs tls",
            ],
        )?;
        let mount = ["mount", &class, "--token-file", &token, "--output", "json"];
        let told = run(&mount)?;
        told.expect(3, &["UnknownIssuer", "give the CA that signed it"])?;
        assert_eq!(told.json()?["reason"], "store_tls");
        let trusting = [&doctor[..], &["--vault-tls-ca-cert", &ca]].concat();
        run(&trusting)?.expect(
            0,
            &["ok      tls: verified, certificate by \"Coffer test authority\""],
        )?;
        let skipping = [&doctor[..], &["--vault-tls-skip-verify"]].concat();
        run(&skipping)?.expect(0, &["ok      tls: not verified, certificate by"])?;
        // Plain http on the port of TLS.
        let address = store.vault.address().replace("https", "http");
        let plain = desk.class(
            "p.yaml",
            &store
                .class_of("secret/data/a")
                .with("vaultAddress", &address),
        )?;
        run(&["doctor", &plain])?.expect(1, &["FAILED  store: answered 400", "write https://"])
    })
}

#[test]
fn a_socket_that_nobody_listens_on_is_found() -> Result<()> {
    let desk = Desk::new()?;
    let socket = desk.path("vault.sock");
    drop(UnixListener::bind(&socket)?);
    let path = text_of(&socket);
    let told = run(&[
        "doctor",
        "--endpoint",
        &path,
        "--vault-addr",
        "http://127.0.0.1:9",
    ])?;
    told.expect(
        1,
        &[
            "FAILED  socket: ",
            "Connection refused",
            "nobody answers: start the provider",
        ],
    )?;
    fs::remove_file(&socket)?;
    fs::create_dir(&socket)?;
    let told = run(&[
        "doctor",
        "--endpoint",
        &path,
        "--vault-addr",
        "http://127.0.0.1:9",
    ])?;
    told.expect(1, &["is no socket"])
}
