//! What `expected.yaml` of an example says of one file, and whether a file is like that.
//!
//! Exactly one of the ways to describe the content is used.

use std::fmt;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use serde_json::Value;

/// A file that a pod should find.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedFile {
    /// Path in the volume.
    pub path: String,
    /// Octal digits, such as `0644`.
    pub mode: String,
    /// The whole content.
    text: Option<String>,
    /// The whole content, as base64.
    base64: Option<String>,
    /// How it starts, where the rest is different each time.
    starts: Option<String>,
    /// A JSON document with at least these members.
    json: Option<Value>,
}

impl ExpectedFile {
    /// Fails unless a file is like this.
    ///
    /// # Errors
    /// With the difference; what was found stays untold, because it may be a private key.
    pub fn verify(&self, mode: u32, contents: &[u8]) -> Result<()> {
        let path = &self.path;
        let wanted = u32::from_str_radix(&self.mode, 8).context("a mode")?;
        ensure!(
            mode == wanted,
            "{path} has mode {mode:04o}, not {}",
            self.mode
        );
        let (like, wanted): (bool, &dyn fmt::Display) =
            match (&self.text, &self.base64, &self.starts, &self.json) {
                (Some(text), None, None, None) => (contents == text.as_bytes(), text),
                (None, Some(text), None, None) => (contents == BASE64_STANDARD.decode(text)?, text),
                (None, None, Some(text), None) => (contents.starts_with(text.as_bytes()), text),
                (None, None, None, Some(json)) => {
                    let found = serde_json::from_slice(contents)
                        .ok()
                        .with_context(|| format!("{path} is no JSON"))?;
                    (contains(&found, json), json)
                }
                _ => bail!("{path} is expected in no way or in several"),
            };
        ensure!(like, "{path} does not hold {wanted}");
        Ok(())
    }
}

/// Whether a document has all members of another, however deep.
fn contains(document: &Value, members: &Value) -> bool {
    match (document, members) {
        (Value::Object(document), Value::Object(members)) => {
            members.iter().all(|(name, member)| {
                document
                    .get(name)
                    .is_some_and(|found| contains(found, member))
            })
        }
        _ => document == members,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(yaml: &str) -> ExpectedFile {
        serde_saphyr::from_str(yaml).unwrap()
    }

    #[test]
    fn a_file_that_differs_is_told_by_its_path() {
        let text = expected("{path: a, mode: '0600', text: x}");
        let json = expected("{path: a, mode: '0600', json: {b: {c: 1}}}");
        let start = expected("{path: a, mode: '0600', starts: ab}");
        let bytes = expected("{path: a, mode: '0600', base64: AAE=}");
        for (file, contents, good) in [
            (&text, b"x".as_slice(), true),
            (&text, b"xy", false),
            (&json, br#"{"b":{"c":1,"d":2},"e":3}"#, true),
            (&json, br#"{"b":{"c":2}}"#, false),
            (&json, b"b", false),
            (&start, b"abc", true),
            (&start, b"ba", false),
            (&bytes, b"\x00\x01", true),
            (&bytes, b"\x00", false),
        ] {
            let verified = file.verify(0o600, contents);
            assert_eq!(verified.is_ok(), good, "{file:?}: {verified:?}");
        }
        let error = text.verify(0o644, b"x").unwrap_err().to_string();
        assert_eq!(error, "a has mode 0644, not 0600");
    }

    #[test]
    fn content_is_expected_in_one_way() {
        for yaml in [
            "{path: a, mode: '0600'}",
            "{path: a, mode: '0600', text: x, starts: x}",
        ] {
            assert!(expected(yaml).verify(0o600, b"x").is_err(), "{yaml}");
        }
    }
}
