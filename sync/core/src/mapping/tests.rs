//! Files to keys, by both doors, by extra-data and by all-keys.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn files(list: &[(&str, &[u8])]) -> Files<Vec<u8>> {
    let list = list
        .iter()
        .map(|(path, bytes)| (path.to_string(), bytes.to_vec()));
    let answer = Answer::collect(list).map_err(|_| ()).unwrap();
    match answer {
        Ok(answer) => answer.files,
        Err(NoFiles) => panic!("no files"),
    }
}

fn pairs(list: &[(&str, &str)]) -> Vec<Pair> {
    let pair = |(source, key): &(&str, &str)| Pair {
        source: source.to_string(),
        key: key.to_string(),
    };
    list.iter().map(pair).collect()
}

fn options() -> Options {
    Options::new(None)
}

fn entry(source: &str, key: &str) -> Entry {
    Entry::from(Pair {
        source: source.to_owned(),
        key: key.to_owned(),
    })
}

static NOTHING: BTreeSet<String> = BTreeSet::new();

fn opaque() -> Demands<'static> {
    Demands {
        required: &NOTHING,
        may_be_empty: true,
    }
}

fn planned(door: Door, list: &[(&str, &str)], options: &Options) -> Planned {
    plan(door, &pairs(list), options, opaque()).unwrap()
}

/// Keys and values as text, or the problems on one line.
fn mapped(
    list: &[(&str, &str)],
    options: &Options,
    files: &Files<Vec<u8>>,
) -> Result<Vec<(String, String)>, String> {
    let mapped = planned(Door::Sync, list, options).mapping.apply(files);
    let mapped = mapped.map_err(|problems| crate::problem::joined(&problems))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(mapped
        .data
        .into_iter()
        .map(|(key, bytes)| (key, text(bytes)))
        .collect())
}

fn ok(list: &[(&str, &str)]) -> Result<Vec<(String, String)>, String> {
    Ok(list
        .iter()
        .map(|(key, text)| (key.to_string(), text.to_string()))
        .collect())
}

/// Types §4.1: one key per mapped file, bytes untouched.
#[test]
fn bytes_are_mapped_untouched() {
    let odd: &[u8] = b"\x00value-2\r\n\r\n";
    let mapping = planned(
        Door::Sync,
        &[("dir/x", ".secret-file"), ("empty", "e")],
        &options(),
    )
    .mapping;
    let mapped = mapping
        .apply(&files(&[("dir/x", odd), ("empty", b""), ("other", b"x")]))
        .map_err(|_| ())
        .unwrap();
    assert_eq!(mapped.data[".secret-file"], odd);
    assert_eq!(mapped.data["e"], b"");
    assert_eq!(mapped.data.len(), 2);
}

/// Types §4.1: one missing file means no write; Sync §15: the files returned are named.
#[test]
fn one_missing_file_fails_all_and_names_what_was_returned() {
    let error = mapped(
        &[("a", "a"), ("usernme", "u"), ("nope", "n")],
        &options(),
        &files(&[("a", b"hidden"), ("username", b"x")]),
    );
    let error = error.unwrap_err();
    for part in [
        "usernme",
        "did you mean username?",
        "nope",
        "the provider returned a, username",
    ] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert!(!error.contains("hidden"));
}

/// Sync §1: a class's names and keys are trimmed like the driver does, with advice; a SecretSync's are not.
#[test]
fn names_in_a_class_are_trimmed_with_advice() {
    let found = planned(Door::Class, &[(" a ", "k\n")], &options());
    assert_eq!(found.mapping.keys().collect::<Vec<_>>(), ["k"]);
    assert_eq!(found.advice.len(), 1);
    assert_eq!(planned(Door::Class, &[("a", "k")], &options()).advice, []);
    assert!(plan(Door::Sync, &pairs(&[("a", "k\n")]), &options(), opaque()).is_err());
}

/// Types §2, Sync §16 (`é`): the API server's rule for keys, told for every entry before anything is fetched.
#[test]
fn illegal_and_empty_keys_are_told_together() {
    let wrong = pairs(&[
        ("a", "foo/0"),
        ("a", "."),
        ("", "x"),
        ("a", ""),
        ("a", "é"),
        ("ok", "ok"),
    ]);
    let problems = plan(Door::Class, &wrong, &options(), opaque()).unwrap_err();
    let fields: Vec<&str> = problems
        .iter()
        .map(|problem| problem.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["data[0]", "data[1]", "data[2]", "data[3]", "data[4]"]
    );
}

/// A class may map one key twice: the last one counts, as for the driver, and it is told.
#[test]
fn a_key_that_is_mapped_twice_is_told() {
    let found = planned(Door::Class, &[("a", "k"), ("b", "k")], &options());
    assert_eq!(found.advice.len(), 1);
    let data = found
        .mapping
        .apply(&files(&[("a", b"1"), ("b", b"2")]))
        .map_err(|_| ())
        .unwrap()
        .data;
    assert_eq!(data["k"], b"2");
}

