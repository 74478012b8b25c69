//! Object versions: an HMAC over what was asked for and what was delivered.
//!
//! The driver stores them and Reloader-like tools restart pods when they change, so the formula is the
//! peers', byte for byte: a migration must not move a version. Getting the key is not done here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use ring::{hkdf, hmac};
use zeroize::Zeroizing;

use crate::gojson::write_string;
use crate::object::Object;
use crate::output::Output;

/// The key of the versions, shared by all nodes through a Kubernetes Secret. No Debug.
#[derive(Clone, PartialEq, Eq)]
pub struct VersionKey(Zeroizing<Vec<u8>>);

impl VersionKey {
    /// Any non-zero length will do, as with the peers; none for empty bytes.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Option<Self> {
        (!bytes.is_empty()).then(|| Self(Zeroizing::new(bytes)))
    }

    /// A key for another purpose by HKDF-SHA-256: it tells nothing of this one or of those for other
    /// purposes and salts. None only if the library fails.
    #[must_use]
    pub fn derive(&self, salt: &[u8], purpose: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
        let mut derived = Zeroizing::new([0; 32]);
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&self.0);
        let purpose = [purpose];
        let key = secret.expand(&purpose, hkdf::HKDF_SHA256).ok()?;
        key.fill(derived.as_mut()).ok()?;
        Some(derived)
    }
}

/// The version of an object with these file contents: 44 characters of base64url with padding, of
/// HMAC-SHA-256(key, configuration ‖ contents).
#[must_use]
pub fn object_version(key: &VersionKey, object: &Object, contents: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key.0);
    let mut context = hmac::Context::with_key(&key);
    context.update(&configuration(object));
    context.update(contents);
    URL_SAFE.encode(context.sign())
}

