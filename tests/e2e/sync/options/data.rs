//! From files to keys: extra data, decoding, pointers, and all files as keys.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{encoded, fetch_anew, message, set, shown, tells, with_options};
use crate::stage::has;
use crate::sync::{Scene, keys, value};
use crate::world::run;

/// `unzipped`.
const GZIP: [u8; 28] = [
    31, 139, 8, 0, 0, 0, 0, 0, 2, 255, 43, 205, 171, 202, 44, 40, 72, 77, 1, 0, 209, 190, 27, 9, 8,
    0, 0, 0,
];

/// The SecretSync `a`, whose key `k` is file `f`, with these extra data.
fn with_extra(scene: &Scene, extra: &Value) -> Value {
    let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
    with_options(sync, &[("extra-data", &extra.to_string())])
}

/// Sync §3, extra-data: an optional key is there exactly as long as its file; the others stay with it.
#[test]
fn an_optional_key_comes_and_goes_with_its_file() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let class = scene.class("c").await?;
        let extra = json!([{"sourcePath": "dir/g", "targetKey": "g", "optional": true}]);
        let sync = scene.create(with_extra(&scene, &extra)).await?;
        let secret = scene.holds("a", "k", b"one").await?;
        ensure!(keys(&secret) == ["k"]);
        for (file, expected) in [(Some("two"), &["g", "k"][..]), (None, &["k"])] {
            match file {
                Some(contents) => scene.vendor.put("dir/g", contents),
                None => scene.vendor.remove("dir/g"),
            }
            fetch_anew(&scene, &class).await?;
            let what = format!("exactly the keys {expected:?}");
            let secret = scene
                .until("a", &what, |secret| keys(secret) == expected)
                .await?;
            ensure!(value(&secret, "g") == file.map(|text| text.as_bytes().to_vec()));
            ensure!(value(&secret, "k") == Some(b"one".to_vec()));
        }
        scene
            .says(&sync, "Ready", "True", "Synced")
            .await
            .map(|_| ())
    })
}

/// Sync §3, extra-data: files are unpacked and parts of documents taken; an entry replaces the mapped key of its name,
/// and may have a key and a path that upstream's schema has no words for.
#[test]
fn extra_data_are_unpacked_and_taken_apart() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "replaced");
        let packed = encoded("hello");
        let (head, tail) = packed.split_at(4);
        scene.vendor.put("b64", format!("{head}\n{tail}\n"));
        scene.vendor.put("hex", "68656C 6c6f\n");
        scene.vendor.put("gz", GZIP.to_vec());
        scene.vendor.put(
            "dir/doc file.json",
            r#"{"data": {"pass/word": ["zero", "one\u0021"], "number": 1.50, "none": null, "deep": {"a": [1]}}}"#,
        );
        scene.vendor.put("wrapped", encoded(r#"{"a": "b"}"#));
        scene.class("c").await?;
        let doc = "dir/doc file.json";
        let extra = json!([
            {"sourcePath": "b64", "targetKey": "base64", "decode": "base64"},
            {"sourcePath": "hex", "targetKey": "hex", "decode": "hex"},
            {"sourcePath": "gz", "targetKey": "gzip", "decode": "gzip"},
            {"sourcePath": "f", "targetKey": "_plain_", "decode": "none"},
            {"sourcePath": doc, "targetKey": "text", "pointer": "/data/pass~1word/1"},
            {"sourcePath": doc, "targetKey": "k", "pointer": "/data/number"},
            {"sourcePath": doc, "targetKey": "deep", "pointer": "/data/deep"},
            {"sourcePath": doc, "targetKey": "none", "pointer": "/data/none", "optional": true},
            {"sourcePath": "wrapped", "targetKey": "both", "decode": "base64", "pointer": "/a"},
        ]);
        let sync = scene.create(with_extra(&scene, &extra)).await?;
        let ready = scene.says(&sync, "Ready", "True", "Synced").await?;
        let secret = scene.secret("a").await?.context("there is no Secret")?;
        let expected: [(&str, &[u8]); 8] = [
            ("_plain_", b"replaced"),
            ("base64", b"hello"),
            ("both", b"b"),
            ("deep", br#"{"a": [1]}"#),
            ("gzip", b"unzipped"),
            ("hex", b"hello"),
            ("k", b"1.50"),
            ("text", b"one!"),
        ];
        ensure!(keys(&secret) == expected.map(|(key, _)| key));
        for (key, bytes) in expected {
            ensure!(value(&secret, key) == Some(bytes.to_vec()), "{key}");
        }
        has(message(&ready), &["gzip (8 bytes), hex (5 bytes)"])
    })
}

