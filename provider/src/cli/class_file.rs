//! A class from a manifest, played as the driver would send it for a pod.
//!
//! Reading YAML is the check's; what the parameters mean is the server's.

use std::collections::BTreeMap;
use std::path::Path;

use coffer_proto::attributes;
use coffer_provider_core::problem::one_line;
use zeroize::Zeroizing;

use super::{Failed, check};

/// A SecretProviderClass as far as a Mount needs it. No Debug: arguments may be secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ClassFile {
    /// The name.
    pub name: String,
    /// The namespace; none where the manifest leaves it open.
    pub namespace: Option<String>,
    /// Which provider it is for.
    pub provider: String,
    /// What that provider is to do.
    pub parameters: BTreeMap<String, String>,
}

/// The pod that is played. No Debug: it holds a token.
#[derive(Clone)]
pub struct PlayedPod {
    /// Its namespace.
    pub namespace: String,
    /// Its service account.
    pub service_account: String,
    /// A token of that account, with the audience it is for.
    pub token: Option<(String, Zeroizing<String>)>,
}

/// Reads the SecretProviderClass of a file; `-` is standard input. A file with several needs the name of
/// one, alone or as `namespace/name`.
///
/// # Errors
/// 1 when the file is no YAML or Kubernetes would refuse the class, 2 when it does not hold the class, 3
/// when it cannot be read.
pub fn read(path: &Path, wanted: Option<&str>) -> Result<ClassFile, Failed> {
    choose(&super::input(&path.to_path_buf())?, wanted)
}

fn choose(input: &check::Input, wanted: Option<&str>) -> Result<ClassFile, Failed> {
    let file = one_line(&input.name);
    let found = check::classes(input).map_err(|what| Failed::new(1, what))?;
    let names: Vec<String> = found.iter().map(label).collect();
    let listed = names.join(", ");
    let mut fitting: Vec<_> = found
        .into_iter()
        .filter(|class| wanted.is_none_or(|name| class.name == name || label(class) == name))
        .collect();
    let count = fitting.len();
    let why = match (fitting.pop(), wanted) {
        (Some(class), _) if count == 1 => return usable(class, &file),
        (Some(_), _) => {
            format!("{file} holds {count} such classes: choose with --class-name one of {listed}")
        }
        (None, Some(name)) if !listed.is_empty() => {
            format!("{file} holds no class \"{}\" but: {listed}", one_line(name))
        }
        (None, _) => {
            format!("{file} holds no SecretProviderClass of secrets-store.csi.x-k8s.io")
        }
    };
    Err(Failed::new(2, why))
}

fn label(class: &check::FoundClass) -> String {
    let name = one_line(&class.name);
    match &class.namespace {
        Some(namespace) => format!("{}/{name}", one_line(namespace)),
        None => name,
    }
}

fn usable(class: check::FoundClass, file: &str) -> Result<ClassFile, Failed> {
    let parameters = class.parameters.map_err(|what| {
        Failed::new(
            1,
            format!("{what}; `coffer-provider check {file}` tells everything"),
        )
    })?;
    Ok(ClassFile {
        name: class.name,
        namespace: class.namespace,
        provider: class.provider,
        parameters,
    })
}

