//! From a reply to the bytes of one object's file.
//!
//! Key look-up and value text follow the peers; faults name object keys that the class asked for,
//! never one that was found.

use crate::fault::{Fault, Reason};
use crate::gojson::Json;
use crate::output::Output;
use crate::params::{Dialect, ObjectSpec};
use crate::problem::shown;
use crate::response::Response;
use crate::secret::SecretBytes;

/// The bytes of an object's file.
///
/// # Errors
/// No data, no such key, or a value that is not in the promised encoding.
pub fn extract(
    spec: &ObjectSpec,
    response: &Response,
    dialect: Dialect,
) -> Result<SecretBytes, Fault> {
    let key = &spec.object.secret_key;
    let path = shown(&spec.object.secret_path);
    let no_data = || {
        Fault::new(
            Reason::NotFound,
            format!(
                "empty response from \"{path}\", warnings: [{}]",
                response.warnings()
            ),
            "check that the path holds data",
        )
    };
    if key.is_empty() {
        return match spec.output {
            Output::Full => Ok(response.whole(dialect)),
            Output::Data => response
                .data()
                .and_then(data_only)
                .map(|data| SecretBytes::new(data.to_bytes()))
                .ok_or_else(no_data),
        };
    }
    let data = response.data().ok_or_else(no_data)?;
    let value = look_up(data, key).ok_or_else(|| {
        Fault::new(
            Reason::NotFound,
            format!(
                "{{{path}}}: {{key \"{}\" does not exist at the secret path}}",
                shown(key)
            ),
            "check secretKey, and its case",
        )
    })?;
    spec.encoding.decode(value_bytes(value)).map_err(|bad| {
        Fault::new(
            Reason::BadValue,
            format!("{bad} (key \"{}\")", shown(key)),
            "store it in the encoding of the class, or change the class",
        )
    })
}

/// Looks a key up as the peers do: inside `data.data` for KV v2, else in `data`.
///
/// The peers take every map under `data` for KV v2 and so miss the keys beside a map-valued key named
/// `data` of KV v1. Here KV v2 is known by the `metadata` beside it; without that the plain key comes
/// first, and the inner map is still searched, so that what the peers find is found.
fn look_up<'a>(data: &'a Json, key: &str) -> Option<&'a Json> {
    let inner = data.get("data").filter(|inner| inner.as_object().is_some());
    match inner {
        Some(inner) if has_metadata(data) => inner.get(key),
        Some(inner) => data.get(key).or_else(|| inner.get(key)),
        None => data.get(key),
    }
}

/// What the engine holds, without what KV version 2 says about it; none where a version has no data.
fn data_only(data: &Json) -> Option<&Json> {
    match data.get("data") {
        Some(Json::Null) if has_metadata(data) => None,
        Some(inner) if has_metadata(data) && inner.as_object().is_some() => Some(inner),
        _ => Some(data),
    }
}

/// The mark of KV version 2.
fn has_metadata(data: &Json) -> bool {
    data.get("metadata")
        .is_some_and(|metadata| metadata.as_object().is_some())
}