/// Sync §3, extra-data: what cannot be unpacked is told for all keys at once, without a byte of it; the Secret stays.
#[test]
fn what_cannot_be_unpacked_is_told_without_a_byte_of_it() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one!two?");
        scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"one!two?").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        let extra = json!([
            {"sourcePath": "f", "targetKey": "a", "decode": "base64"},
            {"sourcePath": "f", "targetKey": "b", "decode": "hex"},
            {"sourcePath": "f", "targetKey": "c", "decode": "gzip"},
            {"sourcePath": "f", "targetKey": "d", "pointer": "/x"},
            {"sourcePath": "absent", "targetKey": "e"},
        ]);
        set(&scene, &sync, "extra-data", Some(&extra.to_string())).await?;
        let reason = "RemoteSecretStoreFetchFailed";
        let told = scene.says(&sync, "SecretUpdated", "False", reason).await?;
        let told = message(&told);
        has(
            told,
            &[
                "a: its file is not base64; check file `f`, or how it is read",
                "b: its file is not hexadecimal; check file `f`, or how it is read",
                "c: its file is not gzip, or damaged; check file `f`, or how it is read",
                "d: its file is not the JSON that its pointer needs; check file `f`, or how it is read",
                "absent: no such file for key `e`; the provider returned f",
            ],
        )?;
        ensure!(!told.contains("one!") && !told.contains("two?"), "{told}");
        scene
            .says(&sync, "Ready", "True", "ServingLastGood")
            .await?;
        ensure!(scene.secret("a").await? == Some(before));
        Ok(())
    })
}

/// Sync §3, all-keys: every file becomes a key, with dots for slashes; the mapped keys are there beside them.
#[test]
fn every_file_becomes_a_key() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        scene.vendor.put("db/user", "two");
        let class = scene.class("c").await?;
        let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
        let sync = scene
            .create(with_options(sync, &[("all-keys", "true")]))
            .await?;
        let secret = scene.holds("a", "db.user", b"two").await?;
        ensure!(keys(&secret) == ["db.user", "f", "k"]);
        scene.vendor.put("new", "three");
        scene.vendor.remove("db/user");
        fetch_anew(&scene, &class).await?;
        let secret = scene.holds("a", "new", b"three").await?;
        ensure!(keys(&secret) == ["f", "k", "new"]);

        set(&scene, &sync, "all-keys", Some("false")).await?;
        scene
            .until("a", "the mapped key alone", |secret| keys(secret) == ["k"])
            .await
            .map(|_| ())
    })
}

/// Sync §3, all-keys: files that cannot both be keys, or none, are told, and the last good Secret stays.
#[test]
fn files_that_cannot_be_keys_are_told() -> Result<()> {
    run(async {
        let scene = Scene::plain(&[]).await?;
        scene.vendor.put("f", "one");
        let class = scene.class("c").await?;
        let sync = scene.sync_of("a", "Opaque", &[("f", "k")]);
        let sync = scene
            .create(with_options(sync, &[("all-keys", "true")]))
            .await?;
        let before = scene.holds("a", "f", b"one").await?;
        shown(&scene, "a", "ready", "Synced").await?;
        scene.vendor.put("a.b", "two");
        scene.vendor.put("a/b", "three");
        scene.vendor.put("no key", "four");
        fetch_anew(&scene, &class).await?;
        let told = [
            "coffer.rs/all-keys: files `a.b` and `a/b` become the same key; map them by extra-data",
            "coffer.rs/all-keys: `no key` is no key of a Secret; use letters, digits,",
        ];
        tells(&scene, &sync, "SecretUpdated", &told).await?;
        let reason = "RemoteSecretStoreFetchFailed";
        scene.says(&sync, "SecretUpdated", "False", reason).await?;
        ensure!(scene.secret("a").await? == Some(before));

        // What is mapped by name is no clash.
        scene.vendor.remove("no key");
        let extra = json!([{"sourcePath": "a/b", "targetKey": "a.b"}]);
        set(&scene, &sync, "extra-data", Some(&extra.to_string())).await?;
        fetch_anew(&scene, &class).await?;
        let secret = scene.holds("a", "a.b", b"three").await?;
        ensure!(keys(&secret) == ["a.b", "f", "k"]);
        Ok(())
    })
}
