//! The examples of the Kubernetes documentation's page on Secrets: the server takes all of them, and so do we.
//!
//! What our checks find in each is in the core's own tests.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_sync_core::secret_type::SERVICE_ACCOUNT_NAME;

use super::{Case, Place, fixture};
use crate::world::run;

/// A name, a type, and keys with their base64 as the page has it.
type Example = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const EXAMPLES: [Example; 10] = [
    (
        "dotfile-secret",
        "",
        &[(".secret-file", "dmFsdWUtMg0KDQo=")],
    ),
    ("empty-secret", "Opaque", &[]),
    (
        "secret-dockercfg",
        "kubernetes.io/dockercfg",
        &[(
            ".dockercfg",
            "eyJhdXRocyI6eyJodHRwczovL2V4YW1wbGUvdjEvIjp7ImF1dGgiOiJvcGVuc2VzYW1lIn19fQo=",
        )],
    ),
    (
        "secret-tiger-docker",
        "kubernetes.io/dockerconfigjson",
        &[(
            ".dockerconfigjson",
            "eyJhdXRocyI6eyJteS1yZWdpc3RyeS5leGFtcGxlOjUwMDAiOnsidXNlcm5hbWUiOiJ0aWdlciIsInBhc3N3b3JkIjoicGFzczEyMzQiLCJlbWFpbCI6InRpZ2VyQGFjbWUuZXhhbXBsZSIsImF1dGgiOiJkR2xuWlhJNmNHRnpjekV5TXpRPSJ9fX0=",
        )],
    ),
    (
        "secret-basic-auth",
        "kubernetes.io/basic-auth",
        &[("username", "YWRtaW4="), ("password", "dDBwLVNlY3JldA==")],
    ),
    (
        "secret-ssh-auth",
        "kubernetes.io/ssh-auth",
        &[("ssh-privatekey", "UG91cmluZzYlRW1vdGljb24lU2N1YmE=")],
    ),
    (
        "bootstrap-token-5emitj",
        "bootstrap.kubernetes.io/token",
        &[
            (
                "auth-extra-groups",
                "c3lzdGVtOmJvb3RzdHJhcHBlcnM6a3ViZWFkbTpkZWZhdWx0LW5vZGUtdG9rZW4=",
            ),
            ("expiration", "MjAyMC0wOS0xM1QwNDozOToxMFo="),
            ("token-id", "NWVtaXRq"),
            ("token-secret", "a3E0Z2lodnN6emduMXAwcg=="),
            ("usage-bootstrap-authentication", "dHJ1ZQ=="),
            ("usage-bootstrap-signing", "dHJ1ZQ=="),
        ],
    ),
    (
        "mysecret",
        "Opaque",
        &[("1badkey", "eA=="), ("2alsobad", "eA==")],
    ),
    (
        "custom",
        "cloud-hosting.example.net/cloud-api-credentials",
        &[("key", "eA==")],
    ),
    (
        "secret-sa-sample",
        "kubernetes.io/service-account-token",
        &[("extra", "YmFyCg==")],
    ),
];

/// Types §7, column "API server": every example is taken without a warning
#[test]
fn the_examples_of_the_documentation_are_taken_by_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for (name, secret_type, keys) in EXAMPLES {
            // What `secret-sa-sample` needs and no other minds.
            let mut case = Case::new(secret_type)
                .named(name)
                .annotation(SERVICE_ACCOUNT_NAME, "sa-name");
            for (key, base64) in keys {
                case = case.with(key, BASE64_STANDARD.decode(base64)?);
            }
            let judged = place.judge(&case).await?;
            judged.taken()?;
            ensure!(judged.reply.warnings.is_empty(), "{name}");
        }
        Ok(())
    })
}

/// Types §7, row "`secret-tls`": the one example with a warning
#[test]
fn the_documentations_own_pair_is_taken_with_a_warning() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = Case::new("kubernetes.io/tls")
            .named("secret-tls")
            .with("tls.crt", fixture!("page.tls.crt"))
            .with("tls.key", "Example data for the TLS crt field");
        let judged = place.judge(&case).await?;
        judged.taken()?;
        let warning = judged.reply.warnings.first().context("no warning")?;
        ensure!(
            warning.contains("failed to find any PEM data in key input"),
            "{warning}"
        );
        Ok(())
    })
}
