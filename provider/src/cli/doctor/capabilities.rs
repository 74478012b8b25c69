//! What a login may do on each path of a class, and what is missing.

use std::collections::BTreeMap;

use coffer_provider_core::gojson::Json;
use coffer_provider_core::params::MountSpec;
use coffer_provider_core::request::Method;
use coffer_provider_core::target::Target;
use secrecy::SecretString;

use super::Step;
use crate::vault::endpoint;
use crate::vault::http::Stores;

/// Path to the capabilities on it.
type Rights = BTreeMap<String, Vec<String>>;

/// One step per path and method of the class.
pub(super) async fn examine(
    stores: &Stores,
    target: &Target,
    token: &SecretString,
    spec: &MountSpec,
) -> Vec<Step> {
    let objects = spec.class.objects.iter();
    let mut wanted: Vec<(String, Method)> = objects
        .map(|object| (object.request.path.clone(), object.request.method))
        .collect();
    wanted.sort_by(|one, other| (&one.0, need(one.1)).cmp(&(&other.0, need(other.1))));
    wanted.dedup();
    let mut paths: Vec<String> = wanted.iter().map(|(path, _)| path.clone()).collect();
    paths.extend(wanted.iter().filter_map(|(path, _)| versioned(path)));
    paths.sort();
    paths.dedup();
    match ask(stores, target, token, &paths).await {
        Err(skipped) => vec![skipped],
        Ok(rights) => wanted
            .iter()
            .map(|(path, method)| judge(path, *method, &rights))
            .collect(),
    }
}

async fn ask(
    stores: &Stores,
    target: &Target,
    token: &SecretString,
    paths: &[String],
) -> Result<Rights, Step> {
    let borrowed: Vec<&str> = paths.iter().map(String::as_str).collect();
    let prepared = endpoint::capabilities_self(target, token, &borrowed)
        .map_err(|fault| Step::skipped("capabilities", fault.what))?;
    let sent = stores.send(target, prepared, super::call()).await;
    let answer = sent.map_err(|failed| Step::skipped("capabilities", failed.fault.what))?;
    let body = Json::parse(&answer.body)
        .ok()
        .filter(|_| answer.status == 200);
    let body = body.ok_or_else(|| {
        let what = format!("asked for rights, the store answered {}", answer.status);
        Step::skipped("capabilities", what).with_hint(
            "the policy may forbid sys/capabilities-self, which the default policy allows",
        )
    })?;
    Ok(paths
        .iter()
        .map(|path| (path.clone(), rights(&body, path)))
        .collect())
}

fn rights(body: &Json, path: &str) -> Vec<String> {
    let listed = body
        .get("data")
        .and_then(|data| data.get(path))
        .or_else(|| body.get(path));
    let listed = listed.and_then(Json::as_array).into_iter().flatten();
    listed.filter_map(Json::as_str).map(str::to_owned).collect()
}

fn judge(path: &str, method: Method, rights: &Rights) -> Step {
    let has = |path: &str| {
        let rights = rights.get(path).map(Vec::as_slice).unwrap_or_default();
        let allows = |right: &String| right == "root" || need(method).contains(&right.as_str());
        rights.iter().any(allows)
    };
    let all = rights
        .get(path)
        .map(|all| all.join(", "))
        .filter(|all| !all.is_empty());
    let detail = format!("{path}: {}", all.as_deref().unwrap_or("none"));
    let needed = need(method).join(" or ");
    let meant = versioned(path).filter(|meant| has(meant));
    match meant {
        _ if has(path) => Step::ok("capabilities", detail),
        Some(meant) => Step::failed(
            "capabilities",
            detail,
            format!(
                "did you mean {meant}? in a KV engine of version 2 paths have data/ behind the mount"
            ),
        ),
        None => Step::failed(
            "capabilities",
            detail,
            format!("the role's policy needs {needed} on {path}"),
        ),
    }
}

/// The same path as version 2 of the KV engine has it, if it is not such a path already.
fn versioned(path: &str) -> Option<String> {
    let (mount, rest) = path.split_once('/')?;
    (!rest.starts_with("data/")).then(|| format!("{mount}/data/{rest}"))
}

/// The capabilities of which one is needed; which of create and update, the store decides by what is
/// there already.
const fn need(method: Method) -> &'static [&'static str] {
    match method {
        Method::Get => &["read"],
        Method::List => &["list"],
        Method::Put | Method::Post => &["update", "create"],
        Method::Patch => &["patch"],
        Method::Delete => &["delete"],
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::{Method, Rights, judge};

    #[test]
    fn a_path_is_judged_by_the_right_that_its_method_needs() {
        let rights: Rights = [
            ("secret/data/a", "read"),
            ("secret/data/b", "deny"),
            ("secret/c", "deny"),
            ("secret/data/c", "read"),
            ("pki/issue/web", "create"),
            ("sys/x", "root"),
        ]
        .map(|(path, right)| (path.to_owned(), vec![right.to_owned()]))
        .into();
        for (path, method, state, hint) in [
            ("secret/data/a", Method::Get, State::Ok, ""),
            (
                "secret/data/a",
                Method::List,
                State::Failed,
                "needs list on secret/data/a",
            ),
            (
                "secret/data/b",
                Method::Get,
                State::Failed,
                "needs read on secret/data/b",
            ),
            (
                "secret/c",
                Method::Get,
                State::Failed,
                "did you mean secret/data/c?",
            ),
            ("pki/issue/web", Method::Post, State::Ok, ""),
            ("sys/x", Method::Delete, State::Ok, ""),
            (
                "absent",
                Method::Put,
                State::Failed,
                "needs update or create on absent",
            ),
        ] {
            let step = judge(path, method, &rights);
            assert_eq!(step.state, state, "{step:?}");
            assert!(step.hint.contains(hint), "{step:?}");
        }
    }
}
