//! The peers' flags and environment names, one by one, by what they do.
//!
//! Those about TLS are in `tls`; the ones that name a parameter's default stand with it in `parameters`.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use coffer_tests::provider::binary;
use coffer_tests::scripted::{Reply, ScriptedStore};
use serde_json::{Value, json};

use crate::stage::{
    failure, has, mount, object, provider, provider_as, scripted_class, scripted_volume, text,
};
use crate::world::{run, store};

/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";

/// §5 precedence, §5 -vault-addr, §5 VAULT_ADDR: environment < flag < class < volumeAttributes, by address
#[test]
fn the_address_is_taken_from_the_strongest_layer() -> Result<()> {
    run(async {
        let store = store().await?;
        let path = store.secret("layers", &json!({"k": "v"})).await?;
        let good = store.vault.address();
        for (environment, flag, class, pod, expected) in [
            (good, "", "", "", true),
            (NOWHERE, good, "", "", true),
            (good, NOWHERE, "", "", false),
            (NOWHERE, NOWHERE, good, "", true),
            (good, good, NOWHERE, "", false),
            (NOWHERE, NOWHERE, NOWHERE, good, true),
            (good, good, good, NOWHERE, false),
        ] {
            let arguments = ["-vault-addr", flag];
            let arguments = if flag.is_empty() {
                &[][..]
            } else {
                &arguments[..]
            };
            let provider = provider_as("vault", arguments, &[("VAULT_ADDR", environment)]).await?;
            let volume = store.volume(store.class_of(&path).with("vaultAddress", class))?;
            let volume = if pod.is_empty() {
                volume
            } else {
                volume.with_attribute("vaultAddress", pod)
            };
            let mounted = mount(&provider, &volume).await?.reply.is_ok();
            ensure!(
                mounted == expected,
                "{environment}, {flag}, {class}, {pod}: {mounted}"
            );
        }
        Ok(())
    })
}

/// §5 BAO_ADDR: under `openbao` the names with BAO_ come first and those with VAULT_ are fallen back to
#[test]
fn the_forks_environment_falls_back_to_vaults() -> Result<()> {
    run(async {
        let store = store().await?;
        let path = store.secret("fork", &json!({"k": "v"})).await?;
        let good = store.vault.address();
        for (environment, expected) in [
            (&[("BAO_ADDR", good), ("VAULT_ADDR", NOWHERE)][..], true),
            (&[("VAULT_ADDR", good)][..], true),
            (&[("BAO_ADDR", NOWHERE), ("VAULT_ADDR", good)][..], false),
            (&[("BAO_ADDR", ""), ("VAULT_ADDR", good)][..], true),
        ] {
            let provider = provider_as("openbao", &[], environment).await?;
            let mut volume = store.volume(store.class_of(&path).with("vaultAddress", ""))?;
            for token in volume.tokens.iter_mut().flatten() {
                "openbao".clone_into(&mut token.audience);
            }
            let mounted = mount(&provider, &volume).await?.reply.is_ok();
            ensure!(mounted == expected, "{environment:?}: {mounted}");
        }
        let flags = ["--openbao-addr", good, "-openbao-mount", &store.mount];
        let provider = provider_as("openbao", &flags, &[]).await?;
        let mut class = store.class_of(&path);
        class.parameters.remove("vaultAddress");
        class.parameters.remove("vaultAuthMountPath");
        let volume = store.volume(class.with("audience", "vault"))?;
        assert_eq!(text(&mount(&provider, &volume).await?)?, "v");
        Ok(())
    })
}

/// §5 -endpoint, §5 -health-addr, §14 listener: the socket and the probes are where the flags say
#[test]
fn socket_and_probes_are_where_the_flags_say() -> Result<()> {
    run(async {
        let provider = provider(&[]).await?;
        ensure!(provider.socket().exists());
        for path in ["/health/ready", "/readyz", "/livez"] {
            assert_eq!(provider.ask(path).await?.0, 200, "{path}");
        }
        Ok(())
    })
}

