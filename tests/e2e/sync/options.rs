//! Options, and what people see of objects: conditions, Events, the admin port, and requests as a provider gets them.
//!
//! Repairs, adoption, immutability and restarts have files of their own. No case waits for a clock: because an answer
//! of the provider serves for some seconds, a case that wants another one makes its class another generation.

/// What the admin port shows: objects and metrics, and nowhere a value.
mod admin;
/// What the checks of content decide.
mod checks;
/// SecretProviderClasses that make Secrets.
mod class;
/// Conditions from the first write to failure and recovery.
mod conditions;
/// From files to keys.
mod data;
/// What becomes of the Secret when its source goes.
mod deletion;
/// Single entries of a class.
mod entries;
/// What a provider is asked, and how often.
mod request;
/// When an object is synced, and when not.
mod turns;
/// Values that are no values of an option, and names that are no options.
mod values;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_tests::fixture::eventually;
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use super::{Scene, condition_of};
use crate::stage::{SOON, has, unique};
use crate::sync_objects::stored;

/// The object with these options.
pub(super) fn with_options(mut object: Value, options: &[(&str, &str)]) -> Value {
    for (name, text) in options {
        object["metadata"]["annotations"][format!("coffer.rs/{name}")] = json!(text);
    }
    object
}

/// Sets an option of an object that is there, or takes it away.
pub(super) async fn set(
    scene: &Scene,
    object: &Value,
    name: &str,
    text: Option<&str>,
) -> Result<()> {
    let name = format!("coffer.rs/{name}");
    let patch = json!({"metadata": {"annotations": {name: text}}});
    scene.merge(object, &patch).await.map(|_| ())
}

/// Makes a class another generation: its objects are due, and no answer from before serves them.
pub(super) async fn fetch_anew(scene: &Scene, class: &Value) -> Result<()> {
    let patch = json!({"spec": {"parameters": {"nonce": unique("n")}}});
    scene.merge(class, &patch).await.map(|_| ())
}

/// Waits until the admin port shows an object so, known by its Secret or its own name. Then its round is over, with
/// all that it tells.
pub(super) async fn shown(scene: &Scene, name: &str, state: &str, reason: &str) -> Result<Value> {
    let what = format!("{name} as {state} for {reason}");
    eventually(SOON, &what, async || {
        let all = scene.controller.objects().await?;
        let mut rows = all.as_array().into_iter().flatten();
        let row = rows.find(|row| row["secret"] == name || row["name"] == name);
        let row = row.with_context(|| all.to_string())?;
        ensure!(row["state"] == state && row["reason"] == reason, "{row}");
        Ok(row.clone())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Waits for an Event of a reason whose note has this part.
pub(super) async fn noted(scene: &Scene, object: &str, reason: &str, part: &str) -> Result<Value> {
    let what = format!("an Event {reason} about {object}: {part}");
    eventually(SOON, &what, async || {
        let events = scene.events(object).await?;
        let found = events.iter().find(|event| {
            event["reason"] == reason && event["note"].as_str().unwrap_or_default().contains(part)
        });
        found.cloned().with_context(|| format!("{events:?}"))
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Fails if there is an Event of this reason about an object.
pub(super) async fn tells_nothing_of(scene: &Scene, object: &str, reason: &str) -> Result<()> {
    let events = scene.events(object).await?;
    let found = events.iter().find(|event| event["reason"] == reason);
    ensure!(found.is_none(), "{found:?}");
    Ok(())
}

/// Waits until the message of a condition has all of these parts.
pub(super) async fn tells(
    scene: &Scene,
    object: &Value,
    condition: &str,
    parts: &[&str],
) -> Result<String> {
    eventually(SOON, &format!("a message of {condition}"), async || {
        let now = stored(&scene.ground.admin, object).await?;
        let found = condition_of(&now, condition).with_context(|| now["status"].to_string())?;
        let message = message(found);
        has(message, parts)?;
        Ok(message.to_owned())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Waits until a metric has this value.
pub(super) async fn measured(scene: &Scene, series: &str, expected: f64) -> Result<()> {
    eventually(SOON, series, async || {
        let found = scene.controller.metric(series).await?;
        ensure!(found == expected, "it is {found} and not {expected}");
        Ok(())
    })
    .await
    .with_context(|| scene.controller.log())
}

/// Waits until whatever is made next is younger than this object by its time of creation, which has whole seconds.
pub(super) async fn a_second_after(object: &Value) -> Result<()> {
    let created = time(&object["metadata"]["creationTimestamp"])?;
    eventually(SOON, "another second", async || {
        ensure!(Timestamp::now().as_second() > created.as_second());
        Ok(())
    })
    .await
}

/// What a path of the API server answers.
pub(super) async fn got(client: &Client, path: &str) -> Result<Value> {
    let request = http::Request::get(path).body(Vec::new())?;
    Ok(client.request(request).await?)
}

/// A text as the data of a Secret hold it.
pub(super) fn encoded(text: &str) -> String {
    BASE64_STANDARD.encode(text)
}

/// The message of a condition.
pub(super) fn message(condition: &Value) -> &str {
    condition["message"].as_str().unwrap_or_default()
}

/// A time as Kubernetes writes it.
pub(super) fn time(text: &Value) -> Result<Timestamp> {
    let text = text.as_str().with_context(|| format!("no time: {text}"))?;
    Ok(text.parse::<Timestamp>()?)
}
