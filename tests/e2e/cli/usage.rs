//! What needs no store: help, versions, completions, wrong usage, and `check` by its exit codes.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use coffer_provider::config::OPTIONS;
use coffer_tests::demo::example::Example;
use coffer_tests::fixture::directory;
use serde_json::json;

use super::{Desk, run, run_with};

#[test]
fn the_help_names_every_option_command_and_exit_code() -> Result<()> {
    let told = run(&["--help"])?;
    told.expect(0, &["Exit codes: 0 fine, 1 findings"])?;
    for option in OPTIONS {
        let flag = format!("--{}", option.name);
        ensure!(told.out.contains(&flag), "{flag} is not in {}", told.out);
    }
    for command in ["serve", "check", "mount", "doctor", "completions"] {
        ensure!(
            told.out.contains(&format!("\n  {command} ")),
            "{}",
            told.out
        );
        let short = run(&[command, "-h"])?;
        ensure!(
            short.code == Some(0) && !short.out.contains("--inflight"),
            "{short:?}"
        );
    }
    for (command, switches) in [
        ("check", &["--strict", "--output"][..]),
        (
            "mount",
            &[
                "--out",
                "--socket",
                "--dry-run",
                "--show-secrets",
                "--token-file",
                "--vault-token-file",
                "--class-name",
                "--pod-namespace",
                "--service-account",
                "--output",
            ],
        ),
        (
            "doctor",
            &[
                "--token-file",
                "--vault-token-file",
                "--class-name",
                "--output",
            ],
        ),
    ] {
        run(&[command, "--help"])?.expect(0, switches)?;
        let told = run(&[command, "--help"])?;
        told.expect(0, &["Exit codes: 0 ", "--vault-addr", "coffer.error/v1"])?;
    }
    Ok(())
}

#[test]
fn no_output_has_colour_codes() -> Result<()> {
    for arguments in [
        &["--help"][..],
        &["--nonsense"],
        &["doctor", "--vault-addr", "http://127.0.0.1:9"],
    ] {
        let told = run(arguments)?;
        ensure!(
            !told.out.contains('\u{1b}') && !told.err.contains('\u{1b}'),
            "{told:?}"
        );
    }
    Ok(())
}

#[test]
fn the_version_has_the_forms_of_the_peers() -> Result<()> {
    for (arguments, part) in [
        (&["--version"][..], "{\"version\":"),
        (&["-version"], "{\"version\":"),
        (&["-version", "-output", "json-pretty"], "\n  \"version\": "),
        (&["--version", "--output=yaml"], "version: "),
        (&["--version", "--output", "text"], "coffer-provider "),
    ] {
        let told = run(arguments)?;
        told.expect(0, &[part])?;
        ensure!(
            told.err.is_empty() && told.out.contains(env!("CARGO_PKG_VERSION")),
            "{told:?}"
        );
    }
    Ok(())
}

#[test]
fn what_was_typed_wrong_ends_with_two_and_a_bad_configuration_with_64() -> Result<()> {
    for (arguments, part) in [
        (&["--no-such"][..], "--no-such"),
        (&["mount"], "<FILE>"),
        (&["mount", "c", "--no-such"], "--no-such"),
        (&["chec"], "check"),
        (&["check"], "<FILE>"),
        (&["check", "c", "--output", "yaml"], "write text or json"),
        (&["doctor", "--output", "xml"], "json"),
        (&["completions", "cmd"], "zsh"),
        (
            &["completions", "zsh", "--output", "json"],
            "--output: leave it out",
        ),
        (&["serve", "--output", "json"], "--log-format"),
        (&["--output", "text", "serve"], "--log-format"),
    ] {
        let told = run(arguments)?;
        told.expect(2, &[part])?;
        ensure!(told.out.is_empty(), "{told:?}");
    }
    for command in [&["serve"][..], &["doctor"]] {
        run(&[command, &["--vault-addr", "nonsense", "--drain", "soon"]].concat())?
            .expect(64, &["vaultAddress", "drain"])?;
    }
    Ok(())
}

#[test]
fn the_peers_way_to_serve_takes_the_form_of_the_version_and_leaves_it_unused() -> Result<()> {
    // The drain is wrong, so that serving does not begin.
    run(&["-output", "json", "-drain", "soon"])?.expect(64, &["drain"])
}

#[test]
fn of_a_repeated_flag_the_last_one_counts() -> Result<()> {
    let good = ["-vault-addr", "http://127.0.0.1:9"];
    for command in [&[][..], &["doctor"]] {
        // The drain is wrong, so that serving does not begin.
        let bad = ["-vault-addr", "nonsense", "-drain", "soon"];
        let told = run(&[command, &bad[..], &good[..]].concat())?;
        told.expect(64, &["drain"])?;
        ensure!(!told.err.contains("nonsense"), "{told:?}");
    }
    Ok(())
}