/// Sync §1: `data: []` is for Opaque and custom types only.
#[test]
fn only_types_without_required_keys_may_map_nothing() {
    assert!(plan(Door::Class, &[], &options(), opaque()).is_ok());
    let typed = Demands {
        required: &NOTHING,
        may_be_empty: false,
    };
    assert!(plan(Door::Class, &[], &options(), typed).is_err());
    let all = Options {
        all_keys: true,
        ..options()
    };
    assert!(plan(Door::Class, &[], &all, typed).is_ok());
}

/// Sync §3, extra-data: adds, or replaces by key.
#[test]
fn extra_data_adds_and_replaces_by_key() {
    let options = Options {
        extra_data: vec![entry("new", "k"), entry("deep/x", "a_b")],
        ..options()
    };
    let files = files(&[("old", b"1"), ("new", b"2"), ("deep/x", b"3")]);
    assert_eq!(
        mapped(&[("old", "k"), ("old", "o")], &options, &files),
        ok(&[("a_b", "3"), ("k", "2"), ("o", "1")])
    );
}

/// Types §4.1: an optional key goes with its source; a key that the type requires cannot be optional.
#[test]
fn an_optional_key_goes_with_its_source() {
    let optional = Entry {
        optional: true,
        ..entry("b", "b")
    };
    let options = Options {
        extra_data: vec![optional],
        ..options()
    };
    let both = files(&[("a", b"1"), ("b", b"2")]);
    assert_eq!(
        mapped(&[("a", "a")], &options, &both),
        ok(&[("a", "1"), ("b", "2")])
    );
    let one = files(&[("a", b"1")]);
    assert_eq!(mapped(&[("a", "a")], &options, &one), ok(&[("a", "1")]));
    let absent = planned(Door::Sync, &[("a", "a")], &options)
        .mapping
        .apply(&one)
        .map_err(|_| ())
        .unwrap()
        .absent;
    assert_eq!(absent, ["b"]);
    let required = BTreeSet::from(["b".to_owned()]);
    let demands = Demands {
        required: &required,
        may_be_empty: false,
    };
    assert!(plan(Door::Sync, &pairs(&[("a", "a")]), &options, demands).is_err());
}

