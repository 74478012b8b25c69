//! The real API server: tokens that verify, rights that hold, a store that trusts it.

use reqwest::Method;

use super::*;
use crate::vault::{Policy, Vault};

#[tokio::test]
async fn tokens_are_bound_to_pods_and_verified_by_the_jwks() {
    let server = ApiServer::start().await.unwrap();
    server.create_namespace("team").await.unwrap();
    server.create_service_account("team", "web").await.unwrap();
    let pod = server.create_pod("team", "p", "web").await.unwrap();
    let token = server
        .create_token("team", "web", &["vault"], Some(&pod), 900)
        .await
        .unwrap();

    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_value(server.jwks().await.unwrap()).unwrap();
    let header = jsonwebtoken::decode_header(&token.jwt).unwrap();
    let key =
        jsonwebtoken::DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut checks = jsonwebtoken::Validation::new(header.alg);
    checks.set_audience(&["vault"]);
    let claims: Value = jsonwebtoken::decode(&token.jwt, &key, &checks)
        .unwrap()
        .claims;
    assert_eq!(claims["iss"], ApiServer::ISSUER);
    assert_eq!(claims["sub"], "system:serviceaccount:team:web");
    assert_eq!(claims["kubernetes.io"]["pod"]["uid"], pod.uid);
    assert!(token.expires.ends_with('Z'), "{}", token.expires);

    account_has_only_the_rights_it_was_given(&server).await;
    a_store_takes_a_login_that_the_server_reviews(&server, &token.jwt).await;
}

async fn account_has_only_the_rights_it_was_given(server: &ApiServer) {
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    server.bind("team", "web", "reader", &rules).await.unwrap();
    let client = server.client_for("team", "web").await.unwrap();
    for (namespace, verb, expected) in [
        ("team", "get", true),
        ("team", "list", false),
        ("other", "get", false),
    ] {
        // The authorizer sees a new binding through its own watch.
        let settled = eventually(Duration::from_secs(10), "rights", async || {
            let allowed = ApiServer::allowed(client.clone(), namespace, verb, "secrets").await?;
            ensure!(allowed == expected, "{verb} in {namespace} is {allowed}");
            Ok(())
        });
        settled.await.unwrap();
    }
    let text = fs::read_to_string(server.kubeconfig_for("team", "web").await.unwrap()).unwrap();
    assert!(text.contains(server.url()));
}

async fn a_store_takes_a_login_that_the_server_reviews(server: &ApiServer, jwt: &str) {
    let vault = Vault::start().await.unwrap();
    let mount = format!("kubernetes-{}", random_hex(4).unwrap());
    server.trusted_by(&vault, &mount).await.unwrap();
    vault
        .policy("reader", &Policy::read(&["secret/data/*"]))
        .await
        .unwrap();
    let role = json!({
        "bound_service_account_names": "web",
        "bound_service_account_namespaces": "team",
        "audience": "vault",
        "token_policies": "reader",
    });
    vault
        .write(&format!("auth/{mount}/role/csi"), &role)
        .await
        .unwrap();
    let body = json!({"role": "csi", "jwt": jwt});
    let login = format!("auth/{mount}/login");
    let reply = eventually(Duration::from_secs(10), "a login", async || {
        vault.call_as("", Method::POST, &login, Some(&body)).await
    });
    assert!(reply.await.unwrap()["auth"]["client_token"].is_string());
}
