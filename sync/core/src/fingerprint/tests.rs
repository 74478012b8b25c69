//! Equal content, equal fingerprint; everything else differs.

use proptest::prelude::*;

use super::*;

fn key() -> Key {
    Key::new(&[7; 32])
}

fn print(namespace: &str, name: &str, type_: &str, data: &[(&str, &[u8])]) -> Fingerprint {
    key().content(namespace, name, type_, data.iter().copied())
}

/// Sync §2 and 6: `c1:<key id>:<hex>`, and the same on every machine and in every version.
#[test]
fn a_fingerprint_is_a_known_text() {
    let text = print("ns", "db", "Opaque", &[("a", b"1")]).to_string();
    let (form, rest) = text.split_once(':').unwrap();
    let (id, hex) = rest.split_once(':').unwrap();
    assert_eq!((form, id.len(), hex.len()), ("c1", 8, 64));
    assert_eq!(text, KNOWN);
    assert_eq!(
        Fingerprint::parse(&text).map(|print| print.to_string()),
        Some(text)
    );
}

/// The answer for that key and content; changing it costs every installation a write per object.
const KNOWN: &str = "c1:e26476cf:4fd0f78104eb31305824df3571c7af08a5a09288a8b9ae54cd5e6474195403df";

/// Sync §6, and 16 (no unsalted digest is published): namespace and name are inside, so equal values in two Secrets cannot be told; parts do not shift.
#[test]
fn every_part_counts() {
    let one = print("ns", "db", "Opaque", &[("a", b"1"), ("b", b"2")]);
    assert_eq!(
        one,
        print("ns", "db", "Opaque", &[("a", b"1"), ("b", b"2")])
    );
    for other in [
        print("nt", "db", "Opaque", &[("a", b"1"), ("b", b"2")]),
        print("ns", "dc", "Opaque", &[("a", b"1"), ("b", b"2")]),
        print("nsd", "b", "Opaque", &[("a", b"1"), ("b", b"2")]),
        print("ns", "db", "opaque", &[("a", b"1"), ("b", b"2")]),
        print("ns", "db", "Opaque", &[("a", b"1b"), ("", b"2")]),
        print("ns", "db", "Opaque", &[("a", b"1")]),
        print("ns", "db", "Opaque", &[]),
    ] {
        assert_eq!(one.compare(&other), Comparison::Different);
    }
}

/// Sync §6: a lost key makes fingerprints incomparable, not different.
#[test]
fn fingerprints_of_another_key_say_nothing() {
    let one = print("ns", "db", "Opaque", &[("a", b"1")]);
    let other = Key::new(&[8; 32]).content("ns", "db", "Opaque", [("a", &b"1"[..])]);
    assert_eq!(one.compare(&other), Comparison::Unknown);
    assert_eq!(one.compare(&one.clone()), Comparison::Same);
}

/// Sync §2: any other form, such as upstream's `v1:`, counts as no record.
#[test]
fn other_forms_are_no_fingerprints() {
    let good = print("ns", "db", "Opaque", &[]).to_string();
    assert!(Fingerprint::parse(&good).is_some());
    let long = format!("{good}0");
    let upper = good.to_uppercase();
    let more = format!("{good}:x");
    let other = good.replacen("c1", "v1", 1);
    for text in [
        "",
        "c1",
        "c1::",
        "v1:abc",
        long.as_str(),
        &upper,
        &more,
        &other,
    ] {
        assert_eq!(Fingerprint::parse(text), None, "{text}");
    }
}

/// Sync §9 and 10: ten digits go into names and marks.
#[test]
fn short_forms_have_ten_digits() {
    assert_eq!(print("ns", "db", "Opaque", &[]).short().len(), 10);
    assert_eq!(short_name("db").len(), 10);
    assert_ne!(short_name("db"), short_name("dc"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Sync §6: content decides, byte by byte.
    #[test]
    fn contents_are_equal_exactly_when_fingerprints_are(
        one in proptest::collection::btree_map("[ab]{1,2}", proptest::collection::vec(0..2_u8, 0..3), 0..3),
        other in proptest::collection::btree_map("[ab]{1,2}", proptest::collection::vec(0..2_u8, 0..3), 0..3),
    ) {
        let print = |data: &std::collections::BTreeMap<String, Vec<u8>>| {
            key().content("ns", "db", "Opaque", data.iter().map(|(key, value)| (key.as_str(), value.as_slice())))
        };
        prop_assert_eq!(one == other, print(&one) == print(&other));
    }
}
