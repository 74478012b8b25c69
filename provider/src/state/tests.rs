//! A process writes, another one reads: what comes over, and what is refused.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffer_provider_core::gojson::Json;
use coffer_provider_core::target::{Addresses, Ca, Target};
use coffer_provider_core::version::VersionKey;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::place::{NoPlace, Place};
use super::{MAX_BYTES, record};
use crate::vault::kept::tests::{key, response};
use crate::vault::kept::{Snapshot, Stored, StoredPast, StoredToken};
use crate::vault::session::Proof;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

/// A memory file system that every Linux has. What is no tmpfs fails here, so that nothing passes for nothing.
fn memory() -> tempfile::TempDir {
    let directory = tempfile::tempdir_in("/dev/shm").expect("/dev/shm is a tmpfs");
    let place = Place::find(directory.path(), "vault", 1);
    assert!(place.is_ok(), "/dev/shm is a tmpfs: {:?}", place.err());
    directory
}

fn place(directory: &Path, tag: u64) -> Place {
    Place::find(directory, "vault", tag).unwrap_or_else(|error| panic!("{error}"))
}

fn stored(pod: &str, left: Option<u64>, token: Option<usize>) -> Stored {
    Stored {
        key: key(pod),
        proof: Proof::Proven,
        response: response("lease/1", 90),
        age: Duration::from_secs(30),
        left: left.map(Duration::from_secs),
        full: Duration::from_secs(90),
        renewable: true,
        token,
    }
}

fn past(pod: &str, left: Option<u64>) -> StoredPast {
    StoredPast {
        pod: pod.to_owned(),
        lease: Some("lease/old".to_owned()),
        age: Duration::from_secs(30),
        left: left.map(Duration::from_secs),
        token: 0,
    }
}

fn token(left: u64) -> StoredToken {
    StoredToken {
        target: key("").identity.target.clone(),
        secret: SecretString::from("hvs.made-up"),
        age: Duration::from_secs(10),
        left: Duration::from_secs(left),
        full: Duration::from_secs(left + 10),
        renewable: false,
    }
}

fn snapshot(entries: Vec<Stored>, tokens: Vec<StoredToken>) -> Snapshot {
    Snapshot {
        entries,
        tokens,
        ..Snapshot::default()
    }
}

fn written(snapshot: &Snapshot) -> Zeroizing<Vec<u8>> {
    record::write(snapshot, NOW, MAX_BYTES).unwrap()
}

fn read_at(bytes: &[u8], seconds: i64) -> Snapshot {
    record::read(bytes, NOW + SignedDuration::from_secs(seconds)).unwrap()
}

