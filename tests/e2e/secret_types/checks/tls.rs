//! Pairs of certificate and key that no server can use, or no client accepts.

use anyhow::Result;
use coffer_sync_core::validate::Check;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, date_time_ymd};

use super::{Case, Row, fixture};

const CRT: &[u8] = fixture!("leaf.crt");
const KEY: &[u8] = fixture!("leaf.key");
/// A certificate whose DER ends after three bytes.
const BROKEN: &[u8] = b"-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";

fn tls(crt: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Case {
    Case::new("kubernetes.io/tls")
        .with("tls.crt", crt)
        .with("tls.key", key)
}

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A pair of its own, whose certificate is changed before it is signed. It holds a year before and after `NOW`.
fn issued(change: impl FnOnce(&mut CertificateParams)) -> Result<Case> {
    let host = "a.example";
    let mut params = CertificateParams::new(vec![host.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, host);
    params.not_before = date_time_ymd(2029, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    change(&mut params);
    let key = KeyPair::generate()?;
    Ok(tls(params.self_signed(&key)?.pem(), key.serialize_pem()))
}

type Day = (i32, u8, u8);

/// The same, valid between these days.
fn dated(from: Day, until: Day) -> Result<Case> {
    issued(|params| {
        params.not_before = date_time_ymd(from.0, from.1, from.2);
        params.not_after = date_time_ymd(until.0, until.1, until.2);
    })
}

pub(super) fn pairs() -> Result<Vec<Row>> {
    let rows = [halves()?, dates()?, chains()?, leaves()?];
    Ok(rows.into_iter().flatten().collect())
}

/// Each half for itself, and whether they belong together.
fn halves() -> Result<Vec<Row>> {
    let of_leaf = |key: &[u8]| tls(CRT, key);
    let with_key = |crt: &[u8]| tls(crt, KEY);
    let reversed = joined(&[fixture!("int.crt"), CRT]);
    let stranger = KeyPair::generate()?.serialize_pem();
    Ok(vec![
        Row::of(Check::TlsPem)
            .bad([&b""[..], fixture!("trusted.crt"), fixture!("request.csr")].map(with_key))
            .good([tls(CRT, KEY)]),
        Row::of(Check::TlsPem)
            .beside(&[Check::TlsKeyFormat, Check::TlsKeyInCrt])
            .bad([tls(KEY, CRT)])
            .good([tls(CRT, KEY)]),
        Row::of(Check::TlsKeyFormat)
            .bad([&b""[..], CRT, fixture!("public.pem"), fixture!("ssh.rsa")].map(of_leaf))
            .bad(
                [
                    fixture!("encrypted.pkcs1.key"),
                    fixture!("encrypted.pkcs8.key"),
                ]
                .map(of_leaf),
            )
            .bad(
                [
                    fixture!("dsa.key"),
                    fixture!("ed448.key"),
                    fixture!("secp256k1.key"),
                ]
                .map(of_leaf),
            )
            .good([KEY, fixture!("leaf.pkcs1.key")].map(of_leaf))
            .good([tls(fixture!("p256.crt"), fixture!("p256.sec1.key"))]),
        Row::of(Check::TlsCertParse)
            .bad([BROKEN, fixture!("secp256k1.crt")].map(with_key))
            .bad([with_key(&joined(&[BROKEN, CRT]))])
            .good([tls(CRT, KEY)]),
        Row::of(Check::TlsPair)
            .bad(
                [
                    fixture!("rsa1024.key"),
                    fixture!("p521.key"),
                    fixture!("p256.sec1.key"),
                ]
                .map(of_leaf),
            )
            .bad([tls(CRT, stranger)])
            .good([
                tls(CRT, KEY),
                tls(fixture!("p521.crt"), fixture!("p521.key")),
            ]),
        Row::of(Check::TlsPair)
            .beside(&[Check::TlsChain, Check::TlsLeafIsCa, Check::TlsNoSan])
            .bad([with_key(&reversed)])
            .good([with_key(&joined(&[CRT, fixture!("int.crt")]))]),
    ])
}

fn dates() -> Result<Vec<Row>> {
    let sound = || issued(|_| {});
    Ok(vec![
        Row::of(Check::TlsExpired)
            .bad([dated((2029, 1, 1), (2029, 12, 31))?])
            .good([sound()?]),
        Row::of(Check::TlsNotYetValid)
            .bad([dated((2030, 1, 2), (2031, 1, 1))?])
            .good([sound()?]),
        Row::of(Check::TlsExpiring)
            // Of two years six days are left or eight, of some days less than a third or more.
            .bad([dated((2028, 1, 1), (2030, 1, 7))?])
            .good([dated((2028, 1, 1), (2030, 1, 9))?])
            .bad([dated((2029, 12, 29), (2030, 1, 2))?])
            .good([dated((2029, 12, 31), (2030, 1, 3))?]),
    ])
}

/// What stands behind the first certificate, and under `ca.crt`.
fn chains() -> Result<Vec<Row>> {
    let (int, root, other) = (
        fixture!("int.crt"),
        fixture!("root.crt"),
        fixture!("p521.crt"),
    );
    let chain = |parts: &[&[u8]]| tls(joined(&[CRT, &joined(parts)]), KEY);
    let with = |parts: &[&[u8]], ca: &[u8]| chain(parts).with("ca.crt", ca);
    Ok(vec![
        Row::of(Check::TlsChain)
            .bad([chain(&[root]), chain(&[root, int])])
            .bad([chain(&[int, other]), chain(&[BROKEN])])
            .good([chain(&[]), chain(&[int]), chain(&[int, root])]),
        Row::of(Check::TlsKeyInCrt)
            .bad([chain(&[KEY]), tls(joined(&[KEY, CRT]), KEY)])
            .good([chain(&[])]),
        Row::of(Check::TlsCa)
            .bad([&b"garbage"[..], b"", KEY].map(|ca| with(&[int], ca)))
            .good([with(&[int], root), chain(&[int])]),
        Row::of(Check::TlsCaUnrelated)
            .bad([with(&[], root), with(&[int], other)])
            .good([with(&[], int), with(&[int], root), with(&[int, root], root)]),
    ])
}

/// What clients ask of the first certificate.
fn leaves() -> Result<Vec<Row>> {
    let authority = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(vec![
        Row::of(Check::TlsLeafIsCa)
            .bad([issued(|params| params.is_ca = authority)?])
            .good([issued(|_| {})?]),
        Row::of(Check::TlsNoSan)
            .bad([issued(|params| params.subject_alt_names.clear())?])
            .good([issued(|_| {})?]),
        Row::of(Check::TlsWeak)
            .bad([tls(fixture!("rsa1024.crt"), fixture!("rsa1024.key"))])
            .good([tls(CRT, KEY), issued(|_| {})?]),
    ])
}
