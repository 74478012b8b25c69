//! What an object of a class may say, attribute by attribute, by what it does.
//!
//! Which values come out of which engine is in `engines`.

use anyhow::{Context, Result, ensure};
use coffer_tests::driver::{Class, Pod, Volume};
use coffer_tests::provider::ProviderProcess;
use coffer_tests::scripted::ScriptedStore;
use coffer_tests::vault::KvVersion;
use serde_json::json;

use crate::stage::{failure, has, mount, object, provider, stays, text, texts, unique};
use crate::world::{run, store};

/// §3 objectName, §15 case 4: names may be nested, and each file gets its own
#[test]
fn object_names_are_paths_in_the_volume() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("names", &json!({"a": "1", "b": "2"})).await?;
        let objects = object("nested/bar", &path, "secretKey: a")
            + &object("nested/deeper/baz", &path, "secretKey: b")
            + &object("päth x", &path, "secretKey: b");
        let files = texts(&store.mount(&provider, store.class(&objects)).await?)?;
        let found: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("nested/bar", "1"),
                ("nested/deeper/baz", "2"),
                ("päth x", "2")
            ]
        );
        Ok(())
    })
}

/// A class that never reaches a store: it is refused before any request, with every part of `expected`.
async fn refused(provider: &ProviderProcess, objects: &str, expected: &[&str]) -> Result<()> {
    let scripted = ScriptedStore::start().await?;
    let class = Class::new("c")
        .with("roleName", "csi")
        .with("vaultAddress", &scripted.address())
        .with("objects", objects);
    let volume = Volume::new(Pod::new("default", "p")?, class)
        .with_token(coffer_tests::driver::ServiceToken::new("vault", "junk"));
    let told = failure(&mount(provider, &volume).await?)?;
    has(&told, &["InvalidArgument: "])?;
    has(&told, expected)?;
    let asked = scripted.requests().len();
    ensure!(asked == 0, "{asked} requests for {objects}");
    Ok(())
}

/// §3 objectName, D24, §14 errors: names twice, bad names and clashing ones are refused before any read
#[test]
fn bad_object_names_are_refused_before_any_read() -> Result<()> {
    run(async {
        let provider = provider(&[]).await?;
        let twice = "each `objectName` within a SecretProviderClass must be unique, but the following keys were duplicated: a, b, a";
        let names = |names: &[&str]| -> String {
            names
                .iter()
                .map(|name| object(name, "secret/data/x", "secretKey: k"))
                .collect()
        };
        for (objects, expected) in [
            (names(&["a", "b", "a", "b", "a"]), twice),
            (names(&[""]), "objects[0].objectName"),
            (names(&["."]), "objects[0].objectName"),
            (names(&["../up"]), "objects[0].objectName"),
            (names(&["a/../b"]), "objects[0].objectName"),
            (names(&["/absolute"]), "objects[0].objectName"),
            (names(&["a//b"]), "objects[0].objectName"),
            (names(&["a", "a/b"]), "\"a\""),
        ] {
            refused(&provider, &objects, &[expected]).await?;
        }
        Ok(())
    })
}

/// §3 secretPath, §14 path: the spellings of a path are one path
#[test]
fn a_path_may_be_spelled_with_and_without_v1() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("path", &json!({"k": "v"})).await?;
        for spelled in [
            path.clone(),
            format!("/{path}"),
            format!("v1/{path}"),
            format!("/v1/{path}"),
            path.replace('/', "//"),
            path.replace("/data", "/./data"),
            format!("{path}/"),
        ] {
            let mounted = store.mount(&provider, store.class_of(&spelled)).await?;
            assert_eq!(text(&mounted)?, "v", "{spelled}");
        }
        Ok(())
    })
}

/// §3 secretPath: a bad query, a way up and an empty path are refused before any read
#[test]
fn bad_paths_are_refused_before_any_read() -> Result<()> {
    run(async {
        let provider = provider(&[]).await?;
        for (path, expected) in [
            (
                "secret/data/x?a=%zz",
                "failed to parse query parameters from secretPath",
            ),
            (
                "secret/data/x?a;b",
                "failed to parse query parameters from secretPath",
            ),
            ("secret/../sys/mounts", "contains `..`"),
            ("", "is empty"),
            ("/v1/", "is empty"),
        ] {
            let objects = object("o", path, "secretKey: k");
            refused(&provider, &objects, &["objects[0].secretPath", expected]).await?;
        }
        Ok(())
    })
}

/// §3 secretKey, D25: every missing key is named, with object and path
#[test]
fn a_missing_key_is_told_with_object_and_path() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("key", &json!({"k": "canary"})).await?;
        let told = failure(
            &store
                .mount(
                    &provider,
                    store.class(&object("o", &path, "secretKey: nope")),
                )
                .await?,
        )?;
        has(
            &told,
            &[
                &format!("{{{path}}}: {{key \"nope\" does not exist at the secret path}}"),
                "object \"o\"",
            ],
        )?;
        let objects = object("one", &path, "secretKey: x")
            + &object("two", &path, "secretKey: y")
            + &object("three", &path, "secretKey: k");
        let told = failure(&store.mount(&provider, store.class(&objects)).await?)?;
        has(&told, &["2 of 3 objects failed", "\"one\"", "\"two\""])?;
        ensure!(!told.contains("canary"), "{told}");
        Ok(())
    })
}

