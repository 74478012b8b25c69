//! Bootstrap tokens before the server's own authenticator: it admits exactly those in which we find nothing that it
//! asks for.
//!
//! What the server stores of them is in `checks` and `required`. No token cleaner runs here.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use coffer_sync_core::validate::{Check, Class};
use coffer_tests::fixture::{eventually, random_hex};
use coffer_tests::tls::http_client_trusting;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::checks::Sample;
use super::checks::tokens::{AUTHENTICATION, EXPIRATION, GROUPS, ID, SECRET, SIGNING};
use super::{Case, Place};
use crate::stage::SOON;
use crate::world::{cluster, run};

const TYPE: &str = "bootstrap.kubernetes.io/token";
const PREFIX: &str = "bootstrap-token-";

/// A Secret that is written for real, and what both sides should make of it.
struct Token {
    /// Both halves as a sound Secret would have them.
    id: String,
    secret: String,
    case: Case,
    /// Not in `kube-system`.
    is_elsewhere: bool,
    /// What we tell of it.
    told: Option<Check>,
    /// Whether somebody gets in by it.
    admitted: bool,
}

impl Token {
    /// A sound one, of its own.
    fn new() -> Result<Self> {
        let (id, secret) = (random_hex(3)?, random_hex(8)?);
        let case = Case::new(TYPE)
            .named(&format!("{PREFIX}{id}"))
            .with(ID, &id)
            .with(SECRET, &secret)
            .with(AUTHENTICATION, "true")
            .with(GROUPS, "system:bootstrappers:made-up")
            .with(EXPIRATION, "2126-01-01T00:00:00Z");
        Ok(Self {
            id,
            secret,
            case,
            is_elsewhere: false,
            told: None,
            admitted: true,
        })
    }

    /// A sound one but for this value.
    fn having(key: &str, value: &str) -> Result<Self> {
        Ok(Self::new()?.with(key, value))
    }

    /// A sound one but for this key, which is not there.
    fn lacking(key: &str) -> Result<Self> {
        let mut token = Self::new()?;
        token.case.data.remove(key);
        Ok(token)
    }

    fn with(self, key: &str, value: &str) -> Self {
        let case = self.case.with(key, value);
        Self { case, ..self }
    }

    fn named(self, name: &str) -> Self {
        let case = self.case.named(name);
        Self { case, ..self }
    }

    /// Told for this check, and refused.
    fn flawed(self, check: Check) -> Self {
        self.told(check).refused()
    }

    fn told(self, check: Check) -> Self {
        let told = Some(check);
        Self { told, ..self }
    }

    fn refused(self) -> Self {
        Self {
            admitted: false,
            ..self
        }
    }

    /// The value of a key without blanks around it: neither half of a bearer token has any.
    fn text(&self, key: &str) -> String {
        let value = self.case.data.get(key);
        let text = value.map(|value| String::from_utf8_lossy(value.expose()).into_owned());
        text.unwrap_or_default().trim().to_owned()
    }

    /// What somebody might try: the halves as they were meant, as they are stored, and as the name has them.
    fn attempts(&self) -> BTreeSet<String> {
        let name = &self.case.name;
        let suffix = name.strip_prefix(PREFIX).unwrap_or(name);
        let ids = [self.id.clone(), self.text(ID), suffix.to_owned()];
        let secrets = [self.secret.clone(), self.text(SECRET)];
        let with_id = |id: &String| secrets.clone().map(|secret| format!("{id}.{secret}"));
        ids.iter().flat_map(with_id).collect()
    }

    /// Our checks that say it is no credential.
    fn flaws(&self, namespace: &str) -> BTreeSet<Check> {
        let findings = Sample::from(self.case.clone()).findings(namespace, Timestamp::now());
        let grave = |one: &Check| one.class() == Class::Holdable || *one == Check::TypeLookalike;
        findings.checks().into_iter().filter(grave).collect()
    }
}

/// The server, as those see it who have a token only.
struct Door {
    client: reqwest::Client,
    reviews: String,
    system: Place,
    elsewhere: Place,
}

