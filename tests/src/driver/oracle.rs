//! Judges a reply by the driver's own rules, and by those it should have and lacks.
//!
//! Pure: replies in, violations out. The rules are those of the driver's
//! `pkg/util/fileutil/validation.go` and `provider_client.go` (v1.6.0), and of kubelet's `isFinalError`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use coffer_proto::v1alpha1::{File, MountResponse};
use prost::Message as _;
use tonic::Code;

/// The driver's `--max-call-recv-msg-size`: a larger reply becomes ResourceExhausted in its client.
pub const MAX_REPLY: usize = 4_194_304;

/// Longest path and longest component, in bytes.
const MAX_PATH: usize = 4096;
const MAX_COMPONENT: usize = 255;

/// What is wrong with a reply. Never quotes contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The driver fails with `missing object versions`.
    NoVersion,
    /// The driver keeps the last one only.
    DuplicateId(String),
    /// The driver takes it as "the provider wrote the files itself" and mounts nothing.
    NoFiles,
    /// `MountResponse.error` is set: the driver then loses the text.
    ErrorCode(String),
    /// A path that the driver refuses or, worse, does not.
    Path { path: String, rule: &'static str },
    /// Two files of one path: the last wins.
    DuplicatePath(String),
    /// A file where another file needs a directory.
    Clash { file: String, below: String },
    /// Mode 0, or beyond 0777.
    Mode { path: String, mode: i32 },
    /// Encoded size above [`MAX_REPLY`].
    TooLarge(usize),
    /// The version is another although the bytes are the same.
    VersionMoved(String),
    /// The version is the same although the bytes are not.
    VersionStuck(String),
    /// A code that kubelet takes for "may still be in progress": the pod can start on an empty volume.
    NotFinal(Code),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoVersion => f.write_str("no object version"),
            Self::DuplicateId(id) => write!(f, "object version {id:?} comes twice"),
            Self::NoFiles => f.write_str("success without a file"),
            Self::ErrorCode(code) => write!(f, "error code {code:?} is set, so the text is lost"),
            Self::Path { path, rule } => write!(f, "path {path:?}: {rule}"),
            Self::DuplicatePath(path) => write!(f, "path {path:?} comes twice"),
            Self::Clash { file, below } => {
                write!(f, "file {file:?} stands in the way of {below:?}")
            }
            Self::Mode { path, mode } => write!(f, "mode {mode:#o} of {path:?}"),
            Self::TooLarge(size) => write!(f, "reply of {size} bytes is above {MAX_REPLY}"),
            Self::VersionMoved(id) => write!(f, "version of {id:?} changed, its bytes did not"),
            Self::VersionStuck(id) => write!(f, "bytes of {id:?} changed, its version did not"),
            Self::NotFinal(code) => write!(f, "code {code:?} is not final to kubelet"),
        }
    }
}

/// Whether kubelet gives up on a first mount with this code, and so removes the directory.
#[must_use]
pub const fn is_final(code: Code) -> bool {
    !matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Unavailable
            | Code::ResourceExhausted
            | Code::Aborted
    )
}

/// Judges a code; while the provider is draining Unavailable is its right answer.
#[must_use]
pub fn judge_code(code: Code, draining: bool) -> Option<Violation> {
    let allowed = is_final(code) || (draining && code == Code::Unavailable);
    (!allowed).then_some(Violation::NotFinal(code))
}

/// Judges a reply on its own.
#[must_use]
pub fn judge(reply: &MountResponse) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Some(error) = reply.error.as_ref().filter(|error| !error.code.is_empty()) {
        found.push(Violation::ErrorCode(error.code.clone()));
    }
    judge_versions(reply, &mut found);
    judge_files(&reply.files, &mut found);
    let size = reply.encoded_len();
    if size > MAX_REPLY {
        found.push(Violation::TooLarge(size));
    }
    found
}

/// Judges a reply against the one before it to the same request.
///
/// An id is looked at when it is the path of a file in both replies. Two empty versions say nothing: a
/// provider without its version key sends them.
#[must_use]
pub fn judge_change(before: &MountResponse, after: &MountResponse) -> Vec<Violation> {
    let (old, new) = (stamped(before), stamped(after));
    let mut found = Vec::new();
    for (id, (version, contents)) in &new {
        let Some((old_version, old_contents)) = old.get(id) else {
            continue;
        };
        match (version == old_version, contents == old_contents) {
            (false, true) => found.push(Violation::VersionMoved((*id).to_owned())),
            (true, false) if !version.is_empty() => {
                found.push(Violation::VersionStuck((*id).to_owned()));
            }
            _ => {}
        }
    }
    found
}

fn stamped(reply: &MountResponse) -> BTreeMap<&str, (&str, &[u8])> {
    let files: BTreeMap<&str, &[u8]> = reply
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.contents.as_ref()))
        .collect();
    let versions = reply.object_version.iter();
    versions
        .filter_map(|version| {
            let contents = files.get(version.id.as_str())?;
            Some((version.id.as_str(), (version.version.as_str(), *contents)))
        })
        .collect()
}

fn judge_versions(reply: &MountResponse, found: &mut Vec<Violation>) {
    if reply.object_version.is_empty() {
        found.push(Violation::NoVersion);
    }
    let mut seen = BTreeSet::new();
    for version in &reply.object_version {
        if !seen.insert(&version.id) {
            found.push(Violation::DuplicateId(version.id.clone()));
        }
    }
}

fn judge_files(files: &[File], found: &mut Vec<Violation>) {
    if files.is_empty() {
        found.push(Violation::NoFiles);
    }
    let mut paths = BTreeSet::new();
    for File {
        path,
        mode,
        contents: _,
    } in files
    {
        if let Some(rule) = broken_path_rule(path) {
            found.push(Violation::Path {
                path: path.clone(),
                rule,
            });
        }
        if !(1..=0o777).contains(mode) {
            found.push(Violation::Mode {
                path: path.clone(),
                mode: *mode,
            });
        }
        if !paths.insert(path.as_str()) {
            found.push(Violation::DuplicatePath(path.clone()));
        }
    }
    for path in &paths {
        let parents = path.match_indices('/').map(|(end, _)| &path[..end]);
        found.extend(
            parents
                .filter(|parent| paths.contains(parent))
                .map(|parent| Violation::Clash {
                    file: parent.to_owned(),
                    below: (*path).to_owned(),
                }),
        );
    }
}

/// The first rule that a path breaks.
fn broken_path_rule(path: &str) -> Option<&'static str> {
    let rules: [(&'static str, bool); 9] = [
        ("is empty", path.is_empty()),
        ("is absolute", path.starts_with('/')),
        ("empties the volume", path == "."),
        ("holds a NUL", path.contains('\0')),
        ("is longer than 4096 bytes", path.len() > MAX_PATH),
        (
            "has a component longer than 255 bytes",
            path.split('/').any(|part| part.len() > MAX_COMPONENT),
        ),
        ("climbs with `..`", path.split('/').any(|part| part == "..")),
        ("begins with `..`", path.starts_with("..")),
        (
            "is not in its cleaned form",
            path.split('/').any(|part| part.is_empty() || part == "."),
        ),
    ];
    rules
        .iter()
        .find(|(_, broken)| *broken)
        .map(|(rule, _)| *rule)
}

#[cfg(test)]
mod tests;