/// Sync §3, all-keys: every file becomes a key, `/` becomes `.`; a clash or an illegal name is an error.
#[test]
fn all_keys_takes_every_file() {
    let options = Options {
        all_keys: true,
        ..options()
    };
    let found = mapped(
        &[("a", "renamed")],
        &options,
        &files(&[("a", b"1"), ("b/c", b"2")]),
    );
    assert_eq!(found, ok(&[("a", "1"), ("b.c", "2"), ("renamed", "1")]));
    let clash = mapped(&[], &options, &files(&[("b/c", b"1"), ("b.c", b"2")])).unwrap_err();
    assert!(clash.contains("b.c") && clash.contains("b/c"), "{clash}");
    let illegal = mapped(&[], &options, &files(&[("a b", b"1"), ("ü", b"1")])).unwrap_err();
    assert!(
        illegal.contains("`a b`") && illegal.contains("`ü`"),
        "{illegal}"
    );
    let replaced = mapped(
        &[("x", "b.c")],
        &options,
        &files(&[("b/c", b"1"), ("b.c", b"2"), ("x", b"3")]),
    );
    assert_eq!(
        replaced,
        ok(&[("b.c", "3"), ("x", "3")]),
        "an explicit entry has the say about its key"
    );
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// Sync §3, decode: base64, hex and gzip; a bad file is named, its bytes are not.
#[test]
fn files_are_decoded_on_request() {
    let wrapped = b"aGVs\nbG8=\n".as_slice();
    let packed = gzip(b"hello");
    for (decode, bytes, expected) in [
        (Decode::None, wrapped, Some("aGVs\nbG8=\n")),
        (Decode::Base64, wrapped, Some("hello")),
        (Decode::Base64, b"aGVsbG8", Some("hello")),
        (Decode::Base64, b"aGVsbG8!", None),
        (Decode::Base64, b"_-_-", None),
        (Decode::Hex, b"68656C6c6f\n", Some("hello")),
        (Decode::Hex, b"686", None),
        (Decode::Hex, b"zz", None),
        (Decode::Gzip, &packed, Some("hello")),
        (Decode::Gzip, &packed[..packed.len() - 9], None),
        (Decode::Gzip, b"hidden", None),
    ] {
        let options = Options {
            extra_data: vec![Entry {
                decode,
                ..entry("f", "k")
            }],
            ..options()
        };
        let found = mapped(&[], &options, &files(&[("f", bytes)]));
        match expected {
            Some(text) => assert_eq!(found, ok(&[("k", text)]), "{decode:?}"),
            None => {
                let error = found.unwrap_err();
                assert!(error.starts_with("k: ") && error.contains("`f`"), "{error}");
                assert!(
                    !error.contains("hidden") && !error.contains("aGVs"),
                    "{error}"
                );
            }
        }
    }
}

/// A file of a megabyte can hold gigabytes.
#[test]
fn gzip_unpacks_to_a_bound() {
    let bomb = gzip(&vec![0; (4 << 20) + 1]);
    let fits = gzip(&vec![0; 4 << 20]);
    let unpack = |bytes: &[u8]| Decode::Gzip.apply(&bytes.to_vec());
    assert!(unpack(&bomb).unwrap_err().contains("more than"));
    assert_eq!(unpack(&fits).unwrap().len(), 4 << 20);
}

/// Sync §3, pointer: a text's content, any other value as it is written, digit by digit.
#[test]
fn a_pointer_takes_one_part_of_a_document() {
    let document = br#"{"a": {"b/c": "x\ny", "t~": [1, 2.50, 1e400, {"k": "v" }]}, "n": null, "": "empty", "d": "1", "d": "2"}"#;
    for (pointer, expected) in [
        ("/a/b~1c", Ok(Some("x\ny"))),
        ("/a/t~0/1", Ok(Some("2.50"))),
        ("/a/t~0/2", Ok(Some("1e400"))),
        ("/a/t~0/3", Ok(Some(r#"{"k": "v" }"#))),
        ("/a/t~0/03", Ok(None)),
        ("/a/t~0/4", Ok(None)),
        ("/a/t~0/-", Ok(None)),
        ("/n", Ok(None)),
        ("/", Ok(Some("empty"))),
        ("/d", Ok(Some("2"))),
        ("/a/b~1c/x", Ok(None)),
        ("/x", Ok(None)),
    ] {
        let found = Pointer::parse(pointer).unwrap().apply(&document.to_vec());
        let found = found.map(|part| part.map(|bytes| String::from_utf8(bytes).unwrap()));
        assert_eq!(
            found,
            expected.map(|part| part.map(str::to_owned)),
            "{pointer}"
        );
    }
    for pointer in ["", "a", "/~", "/~2", "/a~"] {
        assert_eq!(Pointer::parse(pointer), None, "{pointer}");
    }
}

/// A missing part counts as a missing file: an error, or an absent key where that was allowed.
#[test]
fn a_missing_part_counts_as_a_missing_file() {
    let part = |optional| Entry {
        optional,
        pointer: Pointer::parse("/x"),
        ..entry("f", "k")
    };
    let with = |optional| Options {
        extra_data: vec![part(optional)],
        ..options()
    };
    let json = files(&[("f", br#"{"password": "hidden"}"#)]);
    let error = mapped(&[], &with(false), &json).unwrap_err();
    assert!(
        error.contains("pointer") && !error.contains("hidden"),
        "{error}"
    );
    assert_eq!(mapped(&[], &with(true), &json), ok(&[]));
    let broken = mapped(&[], &with(true), &files(&[("f", b"hidden")])).unwrap_err();
    assert!(
        broken.contains("JSON") && !broken.contains("hidden"),
        "{broken}"
    );
}

/// A document may be packed: it is unpacked first.
#[test]
fn a_pointer_reads_what_was_unpacked() {
    let packed = STANDARD.encode(br#"{"x": "inner"}"#);
    let part = Entry {
        decode: Decode::Base64,
        pointer: Pointer::parse("/x"),
        ..entry("f", "k")
    };
    let options = Options {
        extra_data: vec![part],
        ..options()
    };
    assert_eq!(
        mapped(&[], &options, &files(&[("f", packed.as_bytes())])),
        ok(&[("k", "inner")])
    );
}

/// Sync §4: paths of an answer are cleaned, must stay inside, and the last of two counts.
#[test]
fn paths_of_an_answer_follow_the_drivers_rules() {
    for (path, expected) in [
        ("a", Some("a")),
        ("a//b/./c/", Some("a/b/c")),
        ("./a", Some("a")),
        ("..a/b..", Some("..a/b..")),
        ("/a", None),
        ("a/../b", None),
        ("..", None),
        (".", None),
        ("", None),
    ] {
        assert_eq!(clean(path).as_deref(), expected, "{path}");
    }
    let collect = |list: &[(&str, &str)]| {
        Answer::collect(
            list.iter()
                .map(|(path, text)| (path.to_string(), text.as_bytes().to_vec())),
        )
    };
    assert_eq!(
        collect(&[("/a", ""), ("..", ""), ("b", "")])
            .map(|_| ())
            .unwrap_err()
            .len(),
        2
    );
    let twice = collect(&[("a/b", "1"), ("a//b", "2")]).unwrap();
    let twice = twice.map_err(|_| ()).unwrap();
    assert_eq!(twice.advice.len(), 1);
    assert_eq!(twice.files.get("./a/b"), Some(&b"2".to_vec()));
}

/// Sync §4: no files is an outcome of its own, with a cause of its own.
#[test]
fn no_files_is_not_an_empty_secret() {
    assert!(matches!(Answer::<Vec<u8>>::collect([]), Ok(Err(NoFiles))));
}
