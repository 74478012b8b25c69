//! Pairs of certificate and key: the server takes anything and warns; our checks hold what it warns of.
//!
//! Four of our checks together are the server's one warning. What else we hold, the server does not look at.

use std::iter;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use coffer_sync_core::validate::{Check, Class};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm, date_time_ymd,
};
use serde_json::json;

use super::{Case, Place, Reply, fixture};
use crate::world::run;

/// Exactly what the server warns of.
const PAIR: [Check; 4] = [
    Check::TlsPem,
    Check::TlsKeyFormat,
    Check::TlsCertParse,
    Check::TlsPair,
];
const NO_CERTIFICATE: &str = "tls: failed to find any PEM data in certificate input";
const NO_KEY: &str = "tls: failed to find any PEM data in key input";
const OTHER_KEY: &str = "tls: private key does not match public key";
const OTHER_TYPE: &str = "tls: private key type does not match public key type";
const UNREADABLE_KEY: &str = "tls: failed to parse private key";
/// A certificate whose DER ends after three bytes.
const BROKEN: &[u8] = b"-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";

const CRT: &[u8] = fixture!("leaf.crt");
const KEY: &[u8] = fixture!("leaf.key");

fn tls(crt: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Case {
    Case::new("kubernetes.io/tls")
        .with("tls.crt", crt)
        .with("tls.key", key)
}

fn both(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

fn key_of(algorithm: &'static SignatureAlgorithm) -> Result<KeyPair> {
    Ok(KeyPair::generate_for(algorithm)?)
}

/// A certificate of its own, valid between these years, and its key.
fn pair_between(from: i32, until: i32) -> Result<(String, String)> {
    let key = key_of(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = params()?;
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(vec!["a.example".to_owned()])?;
    params
        .distinguished_name
        .push(DnType::CommonName, "a.example");
    Ok(params)
}

/// What stands in the one block of a file.
fn der(pem: &[u8]) -> Result<Vec<u8>> {
    let lines = pem.split(|byte| *byte == b'\n');
    let inside: Vec<&[u8]> = lines.filter(|line| !line.starts_with(b"-")).collect();
    Ok(BASE64_STANDARD.decode(inside.concat())?)
}

/// The same with another text for every line end.
fn line_ends(pem: &[u8], end: &str) -> Vec<u8> {
    let lines = pem.split_inclusive(|byte| *byte == b'\n');
    lines
        .flat_map(|line| match line.strip_suffix(b"\n") {
            Some(line) => [line, end.as_bytes()].concat(),
            None => line.to_vec(),
        })
        .collect()
}

fn indented(pem: &[u8]) -> Vec<u8> {
    let lines = pem.split_inclusive(|byte| *byte == b'\n');
    lines.flat_map(|line| [&b"  "[..], line].concat()).collect()
}

/// With CR and LF, but for the last LF.
fn cut(pem: &[u8]) -> Vec<u8> {
    both(&[&line_ends(pem.trim_ascii_end(), "\r\n"), b"\r"])
}

/// Two blocks whose lines `END` and `BEGIN` are one.
fn joined(pem: &[u8]) -> Vec<u8> {
    [pem.trim_ascii_end(), pem].concat()
}

impl Place {
    /// Fails unless the server takes it with this warning and we hold it for this check.
    async fn warns(&self, case: &Case, warning: &str, check: Check) -> Result<()> {
        let judged = self.judge(case).await?;
        judged.taken()?;
        judged.reply.warned(warning)?;
        ensure!(judged.finds(check), "{:?}", judged.findings.list());
        ensure!(check.class() == Class::Holdable && PAIR.contains(&check));
        Ok(())
    }

    /// Fails unless the server takes it without a word, and we find nothing wrong with the pair.
    async fn is_silent(&self, case: &Case) -> Result<()> {
        let judged = self.judge(case).await?;
        judged.taken()?;
        ensure!(
            judged.reply.warnings.is_empty(),
            "{:?}",
            judged.reply.warnings
        );
        let found = judged.findings.list();
        ensure!(!PAIR.iter().any(|check| judged.finds(*check)), "{found:?}");
        Ok(())
    }
}

impl Reply {
    fn warned(&self, words: &str) -> Result<()> {
        let [warning] = self.warnings.as_slice() else {
            bail!("one warning was expected: {:?}", self.warnings);
        };
        ensure!(warning.contains(words), "{words:?} is not in: {warning}");
        Ok(())
    }
}

/// Makes something else of a PEM file.
type Spoil = fn(&[u8]) -> Result<Vec<u8>>;

/// Types §4.7, row "both empty; DER; base64 of PEM; ...": nothing in it is PEM
#[test]
fn the_server_warns_of_what_is_no_pem_and_we_hold_it() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let spoilt: [Spoil; 11] = [
            |_| Ok(Vec::new()),
            der,
            |pem| Ok(BASE64_STANDARD.encode(pem).into_bytes()),
            |pem| Ok(line_ends(pem, "\\n")),
            |pem| Ok(line_ends(pem, " ")),
            |pem| Ok(line_ends(pem, "\r")),
            |pem| Ok(line_ends(pem, "")),
            |pem| Ok(indented(pem)),
            |pem| Ok(both(&[b"\xef\xbb\xbf", pem])),
            |pem| Ok(joined(pem)),
            |pem| Ok(cut(pem)),
        ];
        for spoil in spoilt {
            let (crt, key) = (spoil(CRT)?, spoil(KEY)?);
            place
                .warns(&tls(&crt, KEY), NO_CERTIFICATE, Check::TlsPem)
                .await?;
            place
                .warns(&tls(CRT, &key), NO_KEY, Check::TlsKeyFormat)
                .await?;
            place
                .warns(&tls(&crt, &key), NO_CERTIFICATE, Check::TlsPem)
                .await?;
        }
        Ok(())
    })
}

