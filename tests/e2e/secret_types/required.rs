//! What each type requires of keys and annotations, and that the server looks no further.
//!
//! Docker files are in `docker`; pairs of certificate and key that are complete are in `tls`.

use anyhow::{Result, ensure};
use coffer_sync_core::secret_type::SERVICE_ACCOUNT_NAME;
use coffer_sync_core::validate::Check;
use serde_json::json;

use super::{Case, Place};
use crate::world::run;

const TOKEN: &str = "kubernetes.io/service-account-token";
const LOGIN: &str = "kubernetes.io/basic-auth";
const SSH: &str = "kubernetes.io/ssh-auth";
const TLS: &str = "kubernetes.io/tls";
const BOOTSTRAP: &str = "bootstrap.kubernetes.io/token";

/// Types §4.1: Opaque and types of one's own take any keys and any bytes, or none
#[test]
fn opaque_and_custom_types_require_nothing_on_either_side() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for secret_type in ["Opaque", "example.net/custom"] {
            place.judge(&Case::new(secret_type)).await?.taken()?;
            let case = Case::new(secret_type)
                .with(".secret-file", "value-2\r\n\r\n")
                .with("nul", b"\0")
                .with("username", "")
                .with(".dockerconfigjson", "no JSON")
                .with("tls.crt", "no PEM");
            place.judge(&case).await?.taken()?;
        }
        Ok(())
    })
}

fn token() -> Case {
    Case::new(TOKEN).with("extra", "bar\n")
}

/// Types §4.2, rows "annotation missing, empty, or removed by an update" and "names a ServiceAccount that does not exist"
#[test]
fn a_service_account_token_needs_its_annotation_on_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let words = format!("metadata.annotations[{SERVICE_ACCOUNT_NAME}]: Required value");
        let named = |account: &str| token().annotation(SERVICE_ACCOUNT_NAME, account);
        let bad = [token(), named(""), token().annotation("other", "sa-name")];
        for case in &bad {
            place.judge(case).await?.says(422, &[&words])?;
        }
        for account in ["sa-name", "NOT a name"] {
            place.judge(&named(account)).await?.taken()?;
        }
        place.write(&named("sa-name")).await?;
        for case in &bad {
            place.judge(case).await?.says(422, &[&words])?;
        }
        let removed = json!({"metadata": {"annotations": {SERVICE_ACCOUNT_NAME: null}}});
        let refused = place.merge(&token().name, &removed).await?;
        refused.says(422, &[&words])
    })
}

/// Types §4.2, row "our data contains `token`": the server stores it for ever, so we refuse more than the server does,
/// on purpose
#[test]
fn keys_of_the_token_controller_are_refused_by_us_alone() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let sound = token().annotation(SERVICE_ACCOUNT_NAME, "sa-name");
        for key in ["token", "ca.crt", "namespace"] {
            let case = sound.clone().with(key, "forged");
            place.dry_run(&case).await?.taken()?;
            let findings = case.findings(&place.namespace)?;
            ensure!(findings.refused(), "{key}");
            ensure!(findings.checks().contains(&Check::SaReservedKey), "{key}");
        }
        Ok(())
    })
}

/// Types §4.5: one of both keys is enough, and it may be empty
#[test]
fn a_login_needs_a_user_name_or_a_password_on_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for keys in [
            &[("username", "u")][..],
            &[("password", "p")],
            &[("username", "")],
            &[("password", "")],
            &[("username", ""), ("password", "")],
            &[("username", "u:v"), ("password", "\0"), ("extra", "e")],
        ] {
            place.judge(&filled(LOGIN, keys)).await?.taken()?;
        }
        let words = "[data[username]: Required value, data[password]: Required value]";
        for keys in [&[("extra", "e")][..], &[("Username", "u")], &[]] {
            let judged = place.judge(&filled(LOGIN, keys)).await?;
            judged.says(422, &[words])?;
        }
        Ok(())
    })
}

fn filled(secret_type: &str, keys: &[(&str, &str)]) -> Case {
    keys.iter()
        .fold(Case::new(secret_type), |case, (key, value)| {
            case.with(key, value)
        })
}

/// Types §4.6: the key is there and has a byte, any byte
#[test]
fn an_ssh_secret_needs_bytes_under_its_key_on_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for key in ["x", "\n", "\0", "Pouring6%Emoticon%Scuba"] {
            let case = filled(SSH, &[("ssh-privatekey", key)]);
            place.judge(&case).await?.taken()?;
        }
        for keys in [
            &[("ssh-privatekey", "")][..],
            &[],
            &[("ssh-publickey", "x"), ("known_hosts", "x")],
        ] {
            let judged = place.judge(&filled(SSH, keys)).await?;
            judged.says(422, &["data[ssh-privatekey]: Required value"])?;
        }
        Ok(())
    })
}

/// Types §4.7, row "a key missing": each missing key is told, and what is there may be empty
#[test]
fn a_tls_secret_needs_both_keys_on_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let (crt, key) = (
            "data[tls.crt]: Required value",
            "data[tls.key]: Required value",
        );
        for (keys, words) in [
            (&[("ca.crt", "x")][..], &[crt, key][..]),
            (&[], &[crt, key]),
            (&[("tls.crt", "x")], &[key]),
            (&[("tls.crt", "")], &[key]),
            (&[("tls.key", "x")], &[crt]),
        ] {
            let judged = place.judge(&filled(TLS, keys)).await?;
            judged.says(422, words)?;
        }
        let empty = filled(TLS, &[("tls.crt", ""), ("tls.key", "")]);
        place.judge(&empty).await?.taken()
    })
}

/// Types §4.8: the server checks nothing, in any namespace and under any name; all that consumers want is for our
/// other checks
#[test]
fn a_bootstrap_token_needs_nothing_on_either_side() -> Result<()> {
    run(async {
        let wrong = [
            ("token-id", "UPPER"),
            ("token-secret", "short"),
            ("expiration", "yesterday"),
            ("usage-bootstrap-authentication", "True"),
            ("auth-extra-groups", "system:masters"),
        ];
        for place in [Place::new().await?, Place::named("kube-system").await?] {
            for name in ["any-name", "bootstrap-token-5emitj"] {
                for keys in [&wrong[..], &[("any", "x")], &[]] {
                    let judged = place.judge(&filled(BOOTSTRAP, keys).named(name)).await?;
                    judged.taken()?;
                    ensure!(judged.finds(Check::BootstrapId), "{name}");
                }
            }
        }
        Ok(())
    })
}
