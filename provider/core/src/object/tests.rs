//! The decoder against what Go's yaml.v3 made of the same texts, and against hostile input.

use proptest::prelude::*;

use super::{Object, parse_objects};

const CASES: &str = include_str!("../../testdata/objects-yaml.cases");
const EXPECTED: &str = include_str!("../../testdata/objects-yaml.expected");

/// An object in the notation of the golden file.
fn golden_form(object: &Object) -> String {
    let args = object.secret_args.as_ref().map_or("-".to_owned(), |args| {
        String::from_utf8(args.to_bytes()).unwrap()
    });
    let Object {
        name,
        secret_path,
        secret_key,
        file_permission,
        ..
    } = object;
    format!(
        "name={name:?} path={secret_path:?} key={secret_key:?} mode={file_permission} args={args}"
    )
}

/// All objects in the notation of the golden file, or all problems.
fn outcome(text: &str) -> Result<String, String> {
    match parse_objects(text) {
        Ok(objects) => {
            let forms: Vec<_> = objects.iter().map(golden_form).collect();
            Ok(format!("[{}] {}", forms.len(), forms.join(" ; ")))
        }
        Err(problems) => Err(problems
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")),
    }
}

fn object(text: &str) -> Object {
    parse_objects(text)
        .ok()
        .and_then(|mut objects| objects.pop())
        .unwrap()
}

fn problems(text: &str) -> String {
    outcome(text).expect_err("must be refused")
}

#[test]
fn every_golden_text_is_read_as_go_reads_it() {
    let unescape = |text: &str| {
        text.replace("\\n", "\n")
            .replace("\\t", "\t")
            .replace("\\r", "\r")
    };
    let mut rows = 0;
    for (case, expected) in CASES.lines().zip(EXPECTED.lines()) {
        let (name, text) = case.split_once('|').unwrap();
        let (expected_name, expected) = expected.split_once('\t').unwrap();
        assert_eq!(name, expected_name);
        let read = outcome(&unescape(text));
        match name {
            "mode-str-0644" => assert_eq!(
                read.as_deref(),
                Ok("[1] name=\"a\" path=\"\" key=\"\" mode=420 args=-")
            ),
            // The parser here follows YAML 1.2, where a tab may follow the dash: more is accepted.
            "tab-indent" => assert!(read.is_ok_and(|read| read.contains("name=\"a\""))),
            "mode-0888" => assert!(read.unwrap_err().contains("decimal 888")),
            _ if expected.starts_with("ERR") || expected.contains("JSONERR") => {
                assert!(read.is_err(), "{name}: {read:?}");
            }
            _ => assert_eq!(read.as_deref(), Ok(expected), "{name}"),
        }
        rows += 1;
    }
    assert_eq!(rows, 46);
}

#[test]
fn method_and_encoding_are_read_as_written() {
    let read = object("- {objectName: a, method: put, encoding: Base64}");
    assert_eq!(
        (read.method.as_str(), read.encoding.as_str()),
        ("put", "Base64")
    );
    let unset = object("- {objectName: a, method: null, encoding: }");
    assert_eq!((unset.method.as_str(), unset.encoding.as_str()), ("", ""));
}

#[test]
fn a_flag_is_true_or_false_and_nothing_else() {
    for (written, expected) in [
        ("true", true),
        ("True", true),
        ("TRUE", true),
        ("!!bool true", true),
        ("false", false),
        ("null", false),
        ("", false),
    ] {
        let read = object(&format!("- {{objectName: a, optional: {written}}}"));
        assert_eq!(read.optional, expected, "{written}");
    }
    for (written, what) in [
        ("yes", "\"yes\" is not a boolean"),
        ("on", "\"on\" is not a boolean"),
        ("\"true\"", "\"true\" is not a boolean"),
        ("!!str true", "\"true\" is not a boolean"),
        ("!!bool x", "\"x\" is not a boolean"),
        ("1", "\"1\" is not a boolean"),
        ("[true]", "is a list, not a boolean"),
        ("{a: true}", "is a map, not a boolean"),
    ] {
        assert_eq!(
            problems(&format!("- {{objectName: a, optional: {written}}}")),
            format!("objects[0].optional: line 1: {what}; write true or false, without quotes")
        );
    }
}

#[test]
fn modes_that_were_meant_otherwise_are_refused_with_the_right_spelling() {
    for (mode, hint) in [
        ("\"644\"", "write 0644 without quotes"),
        ("'420'", "write 0420 without quotes"),
        ("644", "did you mean 0644?"),
        ("0888", "8 and 9 are no octal digits, so it is decimal 888"),
        ("01777", "only the nine permission bits"),
        ("4095", "only the nine permission bits"),
        ("-1", "is negative"),
        ("99999999999", "is above 0777"),
        ("1e300", "is above 0777"),
        ("\"01777\"", "only the nine permission bits"),
        ("\"rw-r--r--\"", "is not a number"),
        ("\"\"", "is not a number"),
        ("\"0x1A4\"", "is not a number"),
        ("\"0+644\"", "is not a number"),
        (".nan", "is not a number"),
        ("true", "is not a number"),
        ("[420]", "is not a number"),
    ] {
        let told = problems(&format!("- {{objectName: a, filePermission: {mode}}}"));
        assert!(
            told.starts_with("objects[0].filePermission: line 1: "),
            "{told}"
        );
        assert!(told.contains(hint), "{mode}: {told}");
    }
}

#[test]
fn octal_text_in_quotes_is_a_mode() {
    for (mode, expected) in [
        ("\"0644\"", 0o644),
        ("'0o600'", 0o600),
        ("\"0\"", 0),
        ("\"00\"", 0),
    ] {
        let read = object(&format!("- {{objectName: a, filePermission: {mode}}}"));
        assert_eq!(read.file_permission, expected, "{mode}");
    }
}

#[test]
fn all_problems_of_all_objects_are_told_at_once() {
    let told = problems(
        "- objectName: [a]\n  filePermission: 644\n- objectName: b\n  secretArgs: {m: {k: 1, k: 2}}\n- hello\n",
    );
    assert_eq!(
        told,
        "objects[0].objectName: line 1: is a list, not text; write one value\n\
         objects[0].filePermission: line 2: 644 is above 0777: without a leading zero it is a decimal number; did you mean 0644?\n\
         objects[1].secretArgs.m: line 4: the key \"k\" is already there at line 4; remove one of them\n\
         objects[2]: line 5: is not a map of attributes; write `- objectName: ...` without quotes or `|`"
    );
}

#[test]
fn unknown_keys_are_collected_and_their_values_ignored() {
    let read =
        object("- {objectName: a, content: base64, ObjectName: b, x: {k: 1, k: 2}, y: !odd z}");
    assert_eq!(read.unknown_keys, ["content", "ObjectName", "x", "y"]);
    assert_eq!(read.name, "a");
}

#[test]
fn the_array_wrapper_is_told_apart_from_other_maps() {
    assert!(problems("array:\n  - |\n    objectName: a\n").contains("remove `array:`"));
    assert!(problems("objectName: a").contains("is a map, not a list"));
    assert!(problems("hello").contains("is the text \"hello\""));
}

#[test]
fn merge_keys_yield_to_explicit_keys_and_earlier_maps() {
    let text = "- &a {objectName: a, secretKey: ka, method: ma}\n\
                - &b {objectName: b, encoding: hex, secretKey: kb}\n\
                - {<<: [*a, *b], method: own, objectName: null}\n";
    let read = object(text);
    assert_eq!(
        [&read.name, &read.secret_key, &read.method, &read.encoding],
        ["", "ka", "own", "hex"]
    );
    assert!(problems("- {<<: 1}").contains("`<<` needs a map"));
}

#[test]
fn values_of_secret_args_never_reach_a_problem() {
    for text in [
        "- {secretArgs: hunter2}",
        "- {secretArgs: {a: !odd hunter2}}",
        "- {secretArgs: {a: !!int hunter2}}",
        "- {secretArgs: {a: !!binary hunter2}}",
        "- {secretArgs: {a: {1: hunter2}}}",
        "- {secretArgs: {a: hunter2, a: hunter2}}",
        "- {secretArgs: {a: 'hunter2}}",
        "- {secretArgs: {a: hunter2: b: c}}\n  x",
        "- {secretArgs: {a: [.inf, hunter2]}}",
        "- {secretArgs: {a: *hunter2}}",
    ] {
        let told = problems(text);
        assert!(!told.contains("hunter2"), "{text}: {told}");
    }
}

#[test]
fn syntax_faults_tell_the_line_and_column() {
    let told = problems("- objectName: a\n  secretKey: [k\n");
    assert!(told.starts_with("objects: line "), "{told}");
    assert!(told.contains("not valid YAML"), "{told}");
}

#[test]
fn aliases_cannot_refer_to_what_they_stand_in() {
    assert!(problems("- &a {objectName: a, secretArgs: {x: *a}}").contains("an alias refers to"));
}

#[test]
fn alias_bombs_and_huge_texts_are_refused() {
    let mut bomb = "- {secretArgs: {a0: &a0 [x, x, x, x, x, x, x, x, x, x]}}\n".to_owned();
    let mut merges = "- &m0 {k0: 1}\n".to_owned();
    for i in 1..40 {
        let previous = format!("*a{}", i - 1);
        let ten = [previous.as_str(); 10].join(", ");
        bomb += &format!("- {{secretArgs: {{a{i}: &a{i} [{ten}]}}}}\n");
        merges += &format!("- &m{i} {{k{i}: 1, <<: [*m{0}, *m{0}]}}\n", i - 1);
    }
    assert!(problems(&bomb).contains("once aliases are followed"));
    assert!(problems(&merges).contains("once aliases are followed"));
    let mut chain = "- secretArgs:\n    a0: &a0 []\n".to_owned();
    for i in 1..20_000 {
        chain += &format!("    a{i}: &a{i} [*a{}]\n", i - 1);
    }
    assert!(problems(&chain).contains("nests deeper"));
    assert!(problems(&"- a\n".repeat(300_000)).contains("bytes"));
    assert!(problems(&"- []\n".repeat(201_000)).contains("more than 200000 values"));
    assert!(problems(&"[".repeat(100_000)).contains("objects: "));
    assert!(problems(&"- ".repeat(100_000)).contains("objects: "));
    assert_eq!(problems(&"- a\n".repeat(1000)).lines().count(), 100);
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in "\\PC{0,80}") {
        let _ = parse_objects(&text);
    }

    #[test]
    fn text_that_looks_like_yaml_never_panics(text in "(- |\\{|\\}|\\[|\\]|: |, |&a |\\*a|<<|!!int |!x |\"|'|\\||>|\n|  |objectName|secretArgs|filePermission|0644|2024-01-02|1e400|~|\t|#|---|%YAML){0,40}") {
        let _ = parse_objects(&text);
    }

    #[test]
    fn quoted_names_are_read_verbatim(name in "[^\\p{C}\"\\\\]{0,40}") {
        let read = parse_objects(&format!("- objectName: \"{name}\""));
        prop_assert!(read.is_ok_and(|objects| objects[0].name == name));
    }
}
