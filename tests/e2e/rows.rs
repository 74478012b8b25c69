//! Which row of the references is proved by which test: every row has one, and no test names a row that is not.
//!
//! A test says so in the first line of its doc comment: `/// D10, §15 case 6: what it shows`. Letter and number
//! are a row of the tables of faults (`D1` to `D35` those of the peers); `§` is a section of what the peers
//! offer, `§17` the driver's own suite. A case of a suite may stand in the test's name as well: `case_17_05_…`, or
//! several of them, `case_17_03_to_07_…`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use coffer_tests::fixture::repository;

/// The parameters of a class and what else a request holds.
const PARAMETERS: &[&str] = &[
    "roleName",
    "vaultAddress",
    "vaultNamespace",
    "vaultAuthMountPath",
    "vaultKubernetesMountPath",
    "audience",
    "vaultCACertPath",
    "vaultCADirectory",
    "vaultTLSClientCertPath",
    "vaultTLSClientKeyPath",
    "vaultTLSServerName",
    "vaultSkipTLSVerify",
    "objects",
    "any other key",
    "precedence of prefixes",
    "attributes of the driver",
    "tokens of the driver",
    "volumeAttributes",
];

/// The attributes of an object, ours behind those of the peers.
const ATTRIBUTES: &[&str] = &[
    "objectName",
    "secretPath",
    "secretKey",
    "method",
    "secretArgs",
    "filePermission",
    "encoding",
    "optional",
    "output",
    "unknown keys",
];

/// Flags and variables, and all names with BAO_ at once.
const FLAGS: &[&str] = &[
    "precedence",
    "-endpoint",
    "-health-addr",
    "-log-level",
    "-debug",
    "-version",
    "-output",
    "-hmac-secret-name",
    "-cache-size",
    "-vault-addr",
    "-vault-mount",
    "-vault-namespace",
    "-vault-tls-ca-cert",
    "-vault-tls-ca-directory",
    "-vault-tls-server-name",
    "-vault-tls-client-cert",
    "-vault-tls-client-key",
    "-vault-tls-skip-verify",
    "VAULT_ADDR",
    "BAO_ADDR",
    "VAULT_NAMESPACE",
    "VAULT_CACERT",
    "VAULT_CACERT_BYTES",
    "VAULT_CAPATH",
    "VAULT_TLS_SERVER_NAME",
    "VAULT_CLIENT_CERT",
    "VAULT_CLIENT_KEY",
    "VAULT_SKIP_VERIFY",
    "VAULT_CLIENT_TIMEOUT",
    "VAULT_MAX_RETRIES",
    "VAULT_RATE_LIMIT",
    "VAULT_HEADERS",
    "VAULT_PROXY_ADDR",
    "VAULT_HTTP_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "VAULT_DISABLE_REDIRECTS",
    "VAULT_SRV_LOOKUP",
    "VAULT_AGENT_ADDR",
    "VAULT_TOKEN",
    "BAO_ names",
];

/// Login and choice of the token.
const LOGIN: &[&str] = &["login", "fallback", "headers"];

/// What the peers test beside their code.
const UNITS: &[&str] = &[
    "listener",
    "log level",
    "hmac none",
    "hmac exists",
    "hmac lost race",
    "hmac missing key",
    "values",
    "mount",
    "token cache",
    "parse",
    "errors",
    "fork prefixes",
    "client",
    "path",
    "request",
];

/// Rows that no test can have, because no provider has a part in them: the driver looks the class up in the pod's
/// namespace before it calls one, and the event that the case waits for is its own.
const OF_THE_DRIVER: &[&str] = &["§15 case 3", "§17 case 14"];

/// The tables of faults: letter and last number. Their own level asks for their rows.
const FAULTS: &[(&str, usize)] = &[
    ("S", 10),
    ("N", 5),
    ("I", 7),
    ("K", 4),
    ("L", 3),
    ("P", 8),
    ("H", 10),
    ("B", 3),
    ("O", 4),
    ("X", 3),
    ("R", 3),
    ("M", 3),
    ("Y", 5),
    ("T", 12),
];

fn numbered(prefix: &str, last: usize) -> impl Iterator<Item = String> {
    (1..=last).map(move |number| format!("{prefix}{number}"))
}

/// Every row that must have a test. Of D34 the sidecar's memory needs none, because there is no sidecar; what a
/// restart leaves of leases is D8's.
fn rows() -> BTreeSet<String> {
    let sections = [
        ("§2", PARAMETERS),
        ("§3", ATTRIBUTES),
        ("§5", FLAGS),
        ("§6", LOGIN),
        ("§14", UNITS),
    ];
    let named = sections
        .into_iter()
        .flat_map(|(section, names)| names.iter().map(move |name| format!("{section} {name}")));
    let cases = numbered("§15 case ", 12).chain(numbered("§17 case ", 17));
    let mut rows: BTreeSet<String> = named.chain(cases).chain(numbered("D", 35)).collect();
    for row in OF_THE_DRIVER {
        rows.remove(*row);
    }
    rows
}