#[test]
fn every_part_of_identity_request_and_proof_comes_over() {
    let proofs = [
        Proof::Proven,
        Proof::ProvenPod("p".to_owned()),
        Proof::Token([7; 32]),
        Proof::Requested("p".to_owned()),
    ];
    let mut all = Vec::new();
    for (at, proof) in proofs.into_iter().enumerate() {
        let mut one = stored(&at.to_string(), Some(60), Some(0));
        let identity = Arc::make_mut(&mut one.key.identity);
        identity.audience = Some("aud".to_owned());
        identity.target.namespace = Some("team".to_owned());
        let addresses = "https://by-srv/a, https://by-port:443";
        identity.target.address = Addresses::parse_by_srv("address", addresses).unwrap();
        identity.target.tls.ca = Ca::Pem("pem".to_owned());
        identity.target.tls.client = Some(("/c".to_owned(), "/k".to_owned()));
        identity.target.tls.server_name = Some("n".to_owned());
        let request = Arc::make_mut(&mut one.key.request);
        request.query = vec![("a".to_owned(), "b".to_owned())];
        request.body = Some(Json::parse(br#"{"n":1.0,"s":"<\u00e9\""}"#).unwrap());
        one.proof = proof;
        all.push(one);
    }
    let all = snapshot(all, vec![token(90)]);
    let Snapshot {
        entries, tokens, ..
    } = read_at(&written(&all), 0);
    assert_eq!(entries.len(), all.entries.len());
    for (one, other) in all.entries.iter().zip(&entries) {
        assert!(one.key == other.key && one.proof == other.proof);
        let document = one.response.to_document();
        assert!(document == other.response.to_document());
        assert_eq!(
            (one.left, one.renewable, one.token),
            (other.left, other.renewable, other.token)
        );
    }
    assert_eq!(tokens[0].secret.expose_secret(), "hvs.made-up");
    let target: &Target = &tokens[0].target;
    assert!(*target == key("").identity.target);
}

#[test]
fn time_goes_on_between_the_processes_and_what_ended_meanwhile_is_left_out() {
    let entries = vec![
        stored("a", Some(60), None),
        stored("b", Some(20), None),
        stored("c", None, None),
    ];
    let past = vec![past("d", Some(60)), past("e", Some(20)), past("f", None)];
    let bytes = written(&Snapshot {
        past,
        ..snapshot(entries, vec![token(50)])
    });
    let read = read_at(&bytes, 40);
    let (back, tokens) = (read.entries, read.tokens);
    let pods: Vec<_> = back.iter().map(|one| one.key.pod.as_str()).collect();
    assert_eq!(pods, ["a", "c"]);
    assert_eq!(back[0].left, Some(Duration::from_secs(20)));
    assert_eq!(back[0].age, Duration::from_secs(70));
    assert_eq!(tokens[0].left, Duration::from_secs(10));
    let past: Vec<_> = read.past.iter().map(|one| one.pod.as_str()).collect();
    assert_eq!(past, ["d", "f"]);
    let one = &read.past[0];
    assert_eq!(
        (one.lease.as_deref(), one.age, one.left, one.token),
        (
            Some("lease/old"),
            Duration::from_secs(70),
            Some(Duration::from_secs(20)),
            0
        )
    );
}

#[test]
fn what_earlier_versions_wrote_is_still_read() {
    let bytes = written(&snapshot(
        vec![stored("a", Some(60), Some(0))],
        vec![token(90)],
    ));
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut older = text;
    for later in [",\"past\":[]", "\"by_srv\":false,"] {
        assert!(older.contains(later), "{later}");
        older = older.replace(later, "");
    }
    let read = read_at(older.as_bytes(), 0);
    assert_eq!((read.entries.len(), read.past.len()), (1, 0));
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_live_longer() {
    let bytes = written(&snapshot(
        vec![stored("a", Some(60), None)],
        vec![token(50)],
    ));
    let read = read_at(&bytes, -1_000_000);
    assert_eq!(read.entries[0].left, Some(Duration::from_secs(60)));
    assert_eq!(read.tokens[0].left, Duration::from_secs(50));
}

#[test]
fn more_than_the_bound_is_not_written() {
    let all = snapshot(vec![stored("a", Some(60), None)], Vec::new());
    let length = written(&all).len();
    assert!(record::write(&all, NOW, length).is_some());
    assert!(record::write(&all, NOW, length - 1).is_none());
}

#[test]
fn contents_that_make_no_sense_are_refused_whole() {
    let bytes = written(&snapshot(
        vec![stored("a", Some(60), Some(0))],
        vec![token(90)],
    ));
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    for (what, instead) in [
        ("\"target\":0", "\"target\":9"),
        ("\"method\":\"GET\"", "\"method\":\"EAT\""),
        ("hvs.made-up", "hvs\\nmade-up"),
        ("\"response\":\"", "\"response\":\"!"),
        ("\"entries\"", "\"entrails\""),
    ] {
        assert!(text.contains(what), "{what}");
        let changed = text.replace(what, instead);
        assert!(record::read(changed.as_bytes(), NOW).is_none(), "{instead}");
    }
}

#[test]
fn a_directory_on_a_disk_is_refused_and_none_is_made_there() {
    let disk = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let find = |path: &Path| Place::find(path, "vault", 1).err();
    assert!(matches!(find(disk.path()), Some(NoPlace::Disk(_))));
    let below = disk.path().join("state");
    assert!(matches!(find(&below), Some(NoPlace::Disk(_))));
    assert!(!below.exists());
    assert!(matches!(find(&below.join("deeper")), Some(NoPlace::Io(..))));
}

#[test]
fn directory_and_file_are_private_and_the_file_is_replaced_whole() {
    use std::os::unix::fs::PermissionsExt;
    let memory = memory();
    let directory = memory.path().join("state");
    let place = place(&directory, 2);
    place.write(b"one").unwrap();
    place.write(b"two").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(place.file())), (0o700, 0o640));
    assert_eq!(place.read(3).unwrap(), b"two");
    assert!(matches!(place.read(2), Err(super::Unreadable::TooLarge)));
    let files = std::fs::read_dir(&directory).unwrap().count();
    assert_eq!(files, 1, "nothing is left of the writing");
}

#[test]
fn what_a_successor_wrote_is_not_ours_to_replace() {
    let memory = memory();
    let (first, second) = (place(memory.path(), 2), place(memory.path(), 3));
    assert!(first.is_ours(), "there is none");
    first.write(b"first").unwrap();
    assert!(first.is_ours() && !second.is_ours());
    second.read(5).unwrap();
    assert!(first.is_ours() && second.is_ours(), "it read that very one");
    second.write(b"second").unwrap();
    assert!(!first.is_ours() && second.is_ours());
}

#[test]
fn providers_of_two_names_keep_out_of_each_others_way() {
    let memory = memory();
    let other = Place::find(memory.path(), "openbao", 4);
    let other = other.unwrap_or_else(|error| panic!("{error}"));
    assert_ne!(place(memory.path(), 5).file(), other.file());
}

proptest! {
    #[test]
    fn lives_come_over_as_they_are(age in 0_u32..1_000_000, left in 1_u32..1_000_000, passed in 0_u32..1_000_000) {
        let mut one = stored("a", Some(left.into()), None);
        one.age = Duration::from_secs(age.into());
        let bytes = written(&snapshot(vec![one], Vec::new()));
        let back = read_at(&bytes, passed.into()).entries;
        prop_assert_eq!(back.is_empty(), passed >= left);
        if let Some(one) = back.first() {
            prop_assert_eq!(one.left, Some(Duration::from_secs((left - passed).into())));
            prop_assert_eq!(one.age, Duration::from_secs((age + passed).into()));
        }
    }

    #[test]
    fn no_bytes_whatever_are_more_than_refused(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        prop_assert!(record::read(&bytes, NOW).is_none());
        let key = VersionKey::new(vec![1]).unwrap();
        prop_assert!(super::seal::open(&key, bytes).is_err());
    }
}