impl ClassFile {
    /// The attributes of a Mount of this class by a pod. They hold its token.
    #[must_use]
    pub fn attributes(&self, pod: &PlayedPod) -> Zeroizing<String> {
        let mut all = self.parameters.clone();
        for (key, value) in [
            (attributes::CLASS, self.name.as_str()),
            (attributes::POD_NAME, "coffer-cli"),
            (attributes::POD_NAMESPACE, pod.namespace.as_str()),
            (attributes::POD_UID, "coffer-cli"),
            (attributes::SERVICE_ACCOUNT, pod.service_account.as_str()),
            (attributes::EPHEMERAL, "true"),
        ] {
            all.insert(key.to_owned(), value.to_owned());
        }
        if let Some((audience, token)) = &pod.token {
            let tokens = serde_json::json!({ audience: { "token": token.as_str() } });
            all.insert(attributes::TOKENS.to_owned(), tokens.to_string());
        }
        // A map of texts can always be written.
        Zeroizing::new(serde_json::to_string(&all).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{ClassFile, PlayedPod, check, choose};
    use crate::cli::Failed;

    const TWO: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: before}
data:
  text: |
    a
    ---
    kind: SecretProviderClass
---
# a comment in front
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: {name: a, namespace: shop}
spec:
  provider: vault
  parameters:
    roleName: app
    objects: |
      - objectName: x
        # a line of three dashes inside a block ends nothing
        secretArgs: {pem: \"---\"}
---
apiVersion: v1
kind: List
items:
  - apiVersion: secrets-store.csi.x-k8s.io/v1
    kind: SecretProviderClass
    metadata: {name: b}
    spec: {provider: openbao, parameters: {roleName: 'yes', roleName: \"007\"}}
";

    fn read(text: &str, wanted: Option<&str>) -> Result<ClassFile, Failed> {
        let input = check::Input {
            name: "f.yaml".to_owned(),
            text: text.to_owned(),
        };
        choose(&input, wanted)
    }

    fn refused(text: &str, wanted: Option<&str>) -> (u8, String) {
        let failed = read(text, wanted).err().unwrap();
        (failed.code, failed.text)
    }

    #[test]
    fn a_class_is_found_among_other_documents_by_its_name() {
        for (wanted, name, provider) in [
            ("a", "a", "vault"),
            ("shop/a", "a", "vault"),
            ("b", "b", "openbao"),
        ] {
            let class = read(TWO, Some(wanted)).ok().unwrap();
            assert_eq!(
                (class.name.as_str(), class.provider.as_str()),
                (name, provider)
            );
        }
        let class = read(TWO, Some("a")).ok().unwrap();
        assert!(class.parameters["objects"].contains("ends nothing"));
        let class = read(TWO, Some("b")).ok().unwrap();
        assert_eq!(class.parameters["roleName"], "007");
    }

    #[test]
    fn a_file_without_the_class_is_refused_with_the_names_it_has() {
        let (code, text) = refused(TWO, None);
        assert_eq!(code, 2);
        assert!(text.ends_with("one of shop/a, b"), "{text}");
        let (code, text) = refused(TWO, Some("c"));
        assert!(code == 2 && text.contains("\"c\" but: shop/a, b"), "{text}");
        let (code, text) = refused("kind: Pod\n", None);
        assert!(
            code == 2 && text.contains("holds no SecretProviderClass"),
            "{text}"
        );
    }

    #[test]
    fn what_kubernetes_would_refuse_is_told_with_its_line() {
        let (code, text) = refused("a: b\n c: [", None);
        assert!(code == 1 && text.starts_with("f.yaml:2: "), "{text}");
        let (code, text) = refused(&TWO.replace("roleName: app", "roleName: 5"), Some("a"));
        assert!(
            code == 1 && text.starts_with("f.yaml:17: spec.parameters.roleName is no text"),
            "{text}"
        );
    }

    #[test]
    fn the_attributes_are_those_of_the_driver() {
        let class = read(TWO, Some("a")).ok().unwrap();
        let pod = PlayedPod {
            namespace: "shop".to_owned(),
            service_account: "web".to_owned(),
            token: Some(("vault".to_owned(), "h.c.s".to_owned().into())),
        };
        let sent: serde_json::Value = serde_json::from_str(&class.attributes(&pod)).unwrap();
        assert_eq!(sent["csi.storage.k8s.io/serviceAccount.name"], "web");
        assert_eq!(sent["secretProviderClass"], "a");
        assert_eq!(
            sent["csi.storage.k8s.io/serviceAccount.tokens"],
            r#"{"vault":{"token":"h.c.s"}}"#
        );
    }
}