/// The object as Go's JSON of the peers' struct, whose fields have no JSON names and are never left
/// out (observed from vault-csi-provider 1.7.4; see testdata/object-versions.json).
fn configuration(object: &Object) -> Zeroizing<Vec<u8>> {
    // Every field is named here so that a new one is a decision about versions, not an oversight.
    let Object {
        name,
        secret_path,
        secret_key,
        method,
        secret_args,
        file_permission,
        encoding,
        optional,
        output,
        unknown_keys: _,
    } = object;
    let mut out = Zeroizing::new(Vec::new());
    for (label, text) in [
        (r#"{"ObjectName":"#, name),
        (r#","SecretPath":"#, secret_path),
        (r#","SecretKey":"#, secret_key),
        (r#","Method":"#, method),
    ] {
        out.extend_from_slice(label.as_bytes());
        write_string(&mut out, text);
    }
    out.extend_from_slice(br#","SecretArgs":"#);
    match secret_args {
        Some(args) => args.write(&mut out),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(format!(r#","FilePermission":{file_permission},"Encoding":"#).as_bytes());
    write_string(&mut out, encoding);
    // The peers have no such attributes: they stand here only where they are used.
    if *optional {
        out.extend_from_slice(br#","Optional":true"#);
    }
    if Output::parse(output) == Some(Output::Data) {
        out.extend_from_slice(br#","Output":"data""#);
    }
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::{VersionKey, configuration, object_version};
    use crate::object::{Object, parse_objects};

    fn single(text: &str) -> Object {
        let objects = parse_objects(text).unwrap();
        objects.into_iter().next().unwrap()
    }

    #[test]
    fn versions_equal_those_observed_from_the_peer() {
        let known: serde_json::Value =
            serde_json::from_str(include_str!("../testdata/object-versions.json")).unwrap();
        let hex = known["hmac_key_hex"].as_str().unwrap();
        let key = (0..hex.len()).step_by(2);
        let key = key
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect();
        let key = VersionKey::new(key).unwrap();
        let vectors = known["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 11);
        for vector in vectors {
            let object = single(vector["objects"].as_str().unwrap());
            let contents = vector["contents"].as_str().unwrap();
            let version = object_version(&key, &object, contents.as_bytes());
            assert_eq!(
                version,
                vector["version"].as_str().unwrap(),
                "{}",
                vector["case"]
            );
            assert_eq!(object.name, vector["path"].as_str().unwrap());
        }
    }

    #[test]
    fn the_configuration_is_the_peers_struct_as_json() {
        for (text, expected) in [
            (
                "[{objectName: bar, secretPath: secret/data/foo, secretKey: bar, nope: 1}]",
                r#"{"ObjectName":"bar","SecretPath":"secret/data/foo","SecretKey":"bar","Method":"","SecretArgs":null,"FilePermission":0,"Encoding":""}"#,
            ),
            (
                "[{objectName: certs, secretPath: pki/issue/example-dot-com, secretKey: certificate, method: PUT, secretArgs: {ttl: 24h, common_name: test.example.com}, filePermission: 0600, encoding: UTF-8}]",
                r#"{"ObjectName":"certs","SecretPath":"pki/issue/example-dot-com","SecretKey":"certificate","Method":"PUT","SecretArgs":{"common_name":"test.example.com","ttl":"24h"},"FilePermission":384,"Encoding":"UTF-8"}"#,
            ),
        ] {
            let written = configuration(&single(text));
            assert_eq!(std::str::from_utf8(&written).unwrap(), expected);
        }
    }

    #[test]
    fn attributes_that_the_peers_do_not_have_count_only_where_they_are_used() {
        let key = VersionKey::new(vec![7; 32]).unwrap();
        let plain = "objectName: a, secretPath: secret/data/a";
        for (rest, contents, added, version) in [
            (
                "secretKey: k, optional: true",
                "v",
                r#","Optional":true}"#,
                "iaqwxLfc6Lw6CYKu35t9uOQgOas0Qr3peR-onEWYWcE=",
            ),
            (
                "output: data",
                r#"{"k":"v"}"#,
                r#","Output":"data"}"#,
                "lrjr055H4zS5DoQGjRP7jzFggCFJQW9dhHimlzeixSE=",
            ),
            (
                "output: data, optional: true, filePermission: 0600",
                r#"{"k":"v"}"#,
                r#","Optional":true,"Output":"data"}"#,
                "ZvTjARx8D7chr7woJ-AI6uMaA2I3nrKQVtsPaPkKMFc=",
            ),
            (
                "output: full, optional: false",
                r#"{"k":"v"}"#,
                r#","Encoding":""}"#,
                "vSodyl9zJPtKcZB8xtgfnwsUVO1K0zh4E4p34mKIv1g=",
            ),
        ] {
            let object = single(&format!("[{{{plain}, {rest}}}]"));
            let written = configuration(&object);
            let written = std::str::from_utf8(&written).unwrap();
            assert!(written.ends_with(added), "{written}");
            let made = object_version(&key, &object, contents.as_bytes());
            assert_eq!(made, version, "{rest}");
        }
    }

    #[test]
    fn an_empty_key_is_no_key() {
        assert!(VersionKey::new(Vec::new()).is_none());
        assert!(VersionKey::new(vec![0]).is_some());
    }

    #[test]
    fn derived_keys_differ_by_key_salt_and_purpose_and_are_the_same_each_time() {
        let derive = |key: &[u8], salt: &[u8], purpose: &[u8]| {
            let key = VersionKey::new(key.to_vec()).unwrap();
            *key.derive(salt, purpose).unwrap()
        };
        let one = derive(b"k", b"s", b"p");
        assert_eq!(one, derive(b"k", b"s", b"p"));
        for (key, salt, purpose) in [("l", "s", "p"), ("k", "t", "p"), ("k", "s", "q")] {
            let other = derive(key.as_bytes(), salt.as_bytes(), purpose.as_bytes());
            assert_ne!(one, other, "{key} {salt} {purpose}");
        }
    }
}