impl Door {
    async fn new() -> Result<Self> {
        let api = &cluster().await?.api;
        Ok(Self {
            client: http_client_trusting(&[api.authority()])?.build()?,
            reviews: format!(
                "{}/apis/authentication.k8s.io/v1/selfsubjectreviews",
                api.url()
            ),
            system: Place::named("kube-system").await?,
            elsewhere: Place::new().await?,
        })
    }

    fn place(&self, token: &Token) -> &Place {
        if token.is_elsewhere {
            &self.elsewhere
        } else {
            &self.system
        }
    }

    /// Whom the server takes the bearer for, if for anybody.
    async fn user(&self, bearer: &str) -> Result<Option<Value>> {
        let review = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "SelfSubjectReview",
        });
        let request = self.client.post(&self.reviews).bearer_auth(bearer);
        let answer = request.json(&review).send().await?;
        match answer.status().as_u16() {
            201 => {
                let mut review: Value = answer.json().await?;
                Ok(Some(review["status"]["userInfo"].take()))
            }
            401 => Ok(None),
            code => bail!("{code} {}", answer.text().await?),
        }
    }

    /// Whether any attempt succeeds; then the bearer is the token's user, in all groups of its list.
    async fn admits(&self, token: &Token) -> Result<bool> {
        let mut admitted = false;
        for bearer in token.attempts() {
            let Some(user) = self.user(&bearer).await? else {
                continue;
            };
            admitted = true;
            let name = format!("system:bootstrap:{}", token.id);
            ensure!(user["username"] == json!(name), "{user}");
            let groups = user["groups"].as_array().context("no groups")?;
            let listed = token.text(GROUPS);
            let mut listed = listed.split(',').filter(|group| !group.is_empty());
            let has = |group: &str| groups.iter().any(|one| one.as_str() == Some(group));
            ensure!(has("system:bootstrappers") && listed.all(has), "{user}");
        }
        Ok(admitted)
    }

    /// Fails unless the server and we say of each what is expected. None of them stays.
    async fn judges(&self, tokens: &[Token]) -> Result<()> {
        let last = Token::new()?;
        let judged = self.compare(tokens, &last).await;
        for token in tokens.iter().chain([&last]) {
            self.place(token).delete(&token.case.name).await?;
        }
        judged
    }

    async fn compare(&self, tokens: &[Token], last: &Token) -> Result<()> {
        for token in tokens.iter().chain([last]) {
            self.place(token).write(&token.case).await?;
        }
        // The authenticator learns of Secrets by one watch, so it knows the others when it knows this one.
        eventually(SOON, "the token that was written last", async || {
            ensure!(self.admits(last).await?, "it is refused");
            Ok(())
        })
        .await?;
        for token in tokens {
            let admitted = self.admits(token).await?;
            let told = token.flaws(&self.place(token).namespace);
            let expected: BTreeSet<Check> = token.told.into_iter().collect();
            ensure!(
                admitted == token.admitted && told == expected,
                "admitted: {admitted}, we tell {told:?}: {}",
                token.case.outline()
            );
        }
        Ok(())
    }
}

/// Has both sides judge these.
fn judged(tokens: &[Token]) -> Result<()> {
    run(async { Door::new().await?.judges(tokens).await })
}