/// §5 -log-level, §5 -debug, §14 log level, D20: every level by its name, an unknown one is info, and the level beats -debug
#[test]
fn the_log_level_is_what_its_name_says() -> Result<()> {
    run(async {
        let store = store().await?;
        let path = store.secret("levels", &json!({"k": "v"})).await?;
        for (arguments, least) in [
            (&["-log-level", "trace"][..], "TRACE"),
            (&["-log-level", "debug"][..], "DEBUG"),
            (&["-log-level", "info"][..], "INFO"),
            (&["-log-level", "warn"][..], "WARN"),
            (&["-log-level", "error"][..], "ERROR"),
            (&["-log-level", "off"][..], "OFF"),
            (&["-log-level", "no-such-level"][..], "INFO"),
            (&[][..], "INFO"),
            (&["-debug"][..], "DEBUG"),
            (&["-debug", "-log-level", "warn"][..], "WARN"),
        ] {
            let mut provider = provider(arguments).await?;
            // An unknown key warns, a mount is told at info, a missing token at debug.
            let class = store.class_of(&path).with("unknown", "x");
            let mut volume = store.volume(class)?;
            mount(&provider, &volume).await?.response()?;
            volume.tokens = None;
            failure(&mount(&provider, &volume).await?)?;
            let log = provider.whole_log().await?;
            let order = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "OFF"];
            let rank = |level: &str| order.iter().position(|known| *known == level);
            for line in log.lines() {
                let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
                let level = line["level"].as_str().unwrap_or_default().to_uppercase();
                ensure!(rank(&level) >= rank(least), "{level} at {arguments:?}");
            }
            let told = ["DEBUG", "INFO", "WARN"]
                .iter()
                .filter(|level| rank(level) >= rank(least));
            for level in told {
                let seen = log
                    .to_uppercase()
                    .contains(&format!("\"LEVEL\":\"{level}\""));
                ensure!(seen, "no line at {level} with {arguments:?}:\n{log}");
            }
        }
        Ok(())
    })
}

/// §5 -version, §5 -output: the version in the peers' forms
#[test]
fn the_version_is_printed_in_every_form() -> Result<()> {
    for (arguments, part) in [
        (&["-version"][..], "{\"version\":"),
        (
            &["--version", "--output=json-pretty"][..],
            "\n  \"version\":",
        ),
        (&["-version", "-output", "yaml"][..], "version: "),
    ] {
        let printed = Command::new(binary("coffer-provider")?)
            .args(arguments)
            .output()?;
        ensure!(
            printed.status.success(),
            "{arguments:?}: {}",
            printed.status
        );
        has(&String::from_utf8_lossy(&printed.stdout), &[part])?;
    }
    let refused = Command::new(binary("coffer-provider")?)
        .args(["-version", "-output", "xml"])
        .output()?;
    ensure!(!refused.status.success());
    Ok(())
}

/// A scripted store with one secret and a class that reads it.
async fn scripted() -> Result<(ScriptedStore, String)> {
    let scripted = ScriptedStore::start().await?;
    scripted.put("secret/data/x", json!({"k": "v"}));
    Ok((scripted, object("o", "secret/data/x", "secretKey: k")))
}

/// §5 -cache-size, §14 token cache: at 1 a login is kept, at 0 and below none
#[test]
fn the_size_of_the_cache_decides_whether_logins_are_kept() -> Result<()> {
    run(async {
        for (size, logins) in [("-10", 3), ("-1", 3), ("0", 3), ("1", 1), ("1000", 1)] {
            let (scripted, objects) = scripted().await?;
            let argument = format!("-cache-size={size}");
            let provider = provider(&[&argument]).await?;
            let volume = scripted_volume(scripted_class(&scripted, &objects))?;
            for _ in 0..3 {
                assert_eq!(text(&mount(&provider, &volume).await?)?, "v");
            }
            assert_eq!(scripted.logins(), logins, "{size}");
        }
        Ok(())
    })
}

/// §5 VAULT_MAX_RETRIES: how often a failing store is asked again
#[test]
fn retries_follow_the_environment() -> Result<()> {
    run(async {
        for (retries, requests) in [(None, 3), (Some("0"), 1), (Some("1"), 2), (Some("9"), 3)] {
            let (scripted, objects) = scripted().await?;
            scripted.on("/v1/secret/data/x", Reply::errors(500, &["internal error"]));
            let environment: Vec<(&str, &str)> = retries
                .map(|value| ("VAULT_MAX_RETRIES", value))
                .into_iter()
                .collect();
            let provider = provider_as("vault", &[], &environment).await?;
            let outcome = mount(
                &provider,
                &scripted_volume(scripted_class(&scripted, &objects))?,
            )
            .await?;
            has(&failure(&outcome)?, &["internal error"])?;
            assert_eq!(scripted.count("/v1/secret/data/x"), requests, "{retries:?}");
        }
        Ok(())
    })
}

/// §5 VAULT_CLIENT_TIMEOUT: how long an answer is waited for
#[test]
fn a_time_limit_follows_the_environment() -> Result<()> {
    run(async {
        let (scripted, objects) = scripted().await?;
        scripted.on("/v1/secret/data/x", Reply::silence());
        let environment = [
            ("VAULT_CLIENT_TIMEOUT", "200ms"),
            ("VAULT_MAX_RETRIES", "0"),
        ];
        let provider = provider_as("vault", &[], &environment).await?;
        let start = Instant::now();
        let outcome = mount(
            &provider,
            &scripted_volume(scripted_class(&scripted, &objects))?,
        )
        .await?;
        has(&failure(&outcome)?, &["Unknown: ", "no complete answer"])?;
        ensure!(
            start.elapsed() < Duration::from_secs(8),
            "{:?}",
            start.elapsed()
        );
        Ok(())
    })
}

