//! Tokens good, foreign, expired and junk, against keys made up here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PublicKeyData as _};
use secrecy::SecretString;
use serde_json::json;

use super::{Expected, IssuerKeys, KeySource, Prover};

struct Made {
    keys: IssuerKeys,
    fetches: AtomicUsize,
}

#[async_trait]
impl KeySource for Made {
    async fn fetch(&self) -> Result<IssuerKeys, String> {
        self.fetches.fetch_add(1, Ordering::Relaxed);
        Ok(self.keys.clone())
    }
}

fn keys_of(pair: &KeyPair, issuer: Option<&str>) -> IssuerKeys {
    // The point of a P-256 key: 0x04, then 32 bytes of x and 32 of y.
    let point = pair.der_bytes();
    let part = |range: std::ops::Range<usize>| URL_SAFE_NO_PAD.encode(&point[range]);
    let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1", "x": part(1..33), "y": part(33..65)}]});
    IssuerKeys {
        keys: serde_json::from_value(set).unwrap(),
        issuer: issuer.map(str::to_owned),
    }
}

fn sign(pair: &KeyPair, kid: &str, claims: &serde_json::Value) -> SecretString {
    let header = Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::ES256)
    };
    let key = EncodingKey::from_ec_der(&pair.serialize_der());
    SecretString::from(jsonwebtoken::encode(&header, claims, &key).unwrap())
}

fn claims() -> serde_json::Value {
    json!({"iss": "https://cluster", "sub": "system:serviceaccount:shop:web", "aud": ["vault"], "exp": 2000, "nbf": 900})
}

fn expected(now: i64) -> Expected<'static> {
    Expected {
        subject: "system:serviceaccount:shop:web",
        audience: Some("vault"),
        now: Timestamp::from_second(now).unwrap(),
    }
}

async fn prover(keys: IssuerKeys) -> (Arc<Prover>, Arc<Made>) {
    let source = Arc::new(Made {
        keys,
        fetches: AtomicUsize::new(0),
    });
    let prover = Arc::new(Prover::new(Some(Arc::clone(&source) as Arc<dyn KeySource>)));
    prover.fetch_soon();
    prover.wait_for_keys(Duration::from_secs(1)).await;
    (prover, source)
}

#[tokio::test]
async fn only_a_token_that_is_right_in_everything_is_proven() {
    let pair = KeyPair::generate().unwrap();
    let stranger = KeyPair::generate().unwrap();
    let (prover, _) = prover(keys_of(&pair, Some("https://cluster"))).await;
    assert!(prover.proves(&sign(&pair, "k1", &claims()), expected(1000)));
    let with = |key: &str, value: serde_json::Value| {
        let mut claims = claims();
        claims[key] = value;
        sign(&pair, "k1", &claims)
    };
    for (what, token, now) in [
        ("signed by another", sign(&stranger, "k1", &claims()), 1000),
        ("expired", sign(&pair, "k1", &claims()), 2000),
        ("not valid yet", sign(&pair, "k1", &claims()), 800),
        (
            "another account",
            with("sub", json!("system:serviceaccount:shop:admin")),
            1000,
        ),
        ("another audience", with("aud", json!("api")), 1000),
        ("another issuer", with("iss", json!("https://evil")), 1000),
        ("unknown key", sign(&pair, "k2", &claims()), 1000),
        ("junk", SecretString::from("a.b.c"), 1000),
        ("empty", SecretString::from(""), 1000),
    ] {
        assert!(!prover.proves(&token, expected(now)), "{what}");
    }
    assert!(
        prover.proves(&with("aud", json!("vault")), expected(1000)),
        "one audience as text"
    );
}

#[tokio::test]
async fn without_keys_nothing_is_proven_and_nobody_waits() {
    let pair = KeyPair::generate().unwrap();
    let prover = Prover::new(None);
    prover.wait_for_keys(Duration::from_secs(3600)).await;
    assert!(!prover.proves(&sign(&pair, "k1", &claims()), expected(1000)));
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_at_most_once_a_minute() {
    let pair = KeyPair::generate().unwrap();
    let (prover, source) = prover(keys_of(&pair, None)).await;
    assert!(prover.misses_key_of(&sign(&pair, "k2", &claims())));
    assert!(!prover.misses_key_of(&sign(&pair, "k1", &claims())));
    for _ in 0..10 {
        prover.fetch_soon();
    }
    tokio::time::sleep(Duration::from_secs(61)).await;
    prover.fetch_soon();
    prover.fetch_soon();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(source.fetches.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_token_that_was_seen_before_is_judged_anew() {
    let pair = KeyPair::generate().unwrap();
    let (prover, _) = prover(keys_of(&pair, None)).await;
    let token = sign(&pair, "k1", &claims());
    assert!(prover.proves(&token, expected(1000)));
    assert!(prover.proves(&token, expected(1999)));
    assert!(
        !prover.proves(&token, expected(2000)),
        "it has expired meanwhile"
    );
    let other = Expected {
        subject: "system:serviceaccount:shop:admin",
        ..expected(1000)
    };
    assert!(!prover.proves(&token, other), "it is another's");
}

/// Other keys at every fetch.
struct Rotating(std::sync::Mutex<Vec<IssuerKeys>>);

#[async_trait]
impl KeySource for Rotating {
    async fn fetch(&self) -> Result<IssuerKeys, String> {
        self.0
            .lock()
            .unwrap()
            .pop()
            .ok_or_else(|| "no more".to_owned())
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_of_a_key_that_is_gone_is_proven_no_more() {
    let (old, new) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let source = Rotating(std::sync::Mutex::new(vec![
        keys_of(&new, None),
        keys_of(&old, None),
    ]));
    let prover = Arc::new(Prover::new(Some(Arc::new(source))));
    prover.fetch_soon();
    prover.wait_for_keys(Duration::from_secs(1)).await;
    let token = sign(&old, "k1", &claims());
    assert!(prover.proves(&token, expected(1000)));
    tokio::time::sleep(Duration::from_secs(61)).await;
    prover.fetch_soon();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!prover.proves(&token, expected(1000)));
}