/// Types §4.8, row "namespace `kube-system`, name ...": `bootstrap.namespace`, `.name` and `.id`, and a type that only
/// resembles the true one
#[test]
fn a_token_that_is_not_where_its_id_says_opens_nothing_and_is_told() -> Result<()> {
    let mut tokens = vec![Token::new()?, Token::having("description", "made-up")?];
    let elsewhere = Token {
        is_elsewhere: true,
        ..Token::new()?
    };
    tokens.push(elsewhere.flawed(Check::BootstrapNamespace));
    for name in [random_hex(3)?, format!("{PREFIX}{}", random_hex(3)?)] {
        let token = Token::new()?.named(&name);
        tokens.push(token.flawed(Check::BootstrapName));
    }
    let token = Token::new()?;
    let longer = format!("{}-2", token.case.name);
    tokens.push(token.named(&longer).flawed(Check::BootstrapName));
    for secret_type in ["bootstrap.kubernetes.io/Token", &format!("{TYPE} ")] {
        let mut token = Token::new()?;
        token.case.secret_type = secret_type.to_owned();
        tokens.push(token.flawed(Check::TypeLookalike));
    }

    tokens.push(Token::lacking(ID)?.flawed(Check::BootstrapId));
    tokens.push(Token::having(ID, "")?.flawed(Check::BootstrapId));
    let spoilt: [fn(&str) -> String; 3] = [
        |id| format!("{id}\n"),
        |id| format!(" {id}"),
        |id| format!("A{}", &id[1..]),
    ];
    for spoil in spoilt {
        let token = Token::new()?;
        let id = spoil(&token.id);
        tokens.push(token.with(ID, &id).flawed(Check::BootstrapId));
    }
    // Other forms, under names that follow them.
    let (five, seven) = (random_hex(3)?, random_hex(3)?);
    for id in [
        &five[1..],
        &format!("{seven}0"),
        &format!("{}.0", &seven[2..]),
    ] {
        let token = Token::having(ID, id)?.named(&format!("{PREFIX}{id}"));
        tokens.push(token.flawed(Check::BootstrapId));
    }
    judged(&tokens)
}

/// Types §4.8, row "`token-secret`": `bootstrap.secret`
#[test]
fn a_token_whose_secret_has_another_form_opens_nothing_and_is_told() -> Result<()> {
    let mut tokens = vec![
        Token::new()?,
        Token::lacking(SECRET)?.flawed(Check::BootstrapSecret),
    ];
    let spoilt: [fn(&str) -> String; 6] = [
        |_| String::new(),
        |secret| format!("{secret}\n"),
        |secret| format!("{secret} "),
        |secret| secret[1..].to_owned(),
        |secret| format!("{secret}0"),
        |secret| format!("A{}", &secret[1..]),
    ];
    for spoil in spoilt {
        let token = Token::new()?;
        let secret = spoil(&token.secret);
        tokens.push(token.with(SECRET, &secret).flawed(Check::BootstrapSecret));
    }
    judged(&tokens)
}

/// Types §4.8, row "`usage-bootstrap-authentication`": `bootstrap.usage`
#[test]
fn a_token_whose_usage_is_not_exactly_true_opens_nothing_and_is_told() -> Result<()> {
    let mut tokens = vec![
        Token::having(SIGNING, "true")?,
        Token::lacking(AUTHENTICATION)?.flawed(Check::BootstrapUsage),
    ];
    for usage in ["True", "true\n", " true", "", "false", "1"] {
        let token = Token::having(AUTHENTICATION, usage)?;
        tokens.push(token.flawed(Check::BootstrapUsage));
    }
    judged(&tokens)
}

/// The same row, "signing likewise", and "type exact": what is for others than the authenticator. A flag for signing is
/// told although it keeps nobody out, a Secret for another use is sound although it lets nobody in
#[test]
fn what_is_no_business_of_the_authenticator_is_not_judged_by_its_answer() -> Result<()> {
    let mut tokens = Vec::new();
    for usage in ["True", "true\n", "", "false"] {
        tokens.push(Token::having(SIGNING, usage)?.told(Check::BootstrapUsage));
    }
    tokens.push(Token::having("usage-bootstrap-made-up", "no")?.told(Check::BootstrapUsage));
    let signing = Token::lacking(AUTHENTICATION)?.with(SIGNING, "true");
    tokens.push(signing.refused());
    let mut opaque = Token::new()?;
    "Opaque".clone_into(&mut opaque.case.secret_type);
    tokens.push(opaque.refused());
    judged(&tokens)
}

