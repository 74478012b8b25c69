//! How a Pod template refers to a Secret: found where a change does not arrive by itself, and pointed elsewhere.
//!
//! Plain volumes update by themselves and pull secrets are read when an image is pulled: they restart nothing.

use serde_json::Value;

/// Whether a Pod of this template reads the Secret by `env`, `envFrom`, or a volume mounted with `subPath`.
#[must_use]
pub fn needs_restart(template: &Value, secret: &str) -> bool {
    let spec = &template["spec"];
    let volumes: Vec<&str> = items(&spec["volumes"])
        .filter(|volume| volume_holds(volume, secret))
        .filter_map(|volume| volume["name"].as_str())
        .collect();
    containers(spec).any(|container| {
        let env =
            items(&container["env"]).any(|env| env["valueFrom"]["secretKeyRef"]["name"] == secret);
        let env_from = items(&container["envFrom"]).any(|from| from["secretRef"]["name"] == secret);
        let sub_path = items(&container["volumeMounts"]).any(|mount| {
            let below = ["subPath", "subPathExpr"]
                .iter()
                .any(|field| mount[*field].as_str().is_some_and(|path| !path.is_empty()));
            below
                && mount["name"]
                    .as_str()
                    .is_some_and(|name| volumes.contains(&name))
        });
        env || env_from || sub_path
    })
}

fn volume_holds(volume: &Value, secret: &str) -> bool {
    let projected =
        items(&volume["projected"]["sources"]).any(|source| source["secret"]["name"] == secret);
    volume["secret"]["secretName"] == secret || projected
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|list| items(&spec[list]))
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// One step of a JSON patch: at this path the old name is tested and the new one put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// JSON pointer from the root of the workload.
    pub path: String,
    /// The name that stands there.
    pub old: String,
}

/// Where a template names the Secret itself or one of its versions, other than `new`, exactly.
///
/// `is_version` says whether a name is one that we gave: a Secret that merely looks alike is left alone.
#[must_use]
pub fn repoint(template: &Value, new: &str, is_version: &dyn Fn(&str) -> bool) -> Vec<Replacement> {
    let mut found = Vec::new();
    let mut see = |path: String, value: &Value| {
        if let Some(old) = value.as_str().filter(|old| *old != new && is_version(old)) {
            found.push(Replacement {
                path,
                old: old.to_owned(),
            });
        }
    };
    let spec = &template["spec"];
    let root = "/spec/template/spec";
    for (at, pull) in items(&spec["imagePullSecrets"]).enumerate() {
        see(format!("{root}/imagePullSecrets/{at}/name"), &pull["name"]);
    }
    for (at, volume) in items(&spec["volumes"]).enumerate() {
        see(
            format!("{root}/volumes/{at}/secret/secretName"),
            &volume["secret"]["secretName"],
        );
        for (inner, source) in items(&volume["projected"]["sources"]).enumerate() {
            see(
                format!("{root}/volumes/{at}/projected/sources/{inner}/secret/name"),
                &source["secret"]["name"],
            );
        }
    }
    for list in ["initContainers", "containers"] {
        for (at, container) in items(&spec[list]).enumerate() {
            for (inner, env) in items(&container["env"]).enumerate() {
                let path = format!("{root}/{list}/{at}/env/{inner}/valueFrom/secretKeyRef/name");
                see(path, &env["valueFrom"]["secretKeyRef"]["name"]);
            }
            for (inner, from) in items(&container["envFrom"]).enumerate() {
                see(
                    format!("{root}/{list}/{at}/envFrom/{inner}/secretRef/name"),
                    &from["secretRef"]["name"],
                );
            }
        }
    }
    found
}