/// Types §4.7, row "mismatch: same / other algorithm"
#[test]
fn the_server_warns_of_halves_of_two_pairs_and_we_hold_them() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for (key, warning) in [
            (fixture!("rsa1024.key"), OTHER_KEY),
            (fixture!("p256.sec1.key"), OTHER_TYPE),
            (fixture!("p224.key"), OTHER_TYPE),
            (fixture!("p521.key"), OTHER_TYPE),
        ] {
            place.warns(&tls(CRT, key), warning, Check::TlsPair).await?;
        }
        let curves = tls(fixture!("p256.crt"), fixture!("p521.key"));
        place.warns(&curves, OTHER_KEY, Check::TlsPair).await?;
        for algorithm in [
            &PKCS_ED25519,
            &PKCS_ECDSA_P256_SHA256,
            &PKCS_ECDSA_P384_SHA384,
        ] {
            let (own, other) = (key_of(algorithm)?, key_of(algorithm)?);
            let crt = params()?.self_signed(&own)?.pem();
            place.is_silent(&tls(&crt, own.serialize_pem())).await?;
            let case = tls(&crt, other.serialize_pem());
            place.warns(&case, OTHER_KEY, Check::TlsPair).await?;
        }
        // The certificate's algorithm is none that TLS knows.
        let odd = tls(fixture!("ed448.crt"), KEY);
        let warning = "tls: unknown public key algorithm";
        place.warns(&odd, warning, Check::TlsPair).await
    })
}

/// Types §4.7, row "key encrypted, OpenSSH format, DSA, Ed448": keys that no server reads
#[test]
fn the_server_warns_of_keys_that_it_cannot_read_and_we_hold_them() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for key in [
            fixture!("encrypted.pkcs1.key"),
            fixture!("encrypted.pkcs8.key"),
            fixture!("ssh.rsa"),
            fixture!("ssh.ed25519"),
            fixture!("dsa.key"),
            fixture!("dsa.pkcs8.key"),
            fixture!("ed448.key"),
            fixture!("secp256k1.key"),
        ] {
            let case = tls(CRT, key);
            place
                .warns(&case, UNREADABLE_KEY, Check::TlsKeyFormat)
                .await?;
        }
        Ok(())
    })
}

/// Types §4.7, rows "chain reversed", "certificate and key swapped" and "`TRUSTED CERTIFICATE` or CSR block only": what
/// stands where the certificate or its key should
#[test]
fn the_server_warns_of_other_blocks_and_we_hold_them() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let reversed = both(&[fixture!("int.crt"), CRT]);
        let two_keys = both(&[fixture!("p521.key"), KEY]);
        for (crt, key, warning, check) in [
            (&reversed[..], KEY, "tls: private key", Check::TlsPair),
            (CRT, &two_keys[..], OTHER_TYPE, Check::TlsPair),
            (KEY, CRT, "PEM inputs may have been switched", Check::TlsPem),
            (
                CRT,
                CRT,
                "found a certificate rather than a key",
                Check::TlsKeyFormat,
            ),
            (
                fixture!("trusted.crt"),
                KEY,
                "[TRUSTED CERTIFICATE]",
                Check::TlsPem,
            ),
            (
                fixture!("request.csr"),
                KEY,
                "[CERTIFICATE REQUEST]",
                Check::TlsPem,
            ),
            (fixture!("public.pem"), KEY, "[PUBLIC KEY]", Check::TlsPem),
            (
                CRT,
                fixture!("public.pem"),
                "[PUBLIC KEY]",
                Check::TlsKeyFormat,
            ),
            (
                CRT,
                fixture!("request.csr"),
                "[CERTIFICATE REQUEST]",
                Check::TlsKeyFormat,
            ),
        ] {
            place.warns(&tls(crt, key), warning, check).await?;
        }
        Ok(())
    })
}

/// Types §4.7, row "broken DER in the first block / secp256k1": the first certificate counts
#[test]
fn the_server_warns_of_a_first_certificate_that_does_not_parse_and_we_hold_it() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let malformed = "x509: malformed certificate";
        let first = both(&[BROKEN, CRT]);
        for crt in [BROKEN, &first] {
            place
                .warns(&tls(crt, KEY), malformed, Check::TlsCertParse)
                .await?;
        }
        let curve = "x509: unsupported elliptic curve";
        for key in [fixture!("secp256k1.key"), KEY] {
            let case = tls(fixture!("secp256k1.crt"), key);
            place.warns(&case, curve, Check::TlsCertParse).await?;
        }
        Ok(())
    })
}