/// Every row that a test may name.
fn known() -> BTreeSet<String> {
    let faults = FAULTS
        .iter()
        .flat_map(|(letter, last)| numbered(letter, *last));
    rows().into_iter().chain(faults).collect()
}

/// Whether a text has the form of a row's name.
fn is_row(text: &str) -> bool {
    let mut letters = text.chars();
    match letters.next() {
        Some('§') => true,
        Some(first) if first.is_ascii_uppercase() => {
            text.len() > 1 && letters.all(|digit| digit.is_ascii_digit())
        }
        _ => false,
    }
}

/// The rows that the first line of a doc comment names; none when it names none.
fn named(doc: &str) -> Vec<String> {
    let Some((rows, _)) = doc.split_once(": ") else {
        return Vec::new();
    };
    let rows: Vec<String> = rows.split(", ").map(str::to_owned).collect();
    if rows.first().is_some_and(|row| is_row(row)) {
        rows
    } else {
        Vec::new()
    }
}

/// The cases of a suite that stand in a test's name.
fn cases(test: &str) -> Vec<String> {
    let mut parts = test.split('_');
    if parts.next() != Some("case") {
        return Vec::new();
    }
    let mut number = || parts.next()?.parse::<usize>().ok();
    let (Some(section), Some(first)) = (number(), number()) else {
        return Vec::new();
    };
    let last = match parts.next() {
        Some("to") => parts.next().and_then(|last| last.parse().ok()),
        _ => Some(first),
    };
    let last = last.unwrap_or(first);
    (first..=last)
        .map(|case| format!("§{section} case {case}"))
        .collect()
}

/// Tests by the rows that they name.
fn read(directory: &Path, found: &mut BTreeMap<String, Vec<String>>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            read(&path, found)?;
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let file = path.file_stem().unwrap_or_default().display().to_string();
            for (doc, test) in tests(&fs::read_to_string(&path)?) {
                let rows: BTreeSet<String> = named(&doc).into_iter().chain(cases(&test)).collect();
                for row in rows {
                    found
                        .entry(row)
                        .or_default()
                        .push(format!("{file}::{test}"));
                }
            }
        }
    }
    Ok(())
}

/// Each test of a source with the first line of its doc comment.
fn tests(source: &str) -> Vec<(String, String)> {
    let (mut found, mut doc, mut is_test) = (Vec::new(), None, false);
    for line in source.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            doc.get_or_insert_with(|| text.to_owned());
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        } else if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
            let name: String = rest.chars().take_while(|c| *c != '(').collect();
            found.push((doc.take().unwrap_or_default(), name));
            is_test = false;
        } else {
            (doc, is_test) = (None, false);
        }
    }
    found
}

/// The table itself; shown by `cargo test -p coffer-tests --test e2e rows -- --nocapture`.
#[test]
fn every_row_has_a_test_and_every_test_names_rows_that_are_there() -> Result<()> {
    let mut found = BTreeMap::new();
    for level in ["tests/it", "tests/e2e"] {
        read(&repository().join(level), &mut found)?;
    }
    let (rows, known) = (rows(), known());
    let bare: Vec<&String> = rows
        .iter()
        .filter(|row| !found.contains_key(*row))
        .collect();
    let strange: Vec<(&String, &Vec<String>)> = found
        .iter()
        .filter(|(row, _)| !known.contains(*row))
        .collect();
    for (row, tests) in found.iter().filter(|(row, _)| rows.contains(*row)) {
        println!("{row}: {}", tests.join(", "));
    }
    ensure!(bare.is_empty(), "rows without a test: {bare:?}");
    ensure!(strange.is_empty(), "rows that are not there: {strange:?}");
    Ok(())
}

#[test]
fn doc_comments_and_names_of_tests_name_rows_or_none() {
    for (doc, expected) in [
        ("D10, §15 case 6: a pair", &["D10", "§15 case 6"][..]),
        ("S1: a sealed store", &["S1"]),
        ("A class: with a colon", &[]),
        ("no colon D1", &[]),
    ] {
        assert_eq!(named(doc), expected, "{doc}");
    }
    for (test, expected) in [
        ("case_17_05_reads", &["§17 case 5"][..]),
        (
            "case_17_03_to_05_x",
            &["§17 case 3", "§17 case 4", "§17 case 5"],
        ),
        ("case_x", &[]),
        ("a_case_17_03", &[]),
    ] {
        assert_eq!(cases(test), expected, "{test}");
    }
    let source = "/// D1: x\n/// more\n#[test]\nfn a() {}\n\n/// D2: helper\nfn b() {}\n#[tokio::test(flavor = \"multi_thread\")]\nasync fn c() {}\n";
    let expected = [("D1: x", "a"), ("", "c")].map(|(doc, test)| (doc.to_owned(), test.to_owned()));
    assert_eq!(tests(source), expected);
}
