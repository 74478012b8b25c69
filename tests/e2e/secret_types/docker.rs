//! Docker files: what the server's parser takes for JSON, byte by byte, and our scanner with it.

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_sync_core::validate::Check;

use super::{Case, Place};
use crate::world::run;

/// Both types with the key that each requires.
const BOTH: [(&str, &str); 2] = [
    ("kubernetes.io/dockerconfigjson", ".dockerconfigjson"),
    ("kubernetes.io/dockercfg", ".dockercfg"),
];

/// So many levels, the object around them included.
fn nested(levels: usize) -> String {
    let inside = levels - 1;
    format!("{{\"a\":{}{}}}", "[".repeat(inside), "]".repeat(inside))
}

fn utf16(text: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

/// Types §4.3 and §4.4, row "key missing": also where the key of the other type is there
#[test]
fn a_docker_secret_needs_its_own_key_on_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let others = [".dockercfg", ".dockerconfigjson"];
        for ((secret_type, key), other) in BOTH.into_iter().zip(others) {
            let words = format!("data[{key}]: Required value");
            let none = Case::new(secret_type);
            for case in [none.clone().with(other, "{}"), none] {
                place.judge(&case).await?.says(422, &[&words])?;
            }
        }
        Ok(())
    })
}

/// Types §4.3 and §4.4, rows "empty bytes; array; ..." and "nesting > 10 000": refused by both sides, with no value in
/// the server's words
#[test]
fn what_is_no_json_object_is_refused_by_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let (deep, encoded) = (nested(10_001), BASE64_STANDARD.encode("{}"));
        let objects = format!("{}{{}}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000));
        let digits = format!("{{\"a\":{}}}", "9".repeat(400));
        for (file, words) in [
            (&b""[..], "unexpected end of JSON input"),
            (b"  ", "unexpected end of JSON input"),
            (b"{\"a\":1", "unexpected end of JSON input"),
            (b"[]", "cannot unmarshal array"),
            (b"\"text\"", "cannot unmarshal string"),
            (b"1", "cannot unmarshal number"),
            (b"true", "cannot unmarshal bool"),
            (b"auths:\n  a: b\n", "looking for beginning of value"),
            (b"{'auths':{}}", "looking for beginning of object key"),
            (b"{\"auths\":{},}", "looking for beginning of object key"),
            (b"\xef\xbb\xbf{}", "looking for beginning of value"),
            (&utf16("{}"), "looking for beginning of value"),
            (b"{\0}\0", "looking for beginning of object key"),
            (b"{} {}", "after top-level value"),
            (b"{}\n{}", "after top-level value"),
            (b"{} // comment", "after top-level value"),
            (b"/* comment */ {}", "looking for beginning of value"),
            (b"{}\0", "after top-level value"),
            (b"{}\xc2\xa0", "after top-level value"),
            (encoded.as_bytes(), "looking for beginning of value"),
            (b"\"{\\\"auths\\\":{}}\"", "cannot unmarshal string"),
            (b"{\"a\":01}", "after object key:value pair"),
            (b"{\"a\":NaN}", "looking for beginning of value"),
            (b"{\"a\":\x0c1}", "looking for beginning of value"),
            (b"{\"a\":\"\n\"}", "in string literal"),
            (b"{\"a\":\"\\x\"}", "in string escape code"),
            (b"nul", "in literal null"),
            (deep.as_bytes(), "exceeded max depth"),
            (objects.as_bytes(), "exceeded max depth"),
            (b"{\"a\":1e999}", "cannot unmarshal number"),
            (b"{\"a\":-1e999}", "cannot unmarshal number"),
            (b"{\"a\":[1e999],\"a\":1}", "cannot unmarshal number"),
            (b"{\"a\":1.7976931348623159e308}", "cannot unmarshal number"),
            (digits.as_bytes(), "cannot unmarshal number"),
        ] {
            for (secret_type, key) in BOTH {
                let case = Case::new(secret_type).with(key, file);
                let judged = place.judge(&case).await?;
                let start = format!("data[{key}]: Invalid value: \"<secret contents redacted>\"");
                let said = judged.says(422, &[&start, words]);
                said.with_context(|| case.outline())?;
                ensure!(judged.finds(Check::DockerJson));
            }
        }
        Ok(())
    })
}

/// Types §4.3 and §4.4, row "`{}`, `null`, duplicate keys, ...": what a strict parser refuses, and neither side does
#[test]
fn what_go_reads_as_an_object_is_taken_by_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let (below, most) = (nested(9_999), nested(10_000));
        let objects = format!("{}{{}}{}", "{\"a\":".repeat(9_999), "}".repeat(9_999));
        let digits = format!("{{\"a\":{}}}", "9".repeat(308));
        for file in [
            &b"{}"[..],
            b"null",
            b" null\n",
            b" \n{}\r\n\t",
            b"{\"auths\":{},\"auths\":{}}",
            b"{\"auths\":3}",
            b"{\"a\":\"\xff\xfe\"}",
            b"{\"\xff\":1}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":\"\x7f\"}",
            b"{\"a\":[-0,1e+5,1E5,1e-999,1.7976931348623157e308]}",
            digits.as_bytes(),
            below.as_bytes(),
            most.as_bytes(),
            objects.as_bytes(),
        ] {
            for (secret_type, key) in BOTH {
                let case = Case::new(secret_type).with(key, file);
                place.judge(&case).await?.taken()?;
            }
        }
        Ok(())
    })
}

/// Types §4.3, row "empty bytes; array; ...": the server's words may quote a character of the value, and of a number
/// beyond a double all of it. Our own refusal, which comes first, quotes nothing
#[test]
fn the_server_quotes_a_little_of_a_bad_file_and_we_nothing() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for (file, quoted) in [
            ("hunter2", "invalid character 'h'"),
            ("{\"auths\":77031e999}", "number 77031e999"),
        ] {
            for (secret_type, key) in BOTH {
                let case = Case::new(secret_type).with(key, file);
                let judged = place.judge(&case).await?;
                judged.says(422, &[quoted])?;
                ensure!(!judged.reply.message.contains("hunter2"));
                for finding in judged.findings.list() {
                    let told = finding.to_string();
                    ensure!(
                        !told.contains("hunter") && !told.contains("77031"),
                        "{told}"
                    );
                }
            }
        }
        Ok(())
    })
}
