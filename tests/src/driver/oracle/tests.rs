//! The judge against one reply per rule.

use bytes::Bytes;
use coffer_proto::v1alpha1::{Error, ObjectVersion};

use super::*;

fn reply(files: &[(&str, i32, &str)], versions: &[(&str, &str)]) -> MountResponse {
    MountResponse {
        object_version: versions
            .iter()
            .map(|(id, version)| ObjectVersion {
                id: (*id).to_owned(),
                version: (*version).to_owned(),
            })
            .collect(),
        error: None,
        files: files
            .iter()
            .map(|(path, mode, contents)| File {
                path: (*path).to_owned(),
                mode: *mode,
                contents: Bytes::copy_from_slice(contents.as_bytes()),
            })
            .collect(),
    }
}

fn path_rule(path: &str) -> Option<&'static str> {
    broken_path_rule(path)
}

#[test]
fn a_good_reply_is_accepted() {
    let files = [("a", 0o644, "x"), ("b/c", 0o400, ""), ("b/..d", 0o777, "y")];
    assert_eq!(judge(&reply(&files, &[("a", ""), ("b/c", "1")])), []);
}

#[test]
fn each_bad_path_is_named_with_the_rule_it_breaks() {
    let long = format!("a/{}", "b".repeat(256));
    let deep = "abc/".repeat(1025) + "d";
    for (path, rule) in [
        ("", "is empty"),
        ("/etc/passwd", "is absolute"),
        (".", "empties the volume"),
        ("a\0b", "holds a NUL"),
        (&deep, "is longer than 4096 bytes"),
        (&long, "has a component longer than 255 bytes"),
        ("a/../b", "climbs with `..`"),
        ("..", "climbs with `..`"),
        ("..data", "begins with `..`"),
        ("a//b", "is not in its cleaned form"),
        ("./a", "is not in its cleaned form"),
        ("a/", "is not in its cleaned form"),
    ] {
        assert_eq!(path_rule(path), Some(rule), "{path:?}");
    }
    for path in ["a", "a/..b", "a.b/c d", &"é".repeat(127), ".hidden"] {
        assert_eq!(path_rule(path), None, "{path:?}");
    }
}

#[test]
fn a_reply_that_mounts_nothing_or_hides_its_error_is_refused() {
    let mut empty = reply(&[], &[]);
    assert_eq!(judge(&empty), [Violation::NoVersion, Violation::NoFiles]);
    empty.error = Some(Error {
        code: "E".to_owned(),
    });
    assert_eq!(judge(&empty)[0], Violation::ErrorCode("E".to_owned()));
}

#[test]
fn duplicates_clashes_and_modes_are_found() {
    let files = [
        ("a", 0, "x"),
        ("a", 0o644, "y"),
        ("a/b", 0o1000, ""),
        ("c", -1, ""),
    ];
    let found = judge(&reply(&files, &[("a", "1"), ("a", "2")]));
    let expected = [
        Violation::DuplicateId("a".to_owned()),
        Violation::Mode {
            path: "a".to_owned(),
            mode: 0,
        },
        Violation::DuplicatePath("a".to_owned()),
        Violation::Mode {
            path: "a/b".to_owned(),
            mode: 0o1000,
        },
        Violation::Mode {
            path: "c".to_owned(),
            mode: -1,
        },
        Violation::Clash {
            file: "a".to_owned(),
            below: "a/b".to_owned(),
        },
    ];
    assert_eq!(found, expected);
}

#[test]
fn the_size_limit_counts_the_encoded_reply() {
    let of_size = |bytes: usize| reply(&[("a", 0o644, &"x".repeat(bytes))], &[("a", "")]);
    let around = of_size(MAX_REPLY).encoded_len() - MAX_REPLY;
    let fits = of_size(MAX_REPLY - around);
    assert_eq!((fits.encoded_len(), judge(&fits)), (MAX_REPLY, vec![]));
    assert_eq!(
        judge(&of_size(MAX_REPLY - around + 1)),
        [Violation::TooLarge(MAX_REPLY + 1)]
    );
}

#[test]
fn a_version_changes_if_and_only_if_the_bytes_do() {
    let before = reply(
        &[("a", 0o644, "1"), ("b", 0o644, "1")],
        &[("a", "v1"), ("b", "v1")],
    );
    let same_bytes = reply(&[("a", 0o644, "1")], &[("a", "v2")]);
    let same_version = reply(&[("b", 0o644, "2")], &[("b", "v1")]);
    let both = reply(
        &[("a", 0o600, "2"), ("c", 0o644, "1")],
        &[("a", "v2"), ("c", "v9")],
    );
    assert_eq!(judge_change(&before, &before), []);
    assert_eq!(
        judge_change(&before, &same_bytes),
        [Violation::VersionMoved("a".to_owned())]
    );
    assert_eq!(
        judge_change(&before, &same_version),
        [Violation::VersionStuck("b".to_owned())]
    );
    assert_eq!(judge_change(&before, &both), []);
}

#[test]
fn empty_versions_say_nothing_about_the_bytes() {
    let before = reply(&[("a", 0o644, "1")], &[("a", "")]);
    let after = reply(&[("a", 0o644, "2")], &[("a", "")]);
    assert_eq!(judge_change(&before, &after), []);
}

#[test]
fn five_codes_are_not_final_and_only_unavailable_may_be_said_while_draining() {
    let all = (0..=16).map(Code::from_i32);
    let refused: Vec<Code> = all
        .filter(|code| judge_code(*code, false).is_some())
        .collect();
    let expected = [
        Code::Cancelled,
        Code::DeadlineExceeded,
        Code::ResourceExhausted,
        Code::Aborted,
        Code::Unavailable,
    ];
    assert_eq!(refused, expected);
    assert_eq!(judge_code(Code::Unavailable, true), None);
    assert_eq!(
        judge_code(Code::Aborted, true),
        Some(Violation::NotFinal(Code::Aborted))
    );
}