/// Types §4.8, row "`auth-extra-groups`": `bootstrap.groups`
#[test]
fn a_token_with_one_bad_group_opens_nothing_and_is_told() -> Result<()> {
    let long = |letters: usize| format!("system:bootstrappers:{}", "a".repeat(letters));
    let mut tokens = vec![Token::lacking(GROUPS)?];
    for groups in [
        "",
        "system:bootstrappers:a",
        "system:bootstrappers:a:b-c,system:bootstrappers:1",
        "system:bootstrappers::a",
        &long(256),
    ] {
        tokens.push(Token::having(GROUPS, groups)?);
    }
    for groups in [
        "system:masters",
        "system:bootstrappers",
        "system:bootstrappers:",
        "system:bootstrappers:a,system:masters",
        "system:bootstrappers:a, system:bootstrappers:b",
        "system:bootstrappers:a,,system:bootstrappers:b",
        "system:bootstrappers:a,",
        ",system:bootstrappers:a",
        "system:bootstrappers:a\n",
        "system:bootstrappers:A",
        "system:bootstrappers:a-",
        " ",
        &long(257),
    ] {
        let token = Token::having(GROUPS, groups)?;
        tokens.push(token.flawed(Check::BootstrapGroups));
    }
    judged(&tokens)
}

/// What a clock shows that is ahead by so many hours, without a zone.
fn clock(hours: i64) -> String {
    let time = Timestamp::now() + SignedDuration::from_hours(hours);
    time.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Types §4.8, row "`expiration` RFC 3339": `bootstrap.expiration`, `.expired` and `.no-expiration`, of which the last
/// keeps nobody out
#[test]
fn a_token_that_expired_or_has_no_readable_end_opens_nothing_and_is_told() -> Result<()> {
    let mut tokens = vec![Token::lacking(EXPIRATION)?];
    for sound in [
        "",
        &format!("{}Z", clock(1)),
        &format!("{}-02:00", clock(-1)),
        "2126-01-01T00:00:00.123456Z",
        "2126-01-01T00:00:00.5-11:30",
        "2126-01-01T00:00:00+02:00",
        "2128-02-29T00:00:00Z",
    ] {
        tokens.push(Token::having(EXPIRATION, sound)?);
    }
    for past in [
        "2020-09-13T04:39:10Z",
        &format!("{}Z", clock(-1)),
        &format!("{}+02:00", clock(1)),
    ] {
        let token = Token::having(EXPIRATION, past)?;
        tokens.push(token.flawed(Check::BootstrapExpired));
    }
    for unread in [
        "2126-06-01",
        "2126-06-01T00:00:00",
        "2126-06-01T00:00:00.5",
        "2126-06-01T00:00Z",
        "2126-06-01T00:00:00z",
        "2126-06-01t00:00:00Z",
        "2126-06-01 00:00:00Z",
        "2126-06-01T00:00:00Z\n",
        " 2126-06-01T00:00:00Z",
        "2126-06-01T00:00:00.Z",
        "2126-06-01T00:00:00+0200",
        "2126-06-01T24:00:00Z",
        "2126-06-01T23:59:60Z",
        "2126-06-31T00:00:00Z",
        "2126-02-29T00:00:00Z",
        "2126-13-01T00:00:00Z",
        "12126-06-01T00:00:00Z",
        "never",
    ] {
        let token = Token::having(EXPIRATION, unread)?;
        tokens.push(token.flawed(Check::BootstrapExpiration));
    }
    judged(&tokens)
}

/// The same row, where Go and RFC 3339 are not of one mind, or a time is beyond what our own type can hold
#[test]
fn an_end_at_the_edge_of_rfc_3339_is_read_as_the_server_reads_it() -> Result<()> {
    let mut tokens = Vec::new();
    for sound in [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        "2126-06-01T1:02:03Z",
        "2126-06-01T00:00:00,5Z",
        "2126-06-01T00:00:00.1234567890Z",
        "2126-06-01T00:00:00+24:00",
        "2126-06-01T00:00:00+00:60",
        "2126-06-01T00:00:00-00:00",
    ] {
        tokens.push(Token::having(EXPIRATION, sound)?);
    }
    for unread in ["2126-06-01T00:00:00+25:00", "2126-06-01T00:00:00+25:59"] {
        let token = Token::having(EXPIRATION, unread)?;
        tokens.push(token.flawed(Check::BootstrapExpiration));
    }
    judged(&tokens)
}
