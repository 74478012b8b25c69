//! The texts of driver-written requests, against texts written out by hand.

use std::fs;

use serde::Deserialize;

use super::*;
use crate::fixture::repository;

const UID: &str = "c9d4f7a0-94b3-4d3c-8a3c-3d3f6a3b8a11";

fn volume() -> Volume {
    let mut pod = Pod::new("default", "p").unwrap();
    UID.clone_into(&mut pod.uid);
    let class = Class::new("vault-foo")
        .with("roleName", "csi")
        .with("vaultAddress", "http://vault.vault:8200")
        .with(
            "objects",
            "- objectName: bar\n  secretPath: secret/data/foo\n  secretKey: bar\n",
        );
    let mut token = ServiceToken::new("vault", "<jwt>");
    "2026-01-01T00:00:00Z".clone_into(&mut token.expires);
    Volume::new(pod, class).with_token(token)
}

#[test]
fn a_first_mount_is_the_text_that_driver_1_6_sends() {
    let request = volume().first_mount();
    let expected = concat!(
        r#"{"csi.storage.k8s.io/ephemeral":"true","csi.storage.k8s.io/pod.name":"p","#,
        r#""csi.storage.k8s.io/pod.namespace":"default","#,
        r#""csi.storage.k8s.io/pod.uid":"c9d4f7a0-94b3-4d3c-8a3c-3d3f6a3b8a11","#,
        r#""csi.storage.k8s.io/serviceAccount.name":"default","#,
        r#""csi.storage.k8s.io/serviceAccount.tokens":"{\"vault\":{\"token\":\"\\u003cjwt\\u003e\","#,
        r#"\"expirationTimestamp\":\"2026-01-01T00:00:00Z\"}}","#,
        r#""objects":"- objectName: bar\n  secretPath: secret/data/foo\n  secretKey: bar\n","#,
        r#""roleName":"csi","secretProviderClass":"vault-foo","vaultAddress":"http://vault.vault:8200"}"#,
    );
    assert_eq!(request.attributes, expected);
    assert_eq!(request.secrets, "null");
    assert_eq!(request.permission, "420");
    let path = format!("/var/lib/kubelet/pods/{UID}/volumes/kubernetes.io~csi/secrets/mount");
    assert_eq!(request.target_path, path);
    assert!(request.current_object_version.is_empty());
}

#[test]
fn characters_are_escaped_as_go_does() {
    let map = [(
        "k&\u{2028}",
        "<a href=\"x\">\\\u{1}\u{8}\u{c}\n\r\t\u{7f}/é😀\u{2029}",
    )];
    let map = map
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    assert_eq!(
        string_map(&map),
        "{\"k\\u0026\\u2028\":\"\\u003ca href=\\\"x\\\"\\u003e\\\\\\u0001\\b\\f\\n\\r\\t\u{7f}/é😀\\u2029\"}"
    );
}

