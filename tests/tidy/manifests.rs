//! Manifests of the chart: each says what it is, each right says why, and each policy fails closed with a sentence.
//!
//! What a server makes of them is for `e2e`.

use anyhow::{Context, Result, ensure};
use coffer_tests::apiserver::ApiServer;
use serde_json::Value;

use crate::tree::{Source, files, none};

/// YAML files below a folder of the chart's files.
fn manifests(folder: &str) -> Result<Vec<Source>> {
    let start = format!("charts/coffer/files/{folder}");
    let mut found = files()?;
    found.retain(|file| file.path.starts_with(&start) && file.path.ends_with(".yaml"));
    ensure!(!found.is_empty(), "there is no manifest in {start}");
    Ok(found)
}

#[test]
fn every_manifest_opens_with_what_it_is() -> Result<()> {
    let silent: Vec<String> = manifests("")?
        .into_iter()
        .filter(|file| !file.text.starts_with("# "))
        .map(|file| file.path)
        .collect();
    none("no comment in the first line", &silent)
}

#[test]
fn every_right_has_its_reason() -> Result<()> {
    let mut found = Vec::new();
    for file in manifests("sync/rbac")? {
        let mut before = "";
        for (number, line) in file.lines() {
            if line.starts_with("  - apiGroups:") && !before.starts_with("  # ") {
                found.push(format!("{}:{number}: {line}", file.path));
            }
            before = line;
        }
    }
    none("a right without a reason", &found)
}

#[test]
fn every_policy_fails_closed_and_says_why() -> Result<()> {
    for file in manifests("sync/policies/")? {
        let documents = ApiServer::documents(&file.path)?;
        let [policy, binding] = &documents[..] else {
            anyhow::bail!("{} is not a policy and its binding", file.path);
        };
        let spec = &policy["spec"];
        ensure!(spec["failurePolicy"] == "Fail", "{}", file.path);
        let bound = &binding["spec"];
        let name = &policy["metadata"]["name"];
        ensure!(bound["policyName"] == *name, "{} binds another", file.path);
        ensure!(bound["validationActions"] == serde_json::json!(["Deny"]));
        let validations = spec["validations"].as_array().context("no validations")?;
        ensure!(!validations.is_empty(), "{} validates nothing", file.path);
        for validation in validations {
            let message = validation["message"].as_str().unwrap_or_default();
            ensure!(is_sentence(message), "{}: {message:?}", file.path);
        }
        let everybody = file.path.ends_with("/author.yaml");
        ensure!(binds_the_controller(spec) != everybody, "{}", file.path);
    }
    Ok(())
}

fn is_sentence(message: &str) -> bool {
    message.starts_with(char::is_uppercase) && message.ends_with('.') && !message.contains('\n')
}

fn binds_the_controller(spec: &Value) -> bool {
    let account = "system:serviceaccount:coffer-system:coffer-sync";
    let condition = format!("request.userInfo.username == '{account}'");
    let conditions = spec["matchConditions"].as_array().into_iter().flatten();
    conditions
        .into_iter()
        .any(|it| it["expression"] == condition)
}
