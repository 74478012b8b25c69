//! Docker files that kubelet makes nothing of, or not what was meant.
//!
//! What is JSON at all is asked in `secret_types::docker`.

use anyhow::Result;
use coffer_sync_core::validate::Check;
use serde_json::{Value, json};

use super::{Case, Row};

/// `tiger:pass1234`.
const LOGIN: &str = "dGlnZXI6cGFzczEyMzQ=";

fn current(file: Value) -> Case {
    Case::new("kubernetes.io/dockerconfigjson").with(".dockerconfigjson", file.to_string())
}

fn legacy(file: Value) -> Case {
    Case::new("kubernetes.io/dockercfg").with(".dockercfg", file.to_string())
}

/// A file with credentials for one host.
fn entry(entry: Value) -> Case {
    current(json!({"auths": {"r.example": entry}}))
}

fn auth(auth: &str) -> Case {
    entry(json!({"auth": auth}))
}

fn host(host: &str) -> Case {
    current(json!({"auths": {host: {"auth": LOGIN}}}))
}

pub(super) fn files() -> Result<Vec<Row>> {
    let login = || json!({"auth": LOGIN});
    let told_twice = |username: &str, password: &str| {
        entry(json!({"username": username, "password": password, "auth": LOGIN}))
    };
    let with = |member: &str, value: Value| {
        let entry = json!({"username": "u", "password": "p"});
        current(json!({"auths": {"r.example": entry}, member: value}))
    };
    let with_token =
        |member: &str, value: &str| entry(json!({"username": "u", "password": "p", member: value}));
    Ok(vec![
        Row::of(Check::DockerShape)
            .bad(
                [
                    json!({}),
                    json!(null),
                    json!({"auths": 3}),
                    json!({"auths": null}),
                    json!({"r.example": login()}),
                ]
                .map(current),
            )
            .bad([json!(null), json!({"auths": {"r.example": login()}})].map(legacy))
            .good([entry(login()), legacy(json!({"r.example": login()}))]),
        Row::of(Check::DockerShape)
            .beside(&[Check::DockerEmpty])
            .bad([json!(3), json!([]), json!({"username": 1})].map(entry))
            .good([json!({"username": "u", "password": "p"})].map(entry)),
        Row::of(Check::DockerAuth)
            .beside(&[Check::DockerEmpty])
            .bad(["opensesame", "not base64!", "bm8gY29sb24=", "dTpwdw="].map(auth))
            .good([LOGIN, "dTpwdw==", "dTpwdw", "dTpw\ndw=="].map(auth)),
        Row::of(Check::DockerAuthMismatch)
            .bad([told_twice("lion", "pass1234"), told_twice("tiger", "x")])
            .good([told_twice("tiger", "pass1234"), told_twice("", "")]),
        Row::of(Check::DockerEmpty)
            .bad([current(json!({"auths": {}})), legacy(json!({}))])
            .bad([json!({}), json!({"username": "u"})].map(entry))
            .bad(["dTo=", "OnA="].map(auth))
            .good([json!({"username": "u", "password": "p"}), login()].map(entry)),
        Row::of(Check::DockerHost)
            .bad(["", "https://", "a b.example", "r.example:port"].map(host))
            .bad(["r.example/*", "r.example:*"].map(host))
            .bad(["docker.io", "https://index.docker.io/v1"].map(host))
            .good(["r.example:5000", "https://r.example/v2/", "*.r.example"].map(host))
            .good(["https://index.docker.io/v1/"].map(host)),
        Row::of(Check::DockerIgnored)
            .bad(["identitytoken", "registrytoken"].map(|member| with_token(member, "x")))
            .bad([with("credsStore", json!("pass"))])
            .bad([with("credHelpers", json!({"a": "b"}))])
            .good([with_token("identitytoken", ""), with("x", json!("y"))]),
    ])
}
