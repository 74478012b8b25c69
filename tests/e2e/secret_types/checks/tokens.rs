//! Tokens of the cluster itself: those of bootstrap, and those of service accounts.
//!
//! Whether the server admits a bootstrap token is asked in `secret_types::bootstrap`.

use anyhow::Result;
use coffer_sync_core::secret_type::SERVICE_ACCOUNT_NAME;
use coffer_sync_core::validate::Check;

use super::{Case, Row, Sample};

pub(in crate::secret_types) const ID: &str = "token-id";
pub(in crate::secret_types) const SECRET: &str = "token-secret";
pub(in crate::secret_types) const AUTHENTICATION: &str = "usage-bootstrap-authentication";
pub(in crate::secret_types) const SIGNING: &str = "usage-bootstrap-signing";
pub(in crate::secret_types) const GROUPS: &str = "auth-extra-groups";
pub(in crate::secret_types) const EXPIRATION: &str = "expiration";

fn token() -> Sample {
    let case = Case::new("bootstrap.kubernetes.io/token")
        .named("bootstrap-token-abc123")
        .with(ID, "abc123")
        .with(SECRET, "0123456789abcdef")
        .with(AUTHENTICATION, "true")
        .with(SIGNING, "true")
        .with(GROUPS, "system:bootstrappers:made-up")
        .with(EXPIRATION, "2030-06-01T00:00:00Z");
    Sample {
        is_system: true,
        ..Sample::from(case)
    }
}

pub(super) fn bootstrap() -> Result<Vec<Row>> {
    let with = |key: &'static str| move |value: &str| token().with(key, value);
    let elsewhere = Sample {
        is_system: false,
        ..token()
    };
    Ok(vec![
        Row::of(Check::BootstrapNamespace)
            .bad([elsewhere])
            .good([token()]),
        Row::of(Check::BootstrapName)
            .bad(["bootstrap-token-abc124", "abc123"].map(|name| token().named(name)))
            .good([token()]),
        Row::of(Check::BootstrapId)
            .bad(["abc123\n", "abc12", "ABC123", ""].map(with(ID)))
            .bad([token().without(ID)])
            .good([token()]),
        Row::of(Check::BootstrapSecret)
            .bad(["0123456789abcde", "0123456789ABCDEF", ""].map(with(SECRET)))
            .bad([token().without(SECRET)])
            .good([token()]),
        Row::of(Check::BootstrapSecret)
            .beside(&[Check::ValueNewline])
            .bad(["0123456789abcdef\n"].map(with(SECRET)))
            .good([token()]),
        Row::of(Check::BootstrapUsage)
            .bad(["True", "true\n", "", "false"].map(with(AUTHENTICATION)))
            .bad(["True", "1"].map(with(SIGNING)))
            .bad([token().without(AUTHENTICATION).without(SIGNING)])
            .good([token().without(AUTHENTICATION), token().without(SIGNING)]),
        Row::of(Check::BootstrapGroups)
            .bad(["system:masters", "system:bootstrappers:a,"].map(with(GROUPS)))
            .bad(["system:bootstrappers:A", "system:bootstrappers:a-"].map(with(GROUPS)))
            .good(["", "system:bootstrappers:a:b-c,system:bootstrappers:1"].map(with(GROUPS)))
            .good([token().without(GROUPS)]),
        Row::of(Check::BootstrapExpiration)
            .bad(
                ["2030-06-01", "2030-06-01T00:00:00", "2030-06-01 00:00:00Z"].map(with(EXPIRATION)),
            )
            .bad(["2030-06-01T00:00:00z", "2030-06-01T00:00:00Z\n"].map(with(EXPIRATION)))
            .good(["2030-06-01T00:00:00.5Z", "2030-06-01T00:00:00+02:00"].map(with(EXPIRATION))),
        Row::of(Check::BootstrapExpired)
            .bad(["2029-12-31T23:59:59Z", "2030-01-01T01:00:00+02:00"].map(with(EXPIRATION)))
            .good(["2030-01-01T00:00:01Z", "2029-12-31T23:00:00-02:00"].map(with(EXPIRATION))),
        Row::of(Check::BootstrapNoExpiration)
            .bad([token().without(EXPIRATION), token().with(EXPIRATION, "")])
            .good([token()]),
    ])
}

/// A token for an account, and what is known of the account. The namespace has `default` only.
fn token_of(account: &str, exists: Option<bool>) -> Sample {
    let case = Case::new("kubernetes.io/service-account-token")
        .annotation(SERVICE_ACCOUNT_NAME, account)
        .with("extra", "bar\n");
    Sample {
        service_account_exists: exists,
        ..Sample::from(case)
    }
}

pub(super) fn service_account() -> Result<Vec<Row>> {
    Ok(vec![
        Row::of(Check::SaMissing)
            .beside(&[Check::SaLegacy])
            .bad(["absent", "NOT a name"].map(|account| token_of(account, Some(false))))
            .good([token_of("default", Some(true)), token_of("absent", None)]),
        Row::of(Check::SaLegacy)
            .bad([token_of("default", Some(true))])
            .good([Case::opaque()]),
    ])
}