/// Types §4.7, row "expired; not yet valid; ...": what the server does not look at, or reads all the same. What of it
/// we hold, we hold for other reasons than the pair
#[test]
fn the_server_is_silent_where_the_pair_is_sound() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let more = |part: &[u8]| both(&[CRT, part]);
        for crt in [
            CRT.to_vec(),
            more(fixture!("rest.pem")),
            more(fixture!("p521.crt")),
            more(BROKEN),
            more(KEY),
            both(&[KEY, CRT]),
            both(&[b"some text\n", CRT]),
            line_ends(CRT, "\r\n"),
            line_ends(CRT, " \t\n"),
            line_ends(CRT, "\n\n"),
            CRT.trim_ascii_end().to_vec(),
        ] {
            place.is_silent(&tls(crt, KEY)).await?;
        }
        for key in [
            fixture!("leaf.pkcs1.key").to_vec(),
            both(&[KEY, fixture!("p521.key")]),
            both(&[b"some text\n", KEY]),
            line_ends(KEY, "\r\n"),
            KEY.trim_ascii_end().to_vec(),
        ] {
            place.is_silent(&tls(CRT, key)).await?;
        }
        for (crt, key) in [
            (fixture!("rsa1024.crt"), fixture!("rsa1024.key")),
            (fixture!("p224.crt"), fixture!("p224.key")),
            (fixture!("p521.crt"), fixture!("p521.key")),
            (fixture!("p521.crt"), fixture!("p521.sec1-no-public.key")),
            // The file begins with EC PARAMETERS.
            (fixture!("p256.crt"), fixture!("p256.sec1.key")),
        ] {
            place.is_silent(&tls(crt, key)).await?;
        }
        for authority in [&b"garbage"[..], b""] {
            let case = tls(CRT, KEY).with("ca.crt", authority);
            place.is_silent(&case).await?;
        }
        Ok(())
    })
}

/// Types §4.7, row "expired; not yet valid; ...": neither dates nor the kind of certificate is the server's business
#[test]
fn the_server_is_silent_about_dates_and_authorities() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for (from, until, check) in [
            (2000, 2001, Check::TlsExpired),
            (2090, 2091, Check::TlsNotYetValid),
        ] {
            let (crt, key) = pair_between(from, until)?;
            let case = tls(crt, key);
            place.is_silent(&case).await?;
            let findings = case.findings(&place.namespace)?;
            ensure!(findings.checks().contains(&check), "{check:?}");
        }
        let key = key_of(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = params()?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = tls(params.self_signed(&key)?.pem(), key.serialize_pem());
        place.is_silent(&authority).await
    })
}

/// Bytes behind a key: the server passes over them in PKCS#8 and SEC1 and not in PKCS#1, and so do we
#[test]
fn bytes_behind_a_key_are_judged_alike() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let sec1 = fixture!("p256.sec1.key");
        let start = b"-----BEGIN EC PRIVATE KEY";
        let at = sec1.windows(start.len()).position(|part| part == start);
        let (_, sec1) = sec1.split_at(at.context("no EC key")?);
        for (crt, pem, label, silent) in [
            (CRT, KEY, "PRIVATE KEY", true),
            (fixture!("p256.crt"), sec1, "EC PRIVATE KEY", true),
            (CRT, fixture!("leaf.pkcs1.key"), "RSA PRIVATE KEY", false),
        ] {
            let longer = [&der(pem)?[..], b"\0"].concat();
            let longer = BASE64_STANDARD.encode(longer);
            let key = format!("-----BEGIN {label}-----\n{longer}\n-----END {label}-----\n");
            let case = tls(crt, key);
            if silent {
                place.is_silent(&case).await?;
            } else {
                place
                    .warns(&case, UNREADABLE_KEY, Check::TlsKeyFormat)
                    .await?;
            }
        }
        Ok(())
    })
}

/// Types §4.7, row "any of the warned cases": with every write, also of metadata only and as a dry run, and no read
#[test]
fn the_warning_comes_with_every_write_and_no_read() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let case = tls(CRT, fixture!("rsa1024.key"));
        let marked = case.clone().label("a", "b");
        place.dry_run(&case).await?.warned(OTHER_KEY)?;
        for case in iter::once(&case).chain(iter::repeat_n(&marked, 2)) {
            place.write(case).await?.warned(OTHER_KEY)?;
        }
        let label = json!({"metadata": {"labels": {"a": "c"}}});
        place.merge(&case.name, &label).await?.warned(OTHER_KEY)?;
        let read = place.get(&case.name).await?;
        read.taken()?;
        ensure!(read.warnings.is_empty(), "{:?}", read.warnings);
        Ok(())
    })
}
