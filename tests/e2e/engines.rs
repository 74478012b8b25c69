//! What each engine's replies become: key-value of both versions, PKI, lists, whole replies, odd values.

use anyhow::{Context, Result, ensure};
use coffer_tests::vault::{KvVersion, Vault};
use serde_json::{Value, json};

use crate::stage::{failure, has, mount, object, provider, stays, text, texts, unique};
use crate::world::{run, store};

/// §14 values, §3 secretKey: a key of KV v2 is looked up in its data, one of KV v1 in the reply's
#[test]
fn kv_keys_are_found_in_both_versions() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let mount = unique("kv1");
        store.vault.enable_kv(&mount, KvVersion::V1).await?;
        store
            .vault
            .kv1_put(&mount, "foo", &json!({"bar": "one"}))
            .await?;
        let second = store.secret("foo", &json!({"bar": "two"})).await?;
        let objects = object("v1", &format!("{mount}/foo"), "secretKey: bar")
            + &object("v2", &second, "secretKey: bar");
        let files = texts(&store.mount(&provider, store.class(&objects)).await?)?;
        assert_eq!((files["v1"].as_str(), files["v2"].as_str()), ("one", "two"));
        let told = failure(
            &store
                .mount(
                    &provider,
                    store.class(&object("o", &second, "secretKey: metadata")),
                )
                .await?,
        )?;
        has(&told, &["does not exist at the secret path"])
    })
}

/// D23: a key `data` of KV v1 that holds a map is that map
#[test]
fn kv_v1_may_have_a_key_called_data() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let mount = unique("kv1");
        store.vault.enable_kv(&mount, KvVersion::V1).await?;
        let data = json!({"data": {"inner": "x"}, "plain": "y"});
        store.vault.kv1_put(&mount, "foo", &data).await?;
        let path = format!("{mount}/foo");
        let objects =
            object("map", &path, "secretKey: data") + &object("plain", &path, "secretKey: plain");
        let files = texts(&store.mount(&provider, store.class(&objects)).await?)?;
        assert_eq!(
            (files["map"].as_str(), files["plain"].as_str()),
            (r#"{"inner":"x"}"#, "y")
        );
        Ok(())
    })
}

/// §3 secretPath, §14 request: `?version=1` reads an old version, and two queries are two reads
#[test]
fn kv_versions_are_chosen_by_query() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let name = unique("versions");
        for value in ["old", "new"] {
            store
                .vault
                .kv2_put("secret", &name, &json!({"k": value}))
                .await?;
        }
        let path = format!("secret/data/{name}");
        let objects = object("old", &format!("{path}?version=1"), "secretKey: k")
            + &object("new", &path, "secretKey: k")
            + &object("empty", &format!("{path}?"), "secretKey: k");
        let files = texts(&store.mount(&provider, store.class(&objects)).await?)?;
        let found: Vec<&str> = files.values().map(String::as_str).collect();
        assert_eq!(found, ["new", "new", "old"]);
        has(
            &failure(
                &store
                    .mount(&provider, store.class_of(&format!("{path}?version=9")))
                    .await?,
            )?,
            &["NotFound: ", "Code: 404"],
        )?;
        store.vault.delete(&path).await?;
        has(
            &failure(&store.mount(&provider, store.class_of(&path)).await?)?,
            &["NotFound: ", "Code: 404"],
        )
    })
}

/// §14 values: what is no string is written as JSON with the digits that the store holds
#[test]
fn kv_values_that_are_no_strings_are_json() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let data = json!({"int": 10, "list": [6, "x", true], "map": {"b": "<&>", "a": null}, "null": null, "bool": true, "text": "ünï\u{2028}\n"});
        let path = store.secret("values", &data).await?;
        for (key, expected) in [
            ("int", "10"),
            ("list", r#"[6,"x",true]"#),
            ("map", r#"{"a":null,"b":"\u003c\u0026\u003e"}"#),
            ("null", "null"),
            ("bool", "true"),
            ("text", "ünï\u{2028}\n"),
        ] {
            let objects = object("o", &path, &format!("secretKey: \"{key}\""));
            assert_eq!(
                text(&store.mount(&provider, store.class(&objects)).await?)?,
                expected,
                "{key}"
            );
        }
        Ok(())
    })
}

/// §3 secretKey, §14 mount, D4: a whole reply is one line of JSON in the peers' order, the same at every poll
#[test]
fn kv_whole_replies_are_stable_json_in_the_peers_order() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("whole", &json!({"b": "2<", "a": "1"})).await?;
        let volume = store.volume(store.class(&object("o", &path, "")))?;
        let driver = provider.driver()?;
        let first = driver.mount(&volume.first_mount()).await?;
        let whole = text(&first)?;
        let order = [
            "{\"request_id\":",
            "\"lease_id\":\"\"",
            "\"lease_duration\":0",
            "\"renewable\":false",
            "\"data\":{\"data\":{\"a\":\"1\",\"b\":\"2\\u003c\"},\"metadata\":{",
            "\"warnings\":null",
        ];
        let mut from = 0;
        for part in order {
            let at = whole[from..]
                .find(part)
                .with_context(|| format!("{part} in {whole}"))?;
            from += at + part.len();
        }
        ensure!(!whole.contains('\n'), "{whole}");
        let parsed: Value = serde_json::from_str(&whole)?;
        assert_eq!(parsed["data"]["data"]["b"], "2<");
        for _ in 0..10 {
            let again = driver.mount(&volume.first_mount()).await?;
            assert_eq!(
                (text(&again)?, again.versions()?),
                (whole.clone(), first.versions()?)
            );
        }
        Ok(())
    })
}