/// A string gives its text; everything else its JSON.
fn value_bytes(value: &Json) -> SecretBytes {
    match value {
        Json::String(text) => SecretBytes::new(text.as_bytes().to_vec()),
        other => SecretBytes::new(other.to_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use crate::fault::Reason;
    use crate::params::{ClassSpec, Dialect, Parameters};
    use crate::response::{Head, Response};

    use super::extract;

    fn value(object: &str, body: &str) -> Result<String, (Reason, String)> {
        let parameters: Parameters = [
            ("roleName", "r".to_owned()),
            (
                "objects",
                format!("[{{objectName: f, secretPath: p, {object}}}]"),
            ),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect();
        let class =
            ClassSpec::parse(&parameters, Dialect::Vault).unwrap_or_else(|p| panic!("{p:?}"));
        let head = Head {
            status: 200,
            content_type: "application/json",
        };
        let response = Response::read(head, body.as_bytes()).unwrap_or_else(|f| panic!("{f:?}"));
        extract(&class.objects[0], &response, Dialect::Vault)
            .map(|bytes| String::from_utf8(bytes.expose().to_vec()).unwrap())
            .map_err(|fault| (fault.reason, fault.what))
    }

    #[test]
    fn keys_are_found_in_both_kv_versions() {
        for (body, expected) in [
            (
                r#"{"data":{"data":{"k":"v2"},"metadata":{"version":1}}}"#,
                "v2",
            ),
            (r#"{"data":{"k":"v1"}}"#, "v1"),
            (r#"{"k":"bare"}"#, "bare"),
            (r#"{"data":{"data":{"k":"inner"},"k":"outer"}}"#, "outer"),
            (r#"{"data":{"data":{"k":"inner"},"other":1}}"#, "inner"),
            (r#"{"data":{"data":"text","k":"v"}}"#, "v"),
        ] {
            assert_eq!(
                value("secretKey: k", body).as_deref(),
                Ok(expected),
                "{body}"
            );
        }
    }

    #[test]
    fn a_map_under_the_asked_key_is_its_json() {
        let body = r#"{"data":{"data":{"b":"<","a":[6,"x",true]}}}"#;
        assert_eq!(
            value("secretKey: data", body).as_deref(),
            Ok(r#"{"a":[6,"x",true],"b":"\u003c"}"#)
        );
    }

    #[test]
    fn other_values_are_json_with_their_digits() {
        for (json, expected) in [
            ("10", "10"),
            ("1.0", "1.0"),
            ("1E400", "1E400"),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            ("true", "true"),
            ("null", "null"),
            (r#""""#, ""),
            (r#""a\u0000b""#, "a\0b"),
        ] {
            assert_eq!(
                value("secretKey: k", &format!(r#"{{"data":{{"k":{json}}}}}"#)).as_deref(),
                Ok(expected)
            );
        }
    }

    #[test]
    fn what_is_missing_is_named_in_the_words_that_people_match() {
        let (reason, what) = value("secretKey: nope", r#"{"data":{"k":"canary"}}"#).unwrap_err();
        assert_eq!(reason, Reason::NotFound);
        assert!(
            what.contains(r#"{p}: {key "nope" does not exist at the secret path}"#),
            "{what}"
        );
        let (reason, what) =
            value("secretKey: k", r#"{"data":null,"warnings":["w1","w2"]}"#).unwrap_err();
        assert_eq!(reason, Reason::NotFound);
        assert_eq!(what, r#"empty response from "p", warnings: [w1, w2]"#);
        let kv2 = r#"{"data":{"data":{"a":1},"metadata":{"k":2}}}"#;
        assert!(
            value("secretKey: k", kv2).is_err(),
            "metadata is out of reach"
        );
    }

    #[test]
    fn encodings_are_decoded_and_a_bad_value_is_never_shown() {
        assert_eq!(
            value("secretKey: k, encoding: BASE64", r#"{"data":{"k":"aGk="}}"#).as_deref(),
            Ok("hi")
        );
        assert_eq!(
            value("secretKey: k, encoding: hex", r#"{"data":{"k":"6869"}}"#).as_deref(),
            Ok("hi")
        );
        let (reason, what) = value(
            "secretKey: k, encoding: base64",
            r#"{"data":{"k":"*canary*"}}"#,
        )
        .unwrap_err();
        assert_eq!(reason, Reason::BadValue);
        assert!(!what.contains("canary"), "{what}");
    }

    #[test]
    fn data_alone_is_sorted_json_without_what_kv2_says_about_it() {
        for (body, expected) in [
            (
                r#"{"request_id":"1","data":{"data":{"b":"<&>","a":1.0},"metadata":{"version":1}}}"#,
                r#"{"a":1.0,"b":"\u003c\u0026\u003e"}"#,
            ),
            (r#"{"data":{"data":{},"metadata":{}}}"#, "{}"),
            (
                r#"{"data":{"b":[1, null],"a":{"d":1,"c":2}}}"#,
                r#"{"a":{"c":2,"d":1},"b":[1,null]}"#,
            ),
            (
                r#"{"data":{"data":{"k":1},"other":1}}"#,
                r#"{"data":{"k":1},"other":1}"#,
            ),
            (
                r#"{"data":{"data":"text","metadata":{}}}"#,
                r#"{"data":"text","metadata":{}}"#,
            ),
            (r#"{"data":{}}"#, "{}"),
            (r#"{"k":"bare"}"#, r#"{"k":"bare"}"#),
        ] {
            assert_eq!(
                value("output: data", body).as_deref(),
                Ok(expected),
                "{body}"
            );
        }
    }

    #[test]
    fn a_reply_without_data_has_no_data_alone() {
        for body in [
            r#"{"data":null,"warnings":["w1"]}"#,
            r#"{"lease_id":"","warnings":["w1"]}"#,
            r#"{"data":{"data":null,"metadata":{"destroyed":true}},"warnings":["w1"]}"#,
        ] {
            let (reason, what) = value("output: data", body).unwrap_err();
            assert_eq!(reason, Reason::NotFound);
            assert_eq!(what, r#"empty response from "p", warnings: [w1]"#);
        }
    }

    #[test]
    fn without_a_key_the_whole_reply_is_the_value() {
        assert!(
            value("encoding: hex", r#"{"data":{"k":"v"}}"#)
                .unwrap()
                .starts_with(r#"{"request_id":"","#)
        );
    }
}
