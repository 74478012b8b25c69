//! The reply of a Mount: every file with its version, or every object that failed. Never a part.

use crate::extract::extract;
use crate::fault::{Fault, MountFault, ObjectFault, Place, Reason};
use crate::params::{Dialect, MountSpec};
use crate::response::Response;
use crate::secret::SecretBytes;
use crate::version::{VersionKey, object_version};

/// One file of a volume.
pub struct MountFile {
    /// Relative path; also the id of the object version.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// The bytes.
    pub contents: SecretBytes,
    /// Changes if and only if the bytes change; empty while there is no version key, as with the peers.
    pub version: String,
}

/// How many bytes of a reply are not file contents, per file: field tags, lengths, mode and a version.
const OVERHEAD_PER_FILE: usize = 96;

/// Builds the files of a Mount from the answers to its objects, in their order.
///
/// # Errors
/// Every object that failed, or a reply above `limit` bytes.
pub fn assemble<'a>(
    spec: &MountSpec,
    answers: impl IntoIterator<Item = Result<&'a Response, Fault>>,
    dialect: Dialect,
    key: Option<&VersionKey>,
    limit: usize,
    place: &Place,
) -> Result<Vec<MountFile>, MountFault> {
    let mut files = Vec::with_capacity(spec.class.objects.len());
    let mut failed = Vec::new();
    for (object, answer) in spec.class.objects.iter().zip(answers) {
        match answer.and_then(|response| extract(object, response, dialect)) {
            Ok(contents) => files.push(MountFile {
                path: object.path.as_str().to_owned(),
                mode: object.mode.unwrap_or(spec.default_mode).bits(),
                version: key
                    .map(|key| object_version(key, &object.object, contents.expose()))
                    .unwrap_or_default(),
                contents,
            }),
            Err(fault) => failed.push(ObjectFault {
                name: object.object.name.clone(),
                path: object.request.path.clone(),
                fault,
            }),
        }
    }
    if !failed.is_empty() {
        let total = spec.class.objects.len();
        return Err(MountFault::Objects {
            total,
            failed,
            place: Box::new(place.clone()),
        });
    }
    check_size(&files, limit)?;
    Ok(files)
}

/// The size of the reply on the wire, never less than it is.
#[must_use]
pub fn reply_size(files: &[MountFile]) -> usize {
    files
        .iter()
        .map(|file| {
            file.contents.len() + 2 * file.path.len() + file.version.len() + OVERHEAD_PER_FILE
        })
        .sum()
}

fn check_size(files: &[MountFile], limit: usize) -> Result<(), MountFault> {
    let size = reply_size(files);
    if size <= limit {
        return Ok(());
    }
    Err(MountFault::Whole(Fault::new(
        Reason::TooLarge,
        format!(
            "the volume is too large: {} files, {}, limit {}",
            files.len(),
            mebibytes(size),
            mebibytes(limit)
        ),
        "split the class, or raise max-call-recv-msg-size of the driver and --reply-bytes (limits.replyBytes) of the provider",
    )))
}

fn mebibytes(bytes: usize) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{MountFile, assemble, reply_size};
    use crate::fault::{Fault, MountFault, Place, Reason};
    use crate::params::{ClassSpec, Dialect, MountSpec, Parameters, Wire, read_mount};
    use crate::response::{Head, Response};
    use crate::version::VersionKey;

    fn spec(objects: &str) -> MountSpec {
        let attributes = serde_json::json!({"roleName": "r", "objects": objects}).to_string();
        let wire = Wire {
            attributes: &attributes,
            secrets: "null",
            permission: "420",
            target_path: "/t",
        };
        let parse =
            |parameters: Parameters| ClassSpec::parse(&parameters, Dialect::Vault).map(Arc::new);
        read_mount(wire, parse).unwrap_or_else(|p| panic!("{p:?}"))
    }

    fn response(body: &str) -> Response {
        let head = Head {
            status: 200,
            content_type: "application/json",
        };
        Response::read(head, body.as_bytes()).unwrap_or_else(|f| panic!("{f}"))
    }

    fn build(
        spec: &MountSpec,
        answers: Vec<Result<&Response, Fault>>,
        limit: usize,
    ) -> Result<Vec<MountFile>, MountFault> {
        let key = VersionKey::new(vec![7; 32]);
        assemble(
            spec,
            answers,
            Dialect::Vault,
            key.as_ref(),
            limit,
            &Place::default(),
        )
    }

    #[test]
    fn files_stand_in_the_order_of_the_class_with_explicit_modes_and_versions() {
        let spec = spec(
            "[{objectName: b, secretPath: p, secretKey: k}, {objectName: a/x, secretPath: p, secretKey: k, filePermission: 0600}]",
        );
        let reply = response(r#"{"data":{"k":"v"}}"#);
        let files =
            build(&spec, vec![Ok(&reply), Ok(&reply)], 1000).unwrap_or_else(|f| panic!("{f}"));
        let seen: Vec<_> = files
            .iter()
            .map(|f| (f.path.as_str(), f.mode, f.contents.expose()))
            .collect();
        assert_eq!(seen, [("b", 0o644, &b"v"[..]), ("a/x", 0o600, b"v")]);
        assert!(
            files.iter().all(|f| f.version.len() == 44) && files[0].version != files[1].version
        );
    }

    #[test]
    fn a_version_changes_if_and_only_if_the_bytes_do() {
        let spec = spec("[{objectName: whole, secretPath: p}]");
        let version = |body: &str| {
            let reply = response(body);
            build(&spec, vec![Ok(&reply)], 1000)
                .unwrap_or_else(|f| panic!("{f}"))
                .remove(0)
                .version
        };
        let first = version(r#"{"request_id":"1","data":{"k":"v"}}"#);
        assert_eq!(first, version(r#"{"request_id":"2","data":{"k":"v"}}"#));
        assert_ne!(first, version(r#"{"request_id":"1","data":{"k":"w"}}"#));
    }

    #[test]
    fn every_failing_object_is_named_and_nothing_is_delivered() {
        let spec = spec(
            "[{objectName: a, secretPath: p, secretKey: no}, {objectName: b, secretPath: p, secretKey: k}, {objectName: c, secretPath: q}]",
        );
        let reply = response(r#"{"data":{"k":"v"}}"#);
        let denied = Fault::new(Reason::Denied, "permission denied, Code: 403", "h");
        let fault = build(&spec, vec![Ok(&reply), Ok(&reply), Err(denied)], 1000)
            .err()
            .unwrap();
        let MountFault::Objects { total, failed, .. } = &fault else {
            panic!("{fault}")
        };
        let names: Vec<_> = failed.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(
            (*total, names, fault.reason()),
            (3, vec!["a", "c"], Reason::NotFound)
        );
    }

    #[test]
    fn a_reply_above_the_limit_is_refused_with_its_size() {
        let spec = spec("[{objectName: a, secretPath: p, secretKey: k}]");
        let reply = response(&format!(r#"{{"data":{{"k":"{}"}}}}"#, "x".repeat(3 << 20)));
        let size =
            reply_size(&build(&spec, vec![Ok(&reply)], 4 << 20).unwrap_or_else(|f| panic!("{f}")));
        assert!(build(&spec, vec![Ok(&reply)], size).is_ok());
        let fault = build(&spec, vec![Ok(&reply)], size - 1).err().unwrap();
        assert_eq!(fault.reason(), Reason::TooLarge);
        assert!(
            fault
                .to_string()
                .starts_with("the volume is too large: 1 files, 3.0 MiB, limit 3.0 MiB"),
            "{fault}"
        );
    }
}