/// §3 filePermission: numbers as YAML has them, and octal text in quotes
#[test]
fn a_mode_is_an_integer_in_any_form_of_yaml() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("mode", &json!({"k": "v"})).await?;
        for (written, expected) in [
            ("0600", 0o600),
            ("0o640", 0o640),
            ("384", 0o600),
            ("0x1a4", 0o644),
            ("0b110000000", 0o600),
            ("0_644", 0o644),
            ("420.0", 0o644),
            ("0", 0o644),
            ("null", 0o644),
            ("0624", 0o624),
            ("\"0600\"", 0o600),
        ] {
            let objects = object(
                "o",
                &path,
                &format!("secretKey: k, filePermission: {written}"),
            );
            let mounted = store.mount(&provider, store.class(&objects)).await?;
            assert_eq!(mounted.modes()?["o"], expected, "{written}");
        }
        Ok(())
    })
}

/// §3 filePermission, D24: above 0777, negative or no number is refused before any read
#[test]
fn a_mode_that_is_none_is_refused_before_any_read() -> Result<()> {
    run(async {
        let provider = provider(&[]).await?;
        for written in ["01777", "4096", "-1", "rw-r--r--", "\"384\"", "[]"] {
            let objects = object(
                "o",
                "secret/data/x",
                &format!("secretKey: k, filePermission: {written}"),
            );
            let outcome = refused(&provider, &objects, &["filePermission"]).await;
            outcome.with_context(|| written.to_owned())?;
        }
        Ok(())
    })
}

/// §3 encoding: base64 and hex in any case are decoded, utf-8 and none are not
#[test]
fn an_encoding_says_how_a_value_is_decoded() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let data = json!({"b64": "aGV\r\nsbG8=\n", "hex": "68656C6c6f", "raw": "hello", "odd": "abc", "bad": "!!!", "short": "aGVsbG8"});
        let path = store.secret("encoding", &data).await?;
        for (key, encoding, expected) in [
            ("raw", "", Ok("hello")),
            ("raw", "utf-8", Ok("hello")),
            ("raw", "UTF-8", Ok("hello")),
            ("b64", "base64", Ok("hello")),
            ("b64", "Base64", Ok("hello")),
            ("hex", "hex", Ok("hello")),
            ("hex", "HEX", Ok("hello")),
            ("odd", "hex", Err("hex")),
            ("bad", "base64", Err("base64")),
            ("short", "base64", Err("base64")),
        ] {
            let objects = object(
                "o",
                &path,
                &format!("secretKey: {key}, encoding: \"{encoding}\""),
            );
            let outcome = store.mount(&provider, store.class(&objects)).await?;
            match expected {
                Ok(expected) => assert_eq!(text(&outcome)?, expected, "{key} {encoding}"),
                Err(expected) => has(&failure(&outcome)?, &["FailedPrecondition: ", expected])?,
            }
        }
        Ok(())
    })
}

/// §3 encoding, D22: a name that is none is refused before any read, in the words that suites match
#[test]
fn an_unknown_encoding_is_refused_before_any_read() -> Result<()> {
    run(async {
        let provider = provider(&[]).await?;
        for rest in ["secretKey: k, encoding: base32", "encoding: utf8"] {
            let objects = object("o", "secret/data/x", rest);
            refused(
                &provider,
                &objects,
                &["invalid encoding type. Should be utf-8, base64, or hex"],
            )
            .await?;
        }
        Ok(())
    })
}

/// §3 optional: what is neither true nor false is refused before any read
#[test]
fn a_flag_that_is_no_boolean_is_refused_before_any_read() -> Result<()> {
    run(async {
        let provider = provider(&[]).await?;
        for written in ["yes", "\"true\"", "1", "[true]"] {
            let objects = object("o", "secret/data/x", &format!("optional: {written}"));
            let expected = ["objects[0].optional", "write true or false, without quotes"];
            let outcome = refused(&provider, &objects, &expected).await;
            outcome.with_context(|| written.to_owned())?;
        }
        Ok(())
    })
}

