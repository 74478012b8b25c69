//! The whole reply as one line of JSON: what an object without `secretKey` gets.
//!
//! The fields and their order are those of the struct in the peers' client library (vault/api
//! `Secret`), because people read them with jq.

use super::Response;
use crate::gojson::{Json, write_string};
use crate::params::Dialect;
use crate::secret::SecretBytes;

/// The fields of `auth`, in the order of the library.
const AUTH: [&str; 11] = [
    "client_token",
    "accessor",
    "policies",
    "token_policies",
    "identity_policies",
    "metadata",
    "orphan",
    "entity_id",
    "lease_duration",
    "renewable",
    "mfa_requirement",
];

/// The fields of `wrap_info`, in the order of the library.
const WRAP_INFO: [&str; 6] = [
    "token",
    "accessor",
    "ttl",
    "creation_time",
    "creation_path",
    "wrapped_accessor",
];

impl Response {
    /// The whole reply in the peers' form. `request_id` is written empty, because it differs at each
    /// read while the secret does not, and every rewrite of the file would look like a rotation.
    #[must_use]
    pub fn whole(&self, dialect: Dialect) -> SecretBytes {
        let mut out = Vec::new();
        out.extend_from_slice(br#"{"request_id":"""#);
        self.member(&mut out, "lease_id", b"\"\"");
        out.extend_from_slice(
            format!(r#","lease_duration":{}"#, self.lease_duration().as_secs()).as_bytes(),
        );
        self.member(&mut out, "renewable", b"false");
        self.member(&mut out, "data", b"null");
        self.member(&mut out, "warnings", b"null");
        self.nested(&mut out, "auth", &AUTH);
        self.nested(&mut out, "wrap_info", &WRAP_INFO);
        // OpenBao's library does not have the field.
        if dialect == Dialect::Vault
            && let Some(kind) = self
                .field("mount_type")
                .and_then(Json::as_str)
                .filter(|kind| !kind.is_empty())
        {
            out.extend_from_slice(br#","mount_type":"#);
            write_string(&mut out, kind);
        }
        out.push(b'}');
        SecretBytes::new(out)
    }

    fn member(&self, out: &mut Vec<u8>, name: &str, absent: &[u8]) {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        match self.field(name) {
            Some(value) => value.write(out),
            None => out.extend_from_slice(absent),
        }
    }

    /// An object of the envelope with its known fields in order; left out when absent.
    fn nested(&self, out: &mut Vec<u8>, name: &str, order: &[&str]) {
        let Some(value) = self.field(name) else {
            return;
        };
        out.extend_from_slice(format!(",\"{name}\":{{").as_bytes());
        let mut first = true;
        for field in order {
            if let Some(value) = value.get(field) {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                write_string(out, field);
                out.push(b':');
                value.write(out);
            }
        }
        out.push(b'}');
    }
}
