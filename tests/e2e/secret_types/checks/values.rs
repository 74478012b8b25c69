//! What is legal and yet doubtful in any type, and the keys that a user requires.

use anyhow::Result;
use coffer_sync_core::validate::Check;

use super::{Case, Row, Sample};

const CUSTOM: &str = "example.net/custom";

fn opaque(key: &str, value: impl AsRef<[u8]>) -> Case {
    Case::new("Opaque").with(key, value)
}

/// Small for its values, and so many long keys.
fn long_keys(keys: usize) -> Case {
    (0..keys).fold(opaque("value", vec![b'x'; 900_000]), |case, number| {
        case.with(&format!("k{number:04}{}", "k".repeat(245)), "")
    })
}

pub(super) fn any() -> Result<Vec<Row>> {
    let line = |(key, value): (&str, &str)| opaque(key, value);
    let typed = |secret_type: &str| Case::new(secret_type).with("a", "b");
    let login = |username: &str| {
        Case::new("kubernetes.io/basic-auth")
            .with("username", username)
            .with("password", "p")
    };
    let requiring = |case: Case| Sample {
        required_keys: vec!["a".to_owned(), "b".to_owned()],
        ..Sample::from(case)
    };
    Ok(vec![
        Row::of(Check::SizeNearLimit)
            .bad([opaque("a", vec![b'x'; 943_800]), long_keys(1500)])
            .good([opaque("a", vec![b'x'; 943_600]), long_keys(900)]),
        Row::of(Check::ValueNewline)
            .bad(
                [
                    ("password", "x\n"),
                    ("db-Passwd", "x\r\n"),
                    ("APIKEY", "x\n"),
                ]
                .map(line),
            )
            .bad([("my.token", "x\n\n"), ("api-secret", "x\r")].map(line))
            .bad([login("u\n")])
            .good(
                [
                    ("password", "x"),
                    ("password", "two\nlines\n"),
                    ("username", "x\n"),
                ]
                .map(line),
            )
            .good([opaque(".secret-file", "value-2\r\n\r\n"), login("u")]),
        Row::of(Check::ValueBom)
            .bad(
                [&b"\xef\xbb\xbfx"[..], b"\xff\xfex\0", b"\xfe\xff\0x"]
                    .map(|value| opaque("a", value)),
            )
            .good([opaque("a", b"\xef\xbbx")]),
        Row::of(Check::EnvName)
            .bad([
                opaque("1badkey", "x"),
                Case::new(CUSTOM).with("2alsobad", "x"),
            ])
            .good([
                opaque("a-b", "x"),
                opaque(".x", "x"),
                login("u").with("1st", "x"),
            ]),
        Row::of(Check::DataEmpty)
            .bad(["Opaque", CUSTOM].map(Case::new))
            .good(["Opaque", CUSTOM].map(typed))
            .good([opaque("a", "")]),
        Row::of(Check::TypeLookalike)
            .bad(["opaque", "kubernetes.io/TLS", "kubernetes.io/tls "].map(typed))
            .bad(["kubernetes.io/unknown"].map(typed))
            .good(["Opaque", "", CUSTOM, "with space"].map(typed)),
        Row::of(Check::CustomRequired)
            .bad([requiring(typed(CUSTOM)), requiring(opaque("b", ""))])
            .good([
                requiring(typed(CUSTOM).with("b", "")),
                Sample::from(typed(CUSTOM)),
            ]),
    ])
}