/// §3 output: data alone is what the engine holds, as one line of sorted JSON, the same at every poll
#[test]
fn data_alone_is_the_json_of_what_the_engine_holds() -> Result<()> {
    run(async {
        let (store, provider) = (store().await?, provider(&[]).await?);
        let data = json!({"b": "<&>", "a": 10, "data": {"inner": [1, null]}});
        let path = store.secret("output", &data).await?;
        let kv1 = unique("output");
        store.vault.enable_kv(&kv1, KvVersion::V1).await?;
        store.vault.kv1_put(&kv1, "s", &data).await?;
        let objects = object("two", &path, "output: data")
            + &object("one", &format!("{kv1}/s"), "output: data")
            + &object(
                "hash",
                "sys/tools/hash",
                "method: POST, secretArgs: {input: aGk=}, output: data",
            )
            + &object("full", &path, "output: full")
            + &object("unset", &path, "");
        let volume = store.volume(store.class(&objects))?;
        let first = mount(&provider, &volume).await?;
        let files = texts(&first)?;
        let expected = r#"{"a":10,"b":"\u003c\u0026\u003e","data":{"inner":[1,null]}}"#;
        assert_eq!(
            (files["two"].as_str(), files["one"].as_str()),
            (expected, expected)
        );
        assert_eq!(
            files["hash"],
            r#"{"sum":"8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"}"#
        );
        ensure!(
            files["full"].starts_with("{\"request_id\""),
            "{}",
            files["full"]
        );
        assert_eq!(files["full"], files["unset"]);
        stays(&provider, &volume, &first).await
    })
}

/// §3 output: another word, and output beside a key, are refused before any read
#[test]
fn an_output_that_cannot_be_meant_is_refused_before_any_read() -> Result<()> {
    run(async {
        let provider = provider(&[]).await?;
        for (rest, expected) in [
            ("output: Data", "did you mean data?"),
            ("output: json", "write full or data"),
            ("output: data, secretKey: k", "remove output or secretKey"),
            ("output: full, secretKey: k", "remove output or secretKey"),
        ] {
            let objects = object("o", "secret/data/x", rest);
            refused(&provider, &objects, &["objects[0].output", expected]).await?;
        }
        Ok(())
    })
}

/// §3 unknown keys, D22: an unknown key is named in the log, the object is mounted as if it were not there
#[test]
fn an_unknown_key_of_an_object_is_ignored_with_a_warning() -> Result<()> {
    run(async {
        let (store, mut provider) = (store().await?, provider(&[]).await?);
        let path = store.secret("keys", &json!({"k": "v"})).await?;
        let objects = object(
            "o",
            &path,
            "secretKey: k, objectPath: x, objectVersion: 2, content: base64, Encoding: hex",
        ) + &object("whole", &path, "encoding: base64");
        assert_eq!(
            text(&store.mount(&provider, store.class(&objects)).await?)?,
            "v"
        );
        let log = provider.whole_log().await?;
        has(
            &log,
            &[
                "objects[0].objectPath",
                "objects[0].objectVersion",
                "objects[0].content",
                "did you mean encoding?",
                "objects[1].encoding: has no effect without secretKey",
            ],
        )
    })
}

/// §3 method, §14 request: an unknown method and one in small letters are told before any read
#[test]
fn a_method_that_is_none_is_refused_before_any_read() -> Result<()> {
    run(async {
        let provider = provider(&[]).await?;
        for (method, expected) in [
            ("put", "write PUT in capitals"),
            ("FETCH", "write GET, LIST, PUT or POST"),
        ] {
            let objects = object("o", "secret/data/x", &format!("method: {method}"));
            refused(&provider, &objects, &["objects[0].method", expected]).await?;
        }
        Ok(())
    })
}

/// §3 secretArgs: what JSON cannot hold is refused before any read, and no value of it is repeated
#[test]
fn arguments_that_json_cannot_hold_are_refused_before_any_read() -> Result<()> {
    run(async {
        let mut provider = provider(&[]).await?;
        for args in [
            "{a: .inf}",
            "{a: .nan}",
            "{a: {1: canary}}",
            "{a: canary, a: canary}",
            "[canary]",
        ] {
            let objects = object(
                "o",
                "pki/issue/x",
                &format!("method: PUT, secretArgs: {args}"),
            );
            let outcome = refused(&provider, &objects, &[]).await;
            outcome.with_context(|| args.to_owned())?;
        }
        let log = provider.whole_log().await?;
        ensure!(!log.contains("canary"), "{log}");
        Ok(())
    })
}

/// D33: at the finest log level no argument and no value of a class reaches the log
#[test]
fn no_argument_reaches_the_finest_log() -> Result<()> {
    run(async {
        let (store, mut provider) = (store().await?, provider(&["-log-level", "trace"]).await?);
        let path = store.secret("log", &json!({"k": "canary-value"})).await?;
        let objects = object("o", &path, "secretKey: k")
            + &object(
                "p",
                &format!("{path}-written"),
                "method: PUT, secretArgs: {data: {k: canary-argument}}",
            );
        let volume = store.volume(store.class(&objects))?;
        let outcome = mount(&provider, &volume).await?;
        assert_eq!(text(&outcome)?, "canary-value");
        let log = provider.whole_log().await?;
        let jwt = volume
            .tokens
            .iter()
            .flatten()
            .map(|token| token.jwt.as_str());
        for secret in ["canary-value", "canary-argument"].into_iter().chain(jwt) {
            ensure!(!log.contains(secret), "the log holds a secret");
        }
        Ok(())
    })
}