/// §3 method: LIST lists, and POST and PUT write what secretArgs hold
#[test]
fn kv_methods_are_sent_as_written() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let name = unique("methods");
        store
            .vault
            .kv2_put("secret", &format!("{name}/a"), &json!({"k": "v"}))
            .await?;
        let objects = object(
            "list",
            &format!("secret/metadata/{name}"),
            "secretKey: keys, method: LIST",
        ) + &object(
            "post",
            &format!("secret/data/{name}/b"),
            "secretKey: version, method: POST, secretArgs: {data: {n: 1.0, yes: yes, date: 2024-01-02, nothing: ~}}",
        ) + &object(
            "put",
            "sys/tools/random/4",
            "secretKey: random_bytes, method: PUT, secretArgs: {format: hex}",
        );
        let files = texts(&store.mount(&provider, store.class(&objects)).await?)?;
        ensure!(files["list"].contains("\"a\""), "{}", files["list"]);
        assert_eq!((files["post"].as_str(), files["put"].len()), ("1", 8));
        let written = store.vault.read(&format!("secret/data/{name}/b")).await?;
        let expected =
            json!({"n": 1, "yes": "yes", "date": "2024-01-02T00:00:00Z", "nothing": null});
        assert_eq!(written["data"]["data"], expected);
        Ok(())
    })
}

/// A PKI engine whose role `test` issues names below example.com.
pub(crate) async fn pki(vault: &Vault) -> Result<String> {
    let mount = unique("pki");
    vault.enable_engine(&mount, "pki", &json!({})).await?;
    let root = json!({"common_name": "Coffer test root", "ttl": "8000h"});
    vault
        .write(&format!("{mount}/root/generate/internal"), &root)
        .await?;
    let role =
        json!({"allowed_domains": ["example.com"], "allow_subdomains": true, "max_ttl": "72h"});
    vault.write(&format!("{mount}/roles/test"), &role).await?;
    Ok(mount)
}

/// §3 secretArgs, §14 parse, D11, D3: a certificate and its key come from one request, and other arguments are another
#[test]
fn a_pki_certificate_and_its_key_are_of_one_request() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = format!("{}/issue/test", pki(&store.vault).await?);
        let args = "method: PUT, secretArgs: {common_name: test.example.com, ttl: 24h}";
        let other = "method: PUT, secretArgs: {common_name: other.example.com, ttl: 24h}";
        let objects = object("crt", &path, &format!("secretKey: certificate, {args}"))
            + &object("key", &path, &format!("secretKey: private_key, {args}"))
            + &object("whole", &path, args)
            + &object(
                "other",
                &path,
                &format!("secretKey: serial_number, {other}"),
            );
        let volume = store.volume(store.class(&objects))?;
        let first = mount(&provider, &volume).await?;
        let files = texts(&first)?;
        let whole: Value = serde_json::from_str(&files["whole"])?;
        assert_eq!(whole["data"]["certificate"], files["crt"].as_str());
        assert_eq!(whole["data"]["private_key"], files["key"].as_str());
        ensure!(
            whole["data"]["serial_number"] != files["other"].as_str(),
            "one certificate for two names"
        );
        has(&files["crt"], &["-----BEGIN CERTIFICATE-----"])?;
        stays(&provider, &volume, &first).await
    })
}

/// §14 values: what is no JSON, like a bare PEM, is refused with what it is
#[test]
fn a_reply_that_is_no_json_is_told_as_such() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = format!("{}/ca/pem", pki(&store.vault).await?);
        let told = failure(
            &store
                .mount(&provider, store.class(&object("o", &path, "")))
                .await?,
        )?;
        has(&told, &["Unknown: ", "no JSON"])
    })
}

/// §3 secretKey, §14 values: whole replies of other kinds keep the peers' fields in their order, and no others
#[test]
fn whole_replies_hold_the_peers_fields_only() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let objects = object(
            "token",
            "auth/token/create",
            "method: POST, secretArgs: {policies: [default], ttl: 1m}",
        ) + &object("mounts", "sys/mounts", "")
            + &object("health", "sys/seal-status", "secretKey: sealed");
        let files = texts(&store.mount(&provider, store.class(&objects)).await?)?;
        let envelope = [
            "request_id",
            "lease_id",
            "lease_duration",
            "renewable",
            "data",
            "warnings",
        ];
        let fields = |name: &str| -> Result<Vec<String>> {
            let text = &files[name];
            let whole: serde_json::Map<String, Value> = serde_json::from_str(text)?;
            let mut keys: Vec<(Option<usize>, String)> = whole
                .keys()
                .map(|key| (text.find(&format!("\"{key}\":")), key.clone()))
                .collect();
            keys.sort();
            Ok(keys.into_iter().map(|(_, key)| key).collect())
        };
        assert_eq!(fields("mounts")?, envelope);
        assert_eq!(fields("token")?, [&envelope[..], &["auth"]].concat());
        let token: Value = serde_json::from_str(&files["token"])?;
        ensure!(token["auth"]["client_token"].is_string() && token["data"].is_null());
        assert_eq!(files["health"], "false");
        Ok(())
    })
}