#[test]
fn an_ampersand_in_an_audience_is_escaped_twice() {
    let mut volume = volume();
    volume.tokens = Some(vec![ServiceToken::new("a&b", "x")]);
    let attributes = volume.first_mount().attributes;
    assert!(attributes.contains(r#":"{\"a\\u0026b\":{"#), "{attributes}");
}

#[test]
fn audiences_are_sorted_and_the_empty_one_comes_first() {
    let tokens = ["vault", "", "openbao"].map(|audience| ServiceToken {
        audience: audience.to_owned(),
        jwt: "j".to_owned(),
        expires: "t".to_owned(),
    });
    let one = r#"{"token":"j","expirationTimestamp":"t"}"#;
    assert_eq!(
        tokens_text(&tokens),
        format!(r#"{{"":{one},"openbao":{one},"vault":{one}}}"#)
    );
}

#[test]
fn a_pod_overrides_the_class_but_not_kubelet() {
    let request = volume()
        .with_attribute("roleName", "other")
        .with_attribute(POD_NAMESPACE, "kube-system")
        .first_mount();
    let attributes = parse(&request.attributes).unwrap();
    assert_eq!(attributes["roleName"], "other");
    assert_eq!(attributes[POD_NAMESPACE], "default");
}

#[test]
fn without_token_requests_the_key_is_absent_unless_somebody_plants_it() {
    let mut volume = volume();
    volume.tokens = None;
    assert!(!volume.first_mount().attributes.contains(TOKENS));
    let planted = volume.with_attribute(TOKENS, "{}").first_mount();
    assert_eq!(parse(&planted.attributes).unwrap()[TOKENS], "{}");
}

#[test]
fn from_kubernetes_1_35_tokens_stand_in_both_fields() {
    let mut volume = volume().with_secret("user", "admin");
    assert_eq!(volume.first_mount().secrets, r#"{"user":"admin"}"#);
    volume.tokens_in_secrets = true;
    let request = volume.first_mount();
    let secrets = parse(&request.secrets).unwrap();
    assert_eq!(secrets.keys().collect::<Vec<_>>(), [TOKENS, "user"]);
    assert_eq!(secrets[TOKENS], parse(&request.attributes).unwrap()[TOKENS]);
}

#[test]
fn a_rotation_of_driver_1_6_is_its_first_mount_again() {
    let volume = volume().with_attribute("a", "b");
    let version = ObjectVersion {
        id: "bar".to_owned(),
        version: "1".to_owned(),
    };
    assert!(volume.rotation(&[version]) == volume.first_mount());
}

#[test]
fn a_rotation_of_driver_1_5_lacks_class_and_volume_attributes_and_names_versions() {
    let version = ObjectVersion {
        id: "bar".to_owned(),
        version: "1".to_owned(),
    };
    let volume = volume()
        .with_attribute("roleName", "other")
        .by(DriverVersion::V1_5);
    assert!(volume.first_mount().attributes.contains(CLASS));

    let request = volume.rotation(std::slice::from_ref(&version));
    let attributes = parse(&request.attributes).unwrap();
    let keys: Vec<&str> = attributes.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        [
            POD_NAME,
            POD_NAMESPACE,
            POD_UID,
            SERVICE_ACCOUNT,
            TOKENS,
            "objects",
            "roleName",
            "vaultAddress"
        ]
    );
    assert_eq!(attributes["roleName"], "csi");
    assert_eq!(request.secrets, "{}");
    assert_eq!(request.current_object_version, [version]);
}

#[test]
fn the_debug_of_a_token_does_not_show_it() {
    let shown = format!("{:?}", ServiceToken::new("vault", "canary"));
    assert!(
        shown.contains("vault") && !shown.contains("canary"),
        "{shown}"
    );
}

/// A case of `tests/wire/corpus`: what a driver is given, and the request that Go's encoder wrote of it.
#[derive(Deserialize)]
struct Case {
    call: String,
    parameters: BTreeMap<String, String>,
    volume_attributes: BTreeMap<String, String>,
    tokens: Option<BTreeMap<String, GoToken>>,
    tokens_in_secrets: bool,
    attributes: BTreeMap<String, String>,
    secrets: Option<BTreeMap<String, String>>,
    request: GoRequest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GoToken {
    token: String,
    expiration_timestamp: String,
}

#[derive(Deserialize)]
struct GoRequest {
    attributes: String,
    secrets: String,
    target_path: String,
    permission: String,
    current_object_version: Vec<GoVersion>,
}

#[derive(Deserialize)]
struct GoVersion {
    id: String,
    version: String,
}

impl Case {
    fn volume(&self) -> Volume {
        let uid = self
            .request
            .target_path
            .split('/')
            .nth(5)
            .unwrap()
            .to_owned();
        let pod = Pod {
            name: "web-0".to_owned(),
            namespace: "default".to_owned(),
            uid,
            service_account: "web".to_owned(),
        };
        let name = self.volume_attributes[CLASS].clone();
        let mut volume = Volume::new(
            pod,
            Class {
                name,
                parameters: self.parameters.clone(),
            },
        );
        volume.volume_attributes.clone_from(&self.volume_attributes);
        volume.tokens = self.tokens.as_ref().map(|tokens| {
            let tokens = tokens.iter().map(|(audience, token)| ServiceToken {
                audience: audience.clone(),
                jwt: token.token.clone(),
                expires: token.expiration_timestamp.clone(),
            });
            tokens.collect()
        });
        volume.tokens_in_secrets = self.tokens_in_secrets;
        volume.secrets.clone_from(&self.secrets);
        if self.tokens_in_secrets {
            volume
                .secrets
                .as_mut()
                .and_then(|secrets| secrets.remove(TOKENS));
        }
        volume
    }

    fn expected(&self) -> MountRequest {
        let versions = self.request.current_object_version.iter();
        MountRequest {
            attributes: self.request.attributes.clone(),
            secrets: self.request.secrets.clone(),
            target_path: self.request.target_path.clone(),
            permission: self.request.permission.clone(),
            current_object_version: versions
                .map(|one| ObjectVersion {
                    id: one.id.clone(),
                    version: one.version.clone(),
                })
                .collect(),
        }
    }
}

#[test]
fn requests_are_those_that_gos_encoder_writes() {
    let mut cases = 0;
    for entry in fs::read_dir(repository().join("tests/wire/corpus")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.display();
        let case: Case = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let expected = case.expected();
        let built = match case.call.as_str() {
            "publish" => case.volume().first_mount(),
            "rotation" => case
                .volume()
                .by(DriverVersion::V1_5)
                .rotation(&expected.current_object_version),
            other => panic!("{name}: unknown call {other:?}"),
        };
        assert_eq!(string_map(&case.attributes), expected.attributes, "{name}");
        assert_eq!(built.attributes, expected.attributes, "{name}");
        assert_eq!(built.secrets, expected.secrets, "{name}");
        assert_eq!(built.target_path, expected.target_path, "{name}");
        assert_eq!(built.permission, expected.permission, "{name}");
        assert!(built == expected, "{name}");
        cases += 1;
    }
    assert!(cases > 20, "only {cases} cases in the corpus");
}