#[test]
fn completions_know_every_command_and_option() -> Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let told = run(&["completions", shell])?;
        told.expect(0, &["doctor", "show-secrets", "vault-tls-ca-cert", "json"])?;
    }
    let script = run(&["completions", "bash"])?.out;
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()?;
    bash.stdin
        .take()
        .context("no input")?
        .write_all(script.as_bytes())?;
    ensure!(bash.wait()?.success(), "bash cannot read its script");
    // The other shells are not everywhere; what they start with is what their readers look for.
    run(&["completions", "zsh"])?.expect(0, &["#compdef coffer-provider\n"])?;
    run(&["completions", "fish"])?.expect(0, &["complete -c coffer-provider"])
}

/// By flags, and by a file as an operator has it.
#[test]
fn check_judges_by_the_policy_that_it_is_given() -> Result<()> {
    let place = directory("check")?;
    let [class, config] = ["class.yaml", "config.yaml"].map(|name| place.path().join(name));
    std::fs::write(
        &class,
        "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {name: a}\nspec: {provider: vault, parameters: {roleName: a, vaultAddress: 'https://x', objects: '- {objectName: o, secretPath: secret/data/a, secretKey: k}'}}\n",
    )?;
    std::fs::write(
        &config,
        "policy-profile: strict\nallowed-addresses: [https://other]\nwatch-pods: true\n",
    )?;
    let [class, config] = [class, config].map(|path| path.display().to_string());
    run(&["check", &class])?.expect(0, &["0 problems, "])?;
    let strict = [
        "--policy-profile=strict",
        "--allowed-addresses=https://other",
    ];
    let refused = ["is not an allowed address", "1 problem"];
    run(&[&["check", &class], &strict[..]].concat())?.expect(1, &refused)?;
    run(&["check", &class, "--config", &config])?.expect(1, &refused)
}

#[test]
fn check_passes_the_examples_and_fails_what_is_broken() -> Result<()> {
    let mut manifests = Vec::new();
    for name in Example::names()? {
        let directory = Example::read(&name)?.directory;
        manifests.push(directory.join("class.yaml").display().to_string());
    }
    let manifests: Vec<&str> = manifests.iter().map(String::as_str).collect();
    run(&[&["check"], &manifests[..]].concat())?.expect(0, &["\n0 problems, "])?;
    let told = run(&[&["check", "--output", "json"], &manifests[..]].concat())?;
    assert_eq!(
        told.json()?["files"].as_array().map(Vec::len),
        Some(manifests.len())
    );
    let class = |parameters: &str| {
        format!(
            "apiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: {{name: a}}\nspec: {{provider: vault, parameters: {parameters}}}\n"
        )
    };
    let objects = "objects: '- {objectName: o, secretPath: secret/data/a, secretKey: k}'";
    for (text, strict, code, part) in [
        (
            class(&format!("{{roleName: a, {objects}}}")),
            false,
            0,
            "0 problems, 0 warnings",
        ),
        (
            class(&format!("{{roleName: a, vaultAdress: x, {objects}}}")),
            false,
            0,
            "vaultAddress",
        ),
        (
            class(&format!("{{roleName: a, vaultAdress: x, {objects}}}")),
            true,
            1,
            "\n1 problem, 0 warnings",
        ),
        (
            class("{}").replace("ProviderClass", "ProviderClas"),
            false,
            1,
            "did you mean SecretProviderClass?",
        ),
        (String::new(), false, 1, "holds no SecretProviderClass"),
        (
            class(&format!("{{rolename: a, {objects}}}")),
            false,
            1,
            "roleName",
        ),
        (
            class("{roleName: a, objects: '- {objectName: o}'}"),
            false,
            1,
            "secretPath",
        ),
        (
            class("{roleName: a, objects: nonsense}"),
            false,
            1,
            "objects",
        ),
        (class("{}"), false, 1, "spec.parameters"),
        ("a: [".to_owned(), false, 1, "not valid YAML"),
    ] {
        let arguments: &[&str] = if strict {
            &["check", "-", "--strict"]
        } else {
            &["check", "-"]
        };
        run_with(arguments, &text)?
            .expect(code, &[part])
            .context(text)?;
    }
    let desk = Desk::new()?;
    let none = desk.path("none").display().to_string();
    let told = run(&["check", &none])?;
    told.expect(3, &["No such file"])?;
    ensure!(told.out.is_empty(), "{told:?}");
    let told = run(&["check", "-", &none, "--output", "json"])?;
    told.expect(3, &[])?;
    let failure = told.json()?;
    assert_eq!(
        (&failure["schema"], &failure["exit"], &failure["reason"]),
        (&json!("coffer.error/v1"), &json!(3), &json!("unreadable"))
    );
    let message = failure["message"].as_str().unwrap_or_default();
    ensure!(message.starts_with(&none), "{told:?}");
    ensure!(told.err.trim_end() == message, "{told:?}");
    let told = run_with(&["check", "-", "--output", "json"], &class("{}"))?;
    told.expect(1, &[])?;
    assert_eq!(told.json()?["schema"], json!("coffer.check/v1"));
    Ok(())
}
