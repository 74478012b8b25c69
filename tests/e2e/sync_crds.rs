//! What the API server makes of SecretSyncs and SecretProviderClasses under the definitions that Coffer ships, and
//! of SecretSyncs under upstream's, beside which Coffer has to live.
//!
//! A definition is there for the whole cluster, so each of the two has a server of its own.

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::stage::{has, unique};
use crate::sync_objects::{
    CLASS, SECRET_SYNC, applied, class, created, judge, merged, said, secret, secret_sync, stored,
    tried, with, without,
};
use crate::world::{end_with_us, run};

const UPSTREAMS: &str = "tests/cluster/upstream/secretsync.yaml";
/// The namespace of all cases.
const TEAM: &str = "team";

/// A server with the definitions that Coffer ships.
async fn ours() -> Result<&'static ApiServer> {
    static OURS: OnceCell<ApiServer> = OnceCell::const_new();
    OURS.get_or_try_init(|| start(&[SECRET_SYNC, CLASS])).await
}

/// A server with upstream's definition of SecretSync.
async fn upstreams() -> Result<&'static ApiServer> {
    static THEIRS: OnceCell<ApiServer> = OnceCell::const_new();
    THEIRS.get_or_try_init(|| start(&[UPSTREAMS])).await
}

async fn start(definitions: &'static [&'static str]) -> Result<ApiServer> {
    let api = ApiServer::start().await?;
    end_with_us(&api.farewell())?;
    api.create_namespace(TEAM).await?;
    for definition in definitions {
        api.install(definition).await?;
    }
    Ok(api)
}