/// §5 VAULT_RATE_LIMIT: requests are spread to the rate
#[test]
fn a_rate_limit_follows_the_environment() -> Result<()> {
    run(async {
        let scripted = ScriptedStore::start().await?;
        let objects: String = (0..6)
            .map(|n| {
                object(
                    &format!("o{n}"),
                    &format!("secret/data/{n}"),
                    "secretKey: k",
                )
            })
            .collect();
        for n in 0..6 {
            scripted.put(&format!("secret/data/{n}"), json!({"k": "v"}));
        }
        let provider = provider_as("vault", &[], &[("VAULT_RATE_LIMIT", "10:1")]).await?;
        let start = Instant::now();
        mount(
            &provider,
            &scripted_volume(scripted_class(&scripted, &objects))?,
        )
        .await?
        .response()?;
        ensure!(
            start.elapsed() >= Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
        Ok(())
    })
}

/// §5 VAULT_HEADERS, §6 headers: further headers go along, and the peers' own on every request
#[test]
fn headers_follow_the_environment() -> Result<()> {
    run(async {
        let (scripted, objects) = scripted().await?;
        let provider =
            provider_as("vault", &[], &[("VAULT_HEADERS", r#"{"X-Team":"blue"}"#)]).await?;
        let class = scripted_class(&scripted, &objects).with("vaultNamespace", "team/a");
        mount(&provider, &scripted_volume(class)?)
            .await?
            .response()?;
        let requests = scripted.requests();
        for request in &requests {
            assert_eq!(request.header("x-team"), Some("blue"), "{}", request.path);
            assert_eq!(
                request.header("x-vault-request"),
                Some("true"),
                "{}",
                request.path
            );
            assert_eq!(
                request
                    .header("x-vault-namespace")
                    .map(|name| name.trim_end_matches('/')),
                Some("team/a")
            );
            assert_eq!(
                request.header("x-vault-token").is_some(),
                !request.is_login(),
                "{}",
                request.path
            );
        }
        Ok(())
    })
}

/// §5 VAULT_PROXY_ADDR, §5 VAULT_HTTP_PROXY, §5 HTTP_PROXY: a proxy is asked instead of the store
#[test]
fn a_proxy_follows_the_environment() -> Result<()> {
    run(async {
        for name in ["VAULT_PROXY_ADDR", "VAULT_HTTP_PROXY", "HTTP_PROXY"] {
            let (proxy, objects) = scripted().await?;
            let address = proxy.address();
            let provider = provider_as(
                "vault",
                &[],
                &[(name, &address), ("VAULT_MAX_RETRIES", "0")],
            )
            .await?;
            let class =
                scripted_class(&proxy, &objects).with("vaultAddress", "http://store.invalid:8200");
            mount(&provider, &scripted_volume(class)?).await?;
            let asked = proxy.requests();
            ensure!(
                asked.iter().any(|request| request
                    .path
                    .starts_with("http://store.invalid:8200/v1/auth/")),
                "{name} is not used: {} requests",
                asked.len()
            );
        }
        Ok(())
    })
}

/// §5 VAULT_DISABLE_REDIRECTS: a redirect is followed once, or not at all
#[test]
fn redirects_follow_the_environment() -> Result<()> {
    run(async {
        for (environment, expected) in [
            (&[][..], true),
            (&[("VAULT_DISABLE_REDIRECTS", "true")][..], false),
        ] {
            let (scripted, _) = scripted().await?;
            let target = format!("{}/v1/secret/data/x", scripted.address());
            scripted.on(
                "/v1/secret/data/old",
                Reply::text(307, "").header("Location", &target),
            );
            let provider = provider_as("vault", &[], environment).await?;
            let class = scripted_class(&scripted, &object("o", "secret/data/old", "secretKey: k"));
            let mounted = mount(&provider, &scripted_volume(class)?)
                .await?
                .reply
                .is_ok();
            ensure!(mounted == expected, "{environment:?}: {mounted}");
        }
        Ok(())
    })
}

/// §5 VAULT_AGENT_ADDR, §5 VAULT_TOKEN, D16: without effect, and warned about
#[test]
fn variables_that_must_not_count_are_warned_about() -> Result<()> {
    run(async {
        let store = store().await?;
        let path = store.secret("traps", &json!({"k": "v"})).await?;
        let environment = [
            ("VAULT_AGENT_ADDR", NOWHERE),
            ("VAULT_TOKEN", "canary-token"),
        ];
        let mut provider = provider_as("vault", &[], &environment).await?;
        let told = failure(
            &store
                .mount(&provider, store.class_of(&path).with("roleName", "nobody"))
                .await?,
        )?;
        has(&told, &["failed to login"])?;
        assert_eq!(
            text(&store.mount(&provider, store.class_of(&path)).await?)?,
            "v"
        );
        let log = provider.whole_log().await?;
        for (name, _) in environment {
            has(&log, &[&format!("{name} is ignored")])?;
        }
        ensure!(!log.contains("canary-token"), "{log}");
        Ok(())
    })
}
