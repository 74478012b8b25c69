//! The real server: ready, set up, sealed, with TLS. Needs the program `bao` or what the environment names.

use reqwest::Method;
use serde_json::json;

use super::*;
use crate::driver::attributes::Pod;
use crate::fixture::random_hex;
use crate::tls::http_client_trusting;

/// A name of one's own: the server may be shared.
fn name(what: &str) -> String {
    format!("{what}-{}", random_hex(4).unwrap())
}

#[tokio::test]
async fn a_dev_server_is_ready_and_keeps_secrets_of_both_versions() {
    let vault = Vault::start().await.unwrap();
    assert!(vault.version().await.unwrap().contains('.'));
    let (first, second) = (name("kv1"), name("kv2"));
    vault.enable_kv(&first, KvVersion::V1).await.unwrap();
    vault.enable_kv(&second, KvVersion::V2).await.unwrap();
    vault
        .kv1_put(&first, "foo", &json!({"bar": "one"}))
        .await
        .unwrap();
    vault
        .kv2_put(&second, "foo", &json!({"bar": "two"}))
        .await
        .unwrap();
    let one = vault.read(&format!("{first}/foo")).await.unwrap();
    let two = vault.read(&format!("{second}/data/foo")).await.unwrap();
    assert_eq!(
        (&one["data"]["bar"], &two["data"]["data"]["bar"]),
        (&json!("one"), &json!("two"))
    );
    vault.delete(&format!("{first}/foo")).await.unwrap();
    let error = vault
        .read(&format!("{first}/foo"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("404"), "{error}");
}

#[tokio::test]
async fn a_minted_token_logs_in_and_is_held_to_its_role() {
    let vault = Vault::start().await.unwrap();
    let (mount, policy) = (name("jwt"), name("policy"));
    let issuer = JwtAuth::new("https://issuer.test").unwrap();
    issuer.enable(&vault, &mount).await.unwrap();
    vault
        .policy(&policy, &Policy::read(&["secret/data/*"]))
        .await
        .unwrap();
    let role = JwtRole {
        name: "csi",
        audience: Some("vault"),
        subject: Some("system:serviceaccount:default:web"),
        policies: &[&policy],
        ttl: "20m",
    };
    issuer.role(&vault, &mount, &role).await.unwrap();

    let pod = Pod::new("default", "p")
        .unwrap()
        .with_service_account("web");
    let stranger = Pod::new("default", "p").unwrap();
    let login = async |pod: &Pod, audience: &str, seconds: i64| {
        let jwt = issuer.mint(pod, audience, seconds).unwrap().jwt;
        let body = json!({"role": "csi", "jwt": jwt});
        let reply = vault
            .call_as(
                "",
                Method::POST,
                &format!("auth/{mount}/login"),
                Some(&body),
            )
            .await?;
        anyhow::Ok(reply["auth"]["client_token"].as_str().unwrap().to_owned())
    };
    let token = login(&pod, "vault", 600).await.unwrap();
    vault
        .kv2_put("secret", &policy, &json!({"k": "v"}))
        .await
        .unwrap();
    let path = format!("secret/data/{policy}");
    assert!(
        vault
            .call_as(&token, Method::GET, &path, None)
            .await
            .is_ok()
    );
    assert!(
        vault
            .call_as(&token, Method::GET, "sys/mounts", None)
            .await
            .is_err()
    );
    assert!(vault.is_token_valid(&token).await.unwrap());

    for (pod, audience, seconds, why) in [
        (&pod, "other", 600, "audience"),
        (&stranger, "vault", 600, "sub"),
        (&pod, "vault", -600, "expired"),
    ] {
        let error = login(pod, audience, seconds).await.unwrap_err().to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}

#[tokio::test]
async fn a_lasting_server_keeps_secrets_and_tokens_over_a_kill() {
    let mut vault = Vault::start_lasting().await.unwrap();
    let token = vault.create_token(&["default"], "20m").await.unwrap();
    vault
        .kv2_put("secret", "foo", &json!({"bar": "kept"}))
        .await
        .unwrap();
    vault.kill().unwrap();
    assert!(vault.health().await.is_err());
    vault.start_again().await.unwrap();
    assert!(vault.read("secret/data/foo").await.is_err());
    vault.unseal().await.unwrap();
    let read = vault.read("secret/data/foo").await.unwrap();
    assert_eq!(read["data"]["data"]["bar"], "kept");
    assert!(vault.is_token_valid(&token).await.unwrap());
}

#[tokio::test]
async fn what_a_dev_server_held_is_lost_with_it() {
    let mut vault = Vault::start().await.unwrap();
    assert!(vault.start_again().await.is_err());
}

#[test]
fn the_jwks_document_verifies_a_minted_token() {
    let issuer = JwtAuth::new("https://issuer.test").unwrap();
    let pod = Pod::new("default", "p").unwrap();
    let token = issuer.mint(&pod, "vault", 600).unwrap();
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_value(issuer.jwks()).unwrap();
    let id = jsonwebtoken::decode_header(&token.jwt)
        .unwrap()
        .kid
        .unwrap();
    let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(&id).unwrap()).unwrap();
    let mut checks = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    checks.set_audience(&["vault"]);
    let claims: Value = jsonwebtoken::decode(&token.jwt, &key, &checks)
        .unwrap()
        .claims;
    assert_eq!(claims["sub"], "system:serviceaccount:default:default");
    assert_eq!(claims["kubernetes.io"]["pod"]["uid"], pod.uid);
}

#[tokio::test]
async fn a_sealed_server_says_so_and_comes_back_with_what_it_held() {
    let vault = Vault::start().await.unwrap();
    if !vault.is_own() {
        assert!(vault.seal().await.is_err());
        return;
    }
    vault
        .kv2_put("secret", "foo", &json!({"bar": "hello"}))
        .await
        .unwrap();
    vault.seal().await.unwrap();
    assert_eq!(vault.health().await.unwrap(), 503);
    assert!(vault.read("secret/data/foo").await.is_err());
    vault.unseal().await.unwrap();
    assert_eq!(
        vault.read("secret/data/foo").await.unwrap()["data"]["data"]["bar"],
        "hello"
    );
}

#[tokio::test]
async fn a_server_with_tls_asks_for_the_clients_certificate() {
    let vault = Vault::start_tls(true).await.unwrap();
    vault
        .kv2_put("secret", "foo", &json!({"bar": "hello"}))
        .await
        .unwrap();
    assert_eq!(
        vault.read("secret/data/foo").await.unwrap()["data"]["data"]["bar"],
        "hello"
    );
    let ca = std::fs::read_to_string(&vault.tls().unwrap().ca).unwrap();
    let nobody = http_client_trusting(&[&ca]).unwrap().build().unwrap();
    assert!(nobody.get(vault.url("sys/health")).send().await.is_err());
}

#[tokio::test]
async fn a_killed_server_answers_no_more() {
    let mut vault = Vault::start().await.unwrap();
    if vault.is_own() {
        vault.kill().unwrap();
        assert!(vault.health().await.is_err());
    } else {
        assert!(vault.kill().is_err());
    }
}
