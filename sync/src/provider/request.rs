//! The MountRequest of a sync: what the driver would send, for a Pod that is our own.
//!
//! Keys of kubelet never come from a class: its author could forge tokens and the Pod by them.

use std::collections::BTreeMap;

use coffer_proto::attributes::{
    CLASS, KUBELET_PREFIX, POD_NAME, POD_NAMESPACE, POD_UID, SERVICE_ACCOUNT, TOKENS,
};
use coffer_proto::v1alpha1::{MountRequest, ObjectVersion};
use serde_json::json;

use crate::cluster::Token;

/// Nothing is mounted there.
const TARGET: &str = "/mnt/secrets-store";
/// 0644, as the driver writes it.
const PERMISSION: &str = "420";

/// Our own Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What is asked of a provider.
pub struct Asked<'a> {
    /// Our own Pod.
    pub pod: &'a Pod,
    /// Namespace of the object.
    pub namespace: &'a str,
    /// Its ServiceAccount.
    pub account: &'a str,
    /// Its class.
    pub class: &'a str,
    /// Parameters of the class.
    pub parameters: &'a BTreeMap<String, String>,
    /// Audience and token, where the provider wants one.
    pub token: Option<(&'a str, &'a Token)>,
    /// Versions of the last good answer.
    pub versions: Vec<ObjectVersion>,
}

impl Asked<'_> {
    pub(super) fn request(&self) -> MountRequest {
        MountRequest {
            attributes: self.attributes(),
            secrets: "{}".to_owned(),
            target_path: TARGET.to_owned(),
            permission: PERMISSION.to_owned(),
            current_object_version: self.versions.clone(),
        }
    }

    fn attributes(&self) -> String {
        let tokens = self.token.map(|(audience, token)| {
            let token = json!({
                "token": token.token.as_str(),
                "expirationTimestamp": token.expires,
            });
            json!({audience: token}).to_string()
        });
        let own = self
            .parameters
            .iter()
            .filter(|(key, _)| !key.starts_with(KUBELET_PREFIX));
        let mut all: BTreeMap<&str, &str> = own
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        all.extend([
            (POD_NAME, self.pod.name.as_str()),
            (POD_UID, self.pod.uid.as_str()),
            (POD_NAMESPACE, self.namespace),
            (SERVICE_ACCOUNT, self.account),
            (CLASS, self.class),
        ]);
        if let Some(tokens) = &tokens {
            all.insert(TOKENS, tokens);
        }
        // A map of texts always becomes JSON.
        serde_json::to_string(&all).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    /// Sync §4 and §18: the table of the request, and nothing of kubelet's from a class.
    #[test]
    fn a_request_is_the_drivers_and_a_class_cannot_forge_what_is_kubelets() {
        let parameters = [
            ("roleName", "r"),
            ("csi.storage.k8s.io/pod.name", "forged"),
            ("csi.storage.k8s.io/serviceAccount.tokens", "forged"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        let token = Token {
            token: Zeroizing::new("made-up".to_owned()),
            expires: "2026-01-01T00:10:00Z".to_owned(),
        };
        let pod = Pod {
            name: "coffer-sync-0".to_owned(),
            uid: "pod-uid".to_owned(),
        };
        let mut asked = Asked {
            pod: &pod,
            namespace: "team",
            account: "app",
            class: "db",
            parameters: &parameters,
            token: Some(("vault", &token)),
            versions: Vec::new(),
        };
        let request = asked.request();
        assert_eq!(
            (request.secrets.as_str(), request.permission.as_str()),
            ("{}", "420")
        );
        assert_eq!(request.target_path, "/mnt/secrets-store");
        assert_eq!(
            request.attributes,
            concat!(
                r#"{"csi.storage.k8s.io/pod.name":"coffer-sync-0","csi.storage.k8s.io/pod.namespace":"team","#,
                r#""csi.storage.k8s.io/pod.uid":"pod-uid","csi.storage.k8s.io/serviceAccount.name":"app","#,
                r#""csi.storage.k8s.io/serviceAccount.tokens":"{\"vault\":{\"expirationTimestamp\":\"2026-01-01T00:10:00Z\",\"token\":\"made-up\"}}","#,
                r#""roleName":"r","secretProviderClass":"db"}"#
            )
        );
        asked.token = None;
        assert!(!asked.request().attributes.contains("tokens"));
    }
}