/// Clients of both servers, with the name of the definition of SecretSync there.
async fn both() -> Result<[(&'static str, Client); 2]> {
    let (ours, theirs) = tokio::try_join!(ours(), upstreams())?;
    Ok([("ours", ours.client()), ("upstream's", theirs.client())])
}

fn sync() -> Value {
    secret_sync(TEAM, "x")
}

/// Tries a SecretSync with one other value on both servers.
async fn check(place: &str, value: Value, expected: &str) -> Result<()> {
    for (whose, client) in both().await? {
        let said = tried(&client, &with(sync(), place, value.clone())).await?;
        let shown = value.to_string().chars().take(80).collect::<String>();
        judge(&format!("{whose}: {place} {shown}"), &said, expected)?;
    }
    Ok(())
}

/// Asks for a path of the server that answers with JSON.
async fn get(client: &Client, path: &str, accept: &str) -> Result<Value> {
    let request = http::Request::get(path).header("Accept", accept);
    Ok(client.request(request.body(Vec::new())?).await?)
}

/// Case 1: both definitions are established, under the names that upstream's tools and the driver's know
#[test]
fn case_1_both_definitions_are_served_under_their_names() -> Result<()> {
    run(async {
        for (whose, client) in both().await? {
            let path = "/apis/secret-sync.x-k8s.io/v1alpha1";
            let found = get(&client, path, "application/json").await?;
            let resources = found["resources"].as_array().context("no resources")?;
            let shown: Vec<Value> = resources
                .iter()
                .map(|it| json!([it["name"], it["kind"], it["singularName"], it["namespaced"]]))
                .collect();
            let expected = json!([
                ["secretsyncs", "SecretSync", "secretsync", true],
                ["secretsyncs/status", "SecretSync", "", true],
            ]);
            assert_eq!(Value::Array(shown), expected, "{whose}");
            assert_eq!(resources[1]["verbs"], json!(["get", "patch", "update"]));
        }
        let client = ours().await?.client();
        let list = get(
            &client,
            "/apis/secret-sync.x-k8s.io/v1alpha1/secretsyncs",
            "*/*",
        )
        .await?;
        assert_eq!(list["kind"], "SecretSyncList");
        for version in ["v1", "v1alpha1"] {
            let path = format!("/apis/secrets-store.csi.x-k8s.io/{version}");
            let found = get(&client, &path, "application/json").await?;
            let resources = found["resources"].as_array().context("no resources")?;
            // There is no status subresource.
            assert_eq!(resources.len(), 1, "{found}");
            assert_eq!(resources[0]["name"], "secretproviderclasses");
            assert_eq!(resources[0]["kind"], "SecretProviderClass");
        }
        Ok(())
    })
}

/// Section 2: the name of a SecretSync is the name of a Secret
#[test]
fn names_of_secret_syncs_are_those_of_secrets() -> Result<()> {
    run(async {
        for (name, expected) in [
            ("a.b.c", "ok"),
            (&"a".repeat(253), "ok"),
            (&"a".repeat(254), "422 metadata.name"),
            ("A", "422 metadata.name"),
            ("a_b", "422 metadata.name"),
        ] {
            check("/metadata/name", json!(name), expected).await?;
            let secret = with(secret(TEAM, "x"), "/metadata/name", json!(name));
            judge(
                name,
                &tried(&ours().await?.client(), &secret).await?,
                expected,
            )?;
        }
        Ok(())
    })
}

/// Section 2: class and account are required DNS subdomains
#[test]
fn class_and_account_are_required_names() -> Result<()> {
    run(async {
        for place in ["/spec/secretProviderClassName", "/spec/serviceAccountName"] {
            for (value, expected) in [
                ("a.b", "ok"),
                ("1", "ok"),
                (&"a".repeat(253), "ok"),
                (&"a".repeat(254), "422 may not be more than 253 bytes"),
                ("", "422 should be at least 1 chars long"),
                ("A", "422 should match"),
                ("a_b", "422 should match"),
                ("a..b", "422 should match"),
                ("-a", "422 should match"),
                ("a-", "422 should match"),
            ] {
                check(place, json!(value), expected).await?;
            }
        }
        for (whose, client) in both().await? {
            for (place, expected) in [
                (
                    "/spec/secretProviderClassName",
                    "422 spec.secretProviderClassName: Required value",
                ),
                (
                    "/spec/serviceAccountName",
                    "422 spec.serviceAccountName: Required value",
                ),
                (
                    "/spec/secretObject",
                    "422 spec.secretObject: Required value",
                ),
                ("/spec/secretSyncControllerName", "ok"),
                // A SecretSync that asks for nothing: the controller has to bear it.
                ("/spec", "ok"),
            ] {
                let said = tried(&client, &without(sync(), place)).await?;
                judge(&format!("{whose}: without {place}"), &said, expected)?;
            }
        }
        Ok(())
    })
}

/// Section 2: any text is a controller's name; a text that forces a sync is no time of RFC 3339
#[test]
fn controllers_have_any_name_and_forcing_texts_a_pattern() -> Result<()> {
    run(async {
        for value in ["", "coffer.rs/sync", "x y/z:#"] {
            check("/spec/secretSyncControllerName", json!(value), "ok").await?;
        }
        for (value, expected) in [
            ("a", "ok"),
            ("1", "ok"),
            ("ab.c", "ok"),
            ("ab_c", "ok"),
            ("ab-", "ok"),
            ("2026-01-01", "ok"),
            ("2026-01-01T00.00.00Z", "ok"),
            (&"a".repeat(253), "ok"),
            (&"a".repeat(254), "422 may not be more than 253 bytes"),
            ("2026-01-01T00:00:00Z", "422 should match"),
            ("", "422 should match"),
            ("-a", "422 should match"),
            // The second character is a letter, a digit or a dash.
            ("a_b", "422 should match"),
            ("ab..c", "422 should match"),
            ("ab_", "422 should match"),
        ] {
            check("/spec/forceSynchronization", json!(value), expected).await?;
        }
        Ok(())
    })
}

/// Section 2: an absent type is stored as Opaque, an empty one as it is
#[test]
fn an_absent_type_and_controller_are_stored_with_their_defaults() -> Result<()> {
    run(async {
        let place = "/spec/secretObject/type";
        for (value, expected) in [
            (json!("with space"), "ok"),
            (json!("a".repeat(253)), "ok"),
            (
                json!("a".repeat(254)),
                "422 spec.secretObject.type: Too long",
            ),
            (json!(1), "422 must be of type string"),
        ] {
            check(place, value, expected).await?;
        }
        for (whose, client) in both().await? {
            for (written, kept) in [
                (None, "Opaque"),
                (Some(Value::Null), "Opaque"),
                (Some(json!("")), ""),
                (Some(json!("opaque")), "opaque"),
            ] {
                let object = secret_sync(TEAM, &unique("type"));
                let object = match written.clone() {
                    Some(value) => with(object, place, value),
                    None => object,
                };
                let found = created(&client, &object).await?.data;
                assert_eq!(
                    found["spec"]["secretObject"]["type"], kept,
                    "{whose}: {written:?}"
                );
                assert_eq!(found["spec"]["secretSyncControllerName"], "");
            }
        }
        Ok(())
    })
}

fn data(path: &str, key: &str) -> Value {
    json!([{"sourcePath": path, "targetKey": key}])
}

/// Section 2, case 8: data is a list of at least one item, and each key comes once
#[test]
fn case_8_data_is_refused_when_it_is_missing_empty_or_has_a_key_twice() -> Result<()> {
    run(async {
        check(
            "/spec/secretObject",
            json!({}),
            "422 spec.secretObject.data: Required value",
        )
        .await?;
        let twice =
            json!([{"sourcePath": "a", "targetKey": "k"}, {"sourcePath": "b", "targetKey": "k"}]);
        for (value, expected) in [
            (json!([]), "422 should have at least 1 items"),
            (twice, "422 Duplicate value: {\"targetKey\":\"k\"}"),
            (
                json!([{"sourcePath": "a"}]),
                "422 data[0].targetKey: Required value",
            ),
            (
                json!([{"targetKey": "a"}]),
                "422 data[0].sourcePath: Required value",
            ),
            (data("", "a"), "422 should be at least 1 chars long"),
            (data("a", ""), "422 should be at least 1 chars long"),
        ] {
            check("/spec/secretObject/data", value, expected).await?;
        }
        Ok(())
    })
}

/// Texts as upstream takes them for key and path, as a Secret takes them for a key, and as we take them for a path.
const TEXTS: [(&str, bool, bool, bool); 44] = [
    ("a", true, true, true),
    ("ab", true, true, true),
    ("ab_c", true, true, true),
    ("ab.c", true, true, true),
    ("db_password", true, true, true),
    ("tls.key", true, true, true),
    ("ca.crt", true, true, true),
    (".dockercfg", true, true, true),
    (".dockerconfigjson", true, true, true),
    ("ssh-privatekey", true, true, true),
    ("usage-bootstrap-authentication", true, true, true),
    (".-", true, true, true),
    // A Secret takes them, upstream's definition does not.
    ("a_b", false, true, true),
    ("a.b", false, true, true),
    ("a..b", false, true, true),
    ("_x", false, true, true),
    ("foo_", false, true, true),
    ("foo__bar", false, true, true),
    ("-", false, true, true),
    ("-a", false, true, true),
    ("a.", false, true, true),
    ("._", false, true, true),
    (".a..", false, true, true),
    // Upstream's definition takes them as keys, no Secret does.
    ("foo/0", true, false, true),
    ("db/0/1", true, false, true),
    ("./0", true, false, true),
    (".", true, false, true),
    // Files that a provider may return.
    ("dir/file", false, false, true),
    ("a/b/c_d.e f", false, false, true),
    ("a b", false, false, true),
    ("a:b", false, false, true),
    ("é", false, false, true),
    ("a_b/0", false, false, true),
    ("a/..b", false, false, true),
    ("..foo", false, false, true),
    ("...", false, false, true),
    ("a\n", false, false, true),
    // Nothing takes these: they lead out of the volume, or are not in the form that the driver wants.
    ("..", false, false, false),
    ("../x", false, false, false),
    ("a/../b", false, false, false),
    ("x/..", false, false, false),
    ("/a", false, false, false),
    ("a/", false, false, false),
    ("a//b", false, false, false),
];

/// Section 2, decision: our definition takes what upstream's takes, every key of a Secret, and every path
#[test]
fn our_definition_takes_every_key_of_a_secret_and_every_path_of_a_provider() -> Result<()> {
    run(async {
        let long = |count| "a".repeat(count);
        let (key, path) = (long(253), long(254));
        let (whole, beyond) = (format!("x/{}", long(4094)), long(4097));
        let lengths = [
            (key.as_str(), true, true, true),
            (path.as_str(), false, false, true),
            (whole.as_str(), false, false, true),
            (beyond.as_str(), false, false, false),
        ];
        let [(_, ours), (_, theirs)] = both().await?;
        for (text, upstream, in_secret, as_path) in TEXTS.into_iter().chain(lengths) {
            let shown = text.chars().take(20).collect::<String>();
            let place = "/spec/secretObject/data";
            let as_key = with(sync(), place, data("a", text));
            let as_source = with(sync(), place, data(text, "a"));
            let mut kept = secret(TEAM, "x");
            kept["data"][text] = json!("");
            for (whose, client, object, taken) in [
                ("upstream's key", &theirs, &as_key, upstream),
                ("upstream's path", &theirs, &as_source, upstream),
                ("key of a Secret", &ours, &kept, in_secret),
                ("our key", &ours, &as_key, upstream || in_secret),
                ("our path", &ours, &as_source, as_path),
            ] {
                let expected = if taken { "ok" } else { "422" };
                let said = tried(client, object).await?;
                judge(&format!("{whose} {shown:?}"), &said, expected)?;
            }
            ensure!(
                as_path || !upstream,
                "{shown:?} is a path for upstream alone"
            );
        }
        Ok(())
    })
}

/// Section 2, case 8: labels and annotations are measured, and reserved keys refused; their syntax is not checked
#[test]
fn case_8_labels_and_annotations_are_refused_with_the_rule_that_they_break() -> Result<()> {
    run(async {
        let long = |count| "v".repeat(count);
        let labels = "/spec/secretObject/labels";
        let annotations = "/spec/secretObject/annotations";
        let reserved = "secrets-store.sync.x-k8s.io";
        for (place, key, value, refused) in [
            (labels, long(317), long(63), false),
            (labels, long(318), long(1), true),
            (labels, "a".to_owned(), long(64), true),
            (labels, "a b!".to_owned(), long(1), false),
            (labels, reserved.to_owned(), long(1), true),
            (labels, format!("{reserved}/x"), long(1), true),
            (labels, format!("{reserved}.example.com/x"), long(1), true),
            (labels, format!("x.{reserved}"), long(1), false),
            (annotations, long(316), long(1), false),
            (annotations, long(317), long(1), true),
            (annotations, "a".to_owned(), long(262_144), false),
            (annotations, "a".to_owned(), long(262_145), true),
            (annotations, "a b!".to_owned(), long(1), false),
            (annotations, format!("{reserved}/x"), long(1), true),
            (
                annotations,
                format!("{reserved}.example.com/x"),
                long(1),
                true,
            ),
        ] {
            let expected = if refused { "422" } else { "ok" };
            let shown = key.chars().take(60).collect::<String>();
            check(place, json!({key: value}), expected)
                .await
                .context(shown)?;
        }
        let [(_, ours), (_, theirs)] = both().await?;
        let long_value = with(sync(), labels, json!({"a": long(64)}));
        let taken = with(sync(), annotations, json!({reserved: ""}));
        for (client, object, expected) in [
            (
                &ours,
                &long_value,
                "422 A label's key has at most 317 characters and its value at most 63.",
            ),
            (&ours, &taken, "422 are reserved for the controller"),
            (
                &theirs,
                &long_value,
                "422 failed rule: self.all(x, x.size() <= 317 && self[x].size() <= 63)",
            ),
            (
                &theirs,
                &taken,
                "422 failed rule: self.all(x, !x.startsWith",
            ),
        ] {
            judge("text of the rule", &tried(client, object).await?, expected)?;
        }
        Ok(())
    })
}

/// The warnings that come with the creation of an object.
async fn warnings(client: &Client, object: &Value) -> Result<String> {
    let objects = ApiServer::objects(client.clone(), object)?;
    let request = http::Request::post(format!("{}?dryRun=All", objects.resource_url()))
        .header("Content-Type", "application/json")
        .body(Body::from(serde_json::to_vec(object)?))?;
    let answer = client.send(request).await?;
    ensure!(answer.status().is_success(), "{}", answer.status());
    let mut found = String::new();
    for warning in answer.headers().get_all("warning") {
        found.push_str(warning.to_str()?);
    }
    Ok(found)
}

/// Sections 1 and 2: a field that nobody knows is dropped with a warning, and fails an apply
#[test]
fn unknown_fields_are_dropped_with_a_warning_and_fail_an_apply() -> Result<()> {
    run(async {
        let class = class(TEAM, "x", &["s"]);
        let in_entry = json!([{"secretName": "s", "restart": "Auto"}]);
        let [(_, ours), (_, theirs)] = both().await?;
        for (client, object, place, value, warning) in [
            (&ours, sync(), "/spec/extra", json!(1), "spec.extra"),
            (&theirs, sync(), "/spec/extra", json!(1), "spec.extra"),
            (&ours, class.clone(), "/spec/extra", json!(1), "spec.extra"),
            (
                &ours,
                class,
                "/spec/secretObjects",
                in_entry,
                "spec.secretObjects[0].restart",
            ),
        ] {
            let plain = with(object.clone(), "/metadata/name", json!(unique("extra")));
            let object = with(plain.clone(), place, value);
            has(
                &warnings(client, &object).await?,
                &["unknown field", warning],
            )?;
            let kept = serde_json::to_value(created(client, &object).await?)?;
            assert_ne!(kept.pointer(place), object.pointer(place), "{kept}");
            let apply = PatchParams::apply("coffer-sync").force().dry_run();
            let said = applied(client, &object, &apply).await?;
            judge(place, &said, "500 field not declared in schema")?;
            judge(place, &applied(client, &plain, &apply).await?, "ok")?;
        }
        Ok(())
    })
}

/// Sections 1 and 2: only a changed spec is a new generation; options have to be watched by their own digest
#[test]
fn only_a_changed_spec_makes_a_new_generation() -> Result<()> {
    run(async {
        let [(_, ours), (_, theirs)] = both().await?;
        let field = json!({"spec": {"forceSynchronization": "1"}});
        let parameters = json!({"spec": {"parameters": {"a": "b"}}});
        for (client, object, spec, last) in [
            (&ours, secret_sync(TEAM, &unique("generation")), &field, 2),
            (&theirs, secret_sync(TEAM, &unique("generation")), &field, 2),
            // Without a subresource an empty status counts as a change.
            (
                &ours,
                class(TEAM, &unique("generation"), &["s"]),
                &parameters,
                3,
            ),
        ] {
            created(client, &object).await?;
            let annotations = json!({"metadata": {"annotations": {"coffer.rs/suspend": "true"}}});
            let labels = json!({"metadata": {"labels": {"a": "b"}}});
            let status = json!({"status": {"syncHash": "c1:k:h", "byPod": [{"id": "p"}]}});
            for (patch, generation) in [
                (&annotations, 1),
                (&labels, 1),
                (spec, 2),
                (spec, 2),
                (&status, last),
            ] {
                let how = PatchParams::default();
                judge(
                    "a patch",
                    &merged(client, &object, &how, patch).await?,
                    "ok",
                )?;
                let found = stored(client, &object).await?;
                assert_eq!(found["metadata"]["generation"], generation, "{patch}");
                // A status is written through the subresource alone, and a class's keeps nothing.
                let status = found["status"].as_object();
                ensure!(status.is_none_or(serde_json::Map::is_empty), "{found}");
            }
        }
        Ok(())
    })
}

/// Section 2: status has a subresource of its own: dropped in a create, and nothing else gets through it
#[test]
fn the_status_of_a_secret_sync_is_written_through_its_subresource_alone() -> Result<()> {
    run(async {
        for (whose, client) in both().await? {
            let object = secret_sync(TEAM, &unique("status"));
            let status =
                json!({"syncHash": "c1:k:h", "lastSuccessfulSyncTime": "2026-01-01T00:00:00Z"});
            let found = created(&client, &with(object.clone(), "/status", status.clone())).await?;
            ensure!(found.data["status"].is_null(), "{whose}: {}", found.data);

            let objects = ApiServer::objects(client.clone(), &object)?;
            let name = found.metadata.name.context("no name")?;
            let patch = json!({
                "metadata": {"annotations": {"a": "b"}},
                "spec": {"forceSynchronization": "1"},
                "status": status,
            });
            let how = PatchParams::default();
            objects
                .patch_status(&name, &how, &Patch::Merge(&patch))
                .await?;
            let found = stored(&client, &object).await?;
            assert_eq!(found["status"], status, "{whose}");
            assert_eq!(found["metadata"]["generation"], 1, "{whose}");
            ensure!(found["metadata"]["annotations"].is_null(), "{found}");
            ensure!(found["spec"]["forceSynchronization"].is_null(), "{found}");
        }
        Ok(())
    })
}

fn condition(field: &str, value: Value) -> Value {
    let whole = json!({
        "type": "Ready",
        "status": "True",
        "reason": "Synced",
        "message": "m",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    });
    with(whole, &format!("/{field}"), value)
}

/// How a server-side apply of the status ends.
async fn status_applied(client: &Client, object: &Value) -> Result<String> {
    let objects = ApiServer::objects(client.clone(), object)?;
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let how = PatchParams::apply("coffer-sync").force().dry_run();
    said(
        objects
            .patch_status(name, &how, &Patch::Apply(object))
            .await,
    )
}

/// Section 2: what conditions may hold
#[test]
fn conditions_are_bounded_and_their_reasons_have_no_dots() -> Result<()> {
    run(async {
        let object = secret_sync(TEAM, &unique("conditions"));
        let servers = both().await?;
        for (_, client) in &servers {
            created(client, &object).await?;
        }
        let text = |count| json!("a".repeat(count));
        let all = |conditions: Vec<Value>| json!({"conditions": conditions});
        let one = |field, value| all(vec![condition(field, value)]);
        let many = |count| {
            let types = (0..count).map(|n| condition("type", json!(format!("T{n}"))));
            all(types.collect())
        };
        let twice = vec![
            condition("status", json!("True")),
            condition("status", json!("False")),
        ];
        for (status, expected) in [
            (one("reason", json!("Synced")), "ok"),
            (one("reason", json!("A,b:c_")), "ok"),
            (one("reason", text(1024)), "ok"),
            (
                one("reason", text(1025)),
                "422 may not be more than 1024 bytes",
            ),
            (one("reason", json!("a.b")), "422 should match"),
            (one("reason", json!("Ab,")), "422 should match"),
            (one("reason", json!("1a")), "422 should match"),
            (
                one("reason", json!("")),
                "422 should be at least 1 chars long",
            ),
            (one("message", json!("")), "ok"),
            (one("message", text(32_768)), "ok"),
            (
                one("message", text(32_769)),
                "422 may not be more than 32768 bytes",
            ),
            (one("type", json!("coffer.rs/Held")), "ok"),
            (one("type", json!("coffer.rs/RestartPending")), "ok"),
            (one("type", json!("a b")), "422 should match"),
            (one("status", json!("Unknown")), "ok"),
            (one("status", json!("Maybe")), "422 Unsupported value"),
            (
                one("observedGeneration", json!(-1)),
                "422 should be greater than or equal to 0",
            ),
            (
                one("lastTransitionTime", json!("now")),
                "422 must be of type date-time",
            ),
            (many(16), "ok"),
            (many(17), "422 must have at most 16 items"),
            (
                all(vec![json!({"type": "Ready", "status": "True"})]),
                "422 reason: Required value",
            ),
            (all(twice), "500 duplicate entries for key [type=\"Ready\"]"),
            (
                json!({"lastSuccessfulSyncTime": "yesterday"}),
                "422 must be of type date-time",
            ),
            (json!({"extra": 1}), "500 field not declared in schema"),
        ] {
            let shown = status.to_string().chars().take(120).collect::<String>();
            let object = with(object.clone(), "/status", status);
            for (whose, client) in &servers {
                let said = status_applied(client, &object).await?;
                judge(&format!("{whose}: {shown}"), &said, expected)?;
            }
        }
        Ok(())
    })
}

/// Section 2: our definition prints how a SecretSync is; upstream's prints nothing of its own
#[test]
fn our_definition_prints_ready_reason_synced_and_age() -> Result<()> {
    run(async {
        let object = secret_sync(TEAM, &unique("columns"));
        let [(_, ours), (_, theirs)] = both().await?;
        created(&ours, &object).await?;
        let objects = ApiServer::objects(ours.clone(), &object)?;
        let name = object["metadata"]["name"].as_str().context("no name")?;
        let status = json!({
            "conditions": [condition("status", json!("False"))],
            "lastSuccessfulSyncTime": "2026-01-01T00:00:00Z",
        });
        let patch = Patch::Merge(json!({"status": status}));
        objects
            .patch_status(name, &PatchParams::default(), &patch)
            .await?;

        let table = "application/json;as=Table;g=meta.k8s.io;v=v1";
        let path = format!("{}/{name}", objects.resource_url());
        let printed = get(&ours, &path, table).await?;
        assert_eq!(
            names(&printed),
            ["Name", "Ready", "Reason", "Synced", "Age"]
        );
        let cells = printed["rows"][0]["cells"].as_array().context("no cells")?;
        assert_eq!(cells[..3], [json!(name), json!("False"), json!("Synced")]);
        ensure!(
            cells[3..].iter().all(|age| age.is_string()),
            "ages: {cells:?}"
        );
        let list = get(&theirs, objects.resource_url(), table).await?;
        assert_eq!(names(&list), ["Name", "Age"]);
        Ok(())
    })
}

/// The headings of a table.
fn names(table: &Value) -> Vec<&str> {
    let columns = table["columnDefinitions"].as_array().into_iter().flatten();
    columns
        .filter_map(|column| column["name"].as_str())
        .collect()
}

/// Section 1: the schema of a class checks types and nothing else
#[test]
fn a_class_may_lack_everything_and_name_a_secret_twice() -> Result<()> {
    run(async {
        let client = ours().await?.client();
        let entries = |entries: Value| with(class(TEAM, "x", &[]), "/spec/secretObjects", entries);
        for (object, expected) in [
            (without(class(TEAM, "x", &[]), "/spec"), "ok"),
            (with(class(TEAM, "x", &[]), "/spec", json!({})), "ok"),
            (entries(json!([{}])), "ok"),
            (class(TEAM, "x", &["s", "s"]), "ok"),
            (class(TEAM, "x", &[" Not A Name "]), "ok"),
            (
                entries(json!([{"secretName": "s", "type": "", "data": []}])),
                "ok",
            ),
            (
                with(class(TEAM, "x", &[]), "/spec/provider", json!("../x")),
                "ok",
            ),
            (
                with(class(TEAM, "x", &[]), "/spec/provider", json!(1)),
                "422 must be of type string",
            ),
            (
                with(
                    class(TEAM, "x", &[]),
                    "/spec/parameters",
                    json!({"port": 8200}),
                ),
                "422 must be of type string",
            ),
        ] {
            judge(
                &object.to_string(),
                &tried(&client, &object).await?,
                expected,
            )?;
        }
        let empty = with(
            class(TEAM, &unique("class"), &[]),
            "/spec/secretObjects",
            json!([{}]),
        );
        let found = created(&client, &empty).await?.data;
        assert_eq!(found["spec"]["secretObjects"], json!([{}]));
        Ok(())
    })
}

/// Driver contract 10: the old version of a class is served, with a warning, and is the same object
#[test]
fn the_old_version_of_a_class_is_served_with_a_warning() -> Result<()> {
    run(async {
        let client = ours().await?.client();
        let new = class(TEAM, &unique("class"), &["s"]);
        let old = with(
            new.clone(),
            "/apiVersion",
            json!("secrets-store.csi.x-k8s.io/v1alpha1"),
        );
        has(
            &warnings(&client, &old).await?,
            &["secrets-store.csi.x-k8s.io/v1alpha1 SecretProviderClass is deprecated"],
        )?;
        ensure!(warnings(&client, &new).await?.is_empty());
        created(&client, &new).await?;
        let (new, old) = (stored(&client, &new).await?, stored(&client, &old).await?);
        assert_eq!(new["spec"], old["spec"]);
        assert_eq!(new["metadata"]["uid"], old["metadata"]["uid"]);
        Ok(())
    })
}
