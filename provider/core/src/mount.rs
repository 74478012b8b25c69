//! The reply of a Mount: every file with its version, or every object that failed. Never a part, but for
//! objects marked optional that do not exist.

use crate::extract::extract;
use crate::fault::{Fault, MountFault, ObjectFault, Place, Reason};
use crate::params::{Dialect, MountSpec};
use crate::response::Response;
use crate::secret::SecretBytes;
use crate::version::{VersionKey, object_version};

/// One file of a volume.
#[derive(Clone)]
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

/// What a Mount delivers.
#[derive(Clone)]
pub struct Assembled {
    /// The files in the order of the class; at least one.
    pub files: Vec<MountFile>,
    /// The optional objects that do not exist, and why it is known.
    pub absent: Vec<ObjectFault>,
}

/// How many bytes of a reply are not file contents, per file: field tags, lengths, mode and a version.
const OVERHEAD_PER_FILE: usize = 96;

/// Builds the files of a Mount from the answers to its objects, in their order. An optional object whose
/// path, version or key does not exist is left out; every other fault of it counts as any object's.
///
/// # Errors
/// Every object that failed; every object when all are optional and absent, because the driver takes a
/// reply without files for success; or a reply above `limit` bytes.
pub fn assemble<'a>(
    spec: &MountSpec,
    answers: impl IntoIterator<Item = Result<&'a Response, Fault>>,
    dialect: Dialect,
    key: Option<&VersionKey>,
    limit: usize,
    place: &Place,
) -> Result<Assembled, MountFault> {
    let mut files = Vec::with_capacity(spec.class.objects.len());
    let (mut failed, mut absent) = (Vec::new(), Vec::new());
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
            Err(fault) => {
                let may_be_absent = object.object.optional && fault.reason == Reason::NotFound;
                let into = if may_be_absent {
                    &mut absent
                } else {
                    &mut failed
                };
                into.push(ObjectFault {
                    name: object.object.name.clone(),
                    path: object.request.path.clone(),
                    fault,
                });
            }
        }
    }
    if files.is_empty() && failed.is_empty() {
        failed = absent.drain(..).map(needed).collect();
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
    Ok(Assembled { files, absent })
}

/// An absent object of a class in which nothing else is there.
fn needed(object: ObjectFault) -> ObjectFault {
    let hint = format!(
        "{}; a volume needs a file, and all objects of the class are optional and absent",
        object.fault.hint
    );
    ObjectFault {
        fault: object.fault.with_hint(hint),
        ..object
    }
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

    use super::{Assembled, assemble, reply_size};
    use crate::fault::{Fault, MountFault, ObjectFault, Place, Reason};
    use crate::params::{
        ClassSpec, Dialect, MountSpec, Parameters, ParsedAttributes, Wire, read_mount,
    };
    use crate::response::{Head, Response};
    use crate::version::VersionKey;

    fn spec(objects: &str) -> MountSpec {
        let attributes = serde_json::json!({"roleName": "r", "objects": objects}).to_string();
        let wire = Wire {
            attributes: &ParsedAttributes::new(&attributes),
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
    ) -> Result<Assembled, MountFault> {
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
        let Assembled { files, absent } =
            build(&spec, vec![Ok(&reply), Ok(&reply)], 1000).unwrap_or_else(|f| panic!("{f}"));
        assert!(absent.is_empty());
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
                .files
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
        assert_eq!(
            (*total, names(failed), fault.reason()),
            (3, vec!["a", "c"], Reason::NotFound)
        );
    }

    const TWO_OF_ONE_PATH: &str = "[{objectName: a, secretPath: p, secretKey: k}, {objectName: b, secretPath: p, secretKey: no, optional: true}]";

    fn absent(status: &str) -> Fault {
        Fault::new(
            Reason::NotFound,
            format!("not found: Code: {status}"),
            "check path and version",
        )
    }

    fn names(objects: &[ObjectFault]) -> Vec<&str> {
        objects.iter().map(|object| object.name.as_str()).collect()
    }

    #[test]
    fn an_optional_object_that_does_not_exist_is_left_out_and_named() {
        let reply = response(r#"{"data":{"k":"v"}}"#);
        let of_path = "[{objectName: a, secretPath: p, secretKey: k}, {objectName: b, secretPath: q, optional: true}]";
        for (objects, answer) in [(TWO_OF_ONE_PATH, Ok(&reply)), (of_path, Err(absent("404")))] {
            let built = build(&spec(objects), vec![Ok(&reply), answer], 1000)
                .unwrap_or_else(|f| panic!("{f}"));
            assert_eq!((built.files.len(), names(&built.absent)), (1, vec!["b"]));
            assert_eq!(built.files[0].path, "a");
        }
    }

    #[test]
    fn an_optional_object_of_a_shared_request_is_judged_by_itself() {
        let all_absent = build(
            &spec(TWO_OF_ONE_PATH),
            vec![Err(absent("404")), Err(absent("404"))],
            1000,
        );
        let Some(MountFault::Objects { total, failed, .. }) = all_absent.err() else {
            panic!("a needed object is absent")
        };
        assert_eq!(
            (total, names(&failed)),
            (2, vec!["a"]),
            "only the needed one failed"
        );
    }

    #[test]
    fn an_optional_object_that_fails_in_another_way_fails_the_mount() {
        let spec = spec(&TWO_OF_ONE_PATH.replace("secretKey: no", "secretKey: k, encoding: hex"));
        let reply = response(r#"{"data":{"k":"v"}}"#);
        for reason in Reason::ALL {
            if reason == Reason::NotFound {
                continue;
            }
            let answers = vec![Ok(&reply), Err(Fault::new(reason, "w", "h"))];
            let fault = build(&spec, answers, 1000).err().unwrap();
            assert_eq!(fault.reason(), reason);
        }
        let bad_value = build(&spec, vec![Ok(&reply), Ok(&reply)], 1000);
        assert_eq!(bad_value.err().unwrap().reason(), Reason::BadValue);
    }

    #[test]
    fn a_mount_whose_objects_are_all_absent_fails_and_names_them() {
        let spec = spec(&TWO_OF_ONE_PATH.replace("secretKey: k}", "secretKey: k, optional: true}"));
        let fault = build(&spec, vec![Err(absent("404")), Err(absent("404"))], 1000);
        let text = fault.err().unwrap().to_string();
        assert!(
            text.starts_with("2 of 2 objects failed: \"a\", \"b\" (path p): not found")
                && text.contains("a volume needs a file")
                && text.ends_with("[not_found]"),
            "{text}"
        );
    }

    #[test]
    fn a_reply_above_the_limit_is_refused_with_its_size() {
        let spec = spec("[{objectName: a, secretPath: p, secretKey: k}]");
        let reply = response(&format!(r#"{{"data":{{"k":"{}"}}}}"#, "x".repeat(3 << 20)));
        let built = build(&spec, vec![Ok(&reply)], 4 << 20).unwrap_or_else(|f| panic!("{f}"));
        let size = reply_size(&built.files);
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
