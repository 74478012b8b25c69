//! Certificates and keys as servers and clients see them.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, date_time_ymd,
};

use super::{Case, fixture};
use crate::pem;
use crate::secret_type::SecretType;
use crate::validate::Check;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn tls(crt: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Case {
    Case::new(&SecretType::Tls)
        .with("tls.crt", crt)
        .with("tls.key", key)
}

/// A certificate for one host, valid through 2029 and 2030.
fn params(host: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, host);
    params.not_before = date_time_ymd(2029, 1, 1);
    params.not_after = date_time_ymd(2031, 1, 1);
    params
}

fn pair(params: &CertificateParams) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn leaf() -> (String, String) {
    (text(fixture!("leaf.crt")), text(fixture!("leaf.key")))
}

#[test]
fn sound_pairs_of_every_algorithm_raise_nothing() {
    for algorithm in [
        &PKCS_ED25519,
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let crt = params("a.example").self_signed(&key).unwrap().pem();
        tls(crt, key.serialize_pem()).tells(&[]);
    }
    for (crt, key) in [
        (fixture!("leaf.crt"), fixture!("leaf.key")),
        (fixture!("leaf.crt"), fixture!("leaf.pkcs1.key")),
        (fixture!("p256.crt"), fixture!("p256.sec1.key")),
        (fixture!("p521.crt"), fixture!("p521.key")),
        (fixture!("p521.crt"), fixture!("p521.sec1-no-public.key")),
        (fixture!("p224.crt"), fixture!("p224.key")),
    ] {
        tls(crt, key).tells(&[]);
    }
}

/// 4.7, row "expired; ...; 201, no warning": what Go reads without a word.
#[test]
fn odd_but_readable_pem_raises_nothing() {
    let (crt, key) = leaf();
    let without_end = |text: &str| text.trim_end().to_owned();
    for (crt, key) in [
        (format!("some text\n{crt}"), key.clone()),
        (crt.replace('\n', "\r\n"), key.replace('\n', "\r\n")),
        (without_end(&crt), without_end(&key)),
        (crt.clone(), format!("{key}{}", text(fixture!("p521.key")))),
        (format!("{crt}{}", text(fixture!("rest.pem"))), key.clone()),
    ] {
        tls(crt, key).tells(&[]);
    }
}

/// 4.7, row "both empty; DER; base64 of PEM; ...": `tls.pem` and `tls.key-format`.
#[test]
fn what_is_no_pem_is_told_for_both_halves() {
    let (crt, key) = leaf();
    let spoilt: [fn(&str) -> String; 7] = [
        |_| String::new(),
        |pem| pem.replace('\n', "\\n"),
        |pem| pem.replace('\n', " "),
        |pem| pem.lines().map(|line| format!("  {line}\n")).collect(),
        |pem| pem.replace('\n', "\r"),
        |pem| pem.repeat(2).replace("-----\n-----", "----------"),
        |pem| pem.lines().collect(),
    ];
    for spoil in spoilt {
        let case = tls(spoil(&crt), spoil(&key));
        case.tells(&[Check::TlsPem, Check::TlsKeyFormat]);
        assert!(!case.findings().refused());
    }
    tls(format!("\u{feff}{crt}"), &key).tells(&[Check::TlsPem, Check::ValueBom]);
    tls(&crt, format!("\u{feff}{key}")).tells(&[Check::TlsKeyFormat, Check::ValueBom]);
    let cut = |pem: &str| format!("{}\r", pem.trim_end().replace('\n', "\r\n"));
    tls(cut(&crt), &key).tells(&[Check::TlsPem]);
    tls(&crt, cut(&key)).tells(&[Check::TlsKeyFormat]);
}

/// 4.7: a check whose precondition fails counts as failed, and only the cause is told.
#[test]
fn without_a_certificate_all_that_follows_counts_as_failed() {
    let (_, key) = leaf();
    let case = tls("", key);
    case.tells(&[Check::TlsPem]);
    assert_eq!(
        case.remembers(),
        [
            Check::TlsPem,
            Check::TlsCertParse,
            Check::TlsPair,
            Check::TlsExpired,
            Check::TlsNotYetValid,
            Check::TlsChain,
        ]
    );
}

/// 4.7, rows "mismatch" and "chain reversed": `tls.pair`.
#[test]
fn halves_of_different_pairs_are_told() {
    let (crt, key) = leaf();
    for other in [
        fixture!("rsa1024.key"),
        fixture!("p521.key"),
        fixture!("p224.key"),
        fixture!("p256.sec1.key"),
    ] {
        tls(&crt, other).tells(&[Check::TlsPair]);
    }
    for algorithm in [
        &PKCS_ED25519,
        &PKCS_ECDSA_P256_SHA256,
        &PKCS_ECDSA_P384_SHA384,
    ] {
        let own = KeyPair::generate_for(algorithm).unwrap();
        let other = KeyPair::generate_for(algorithm).unwrap();
        let crt = params("a.example").self_signed(&own).unwrap().pem();
        tls(crt, other.serialize_pem()).tells(&[Check::TlsPair]);
    }
    let reversed = format!("{}{crt}", text(fixture!("int.crt")));
    tls(reversed, key).fails(&[Check::TlsPair, Check::TlsChain]);
}

/// 4.7, row "key encrypted, OpenSSH format, DSA, Ed448": `tls.key-format`.
#[test]
fn keys_that_no_server_reads_are_told() {
    let (crt, _) = leaf();
    for (key, part) in [
        (fixture!("encrypted.pkcs1.key"), "passphrase"),
        (fixture!("encrypted.pkcs8.key"), "passphrase"),
        (fixture!("ssh.rsa"), "OpenSSH"),
        (fixture!("dsa.key"), "DSA"),
        (fixture!("dsa.pkcs8.key"), "DSA"),
        (fixture!("ed448.key"), "algorithm"),
        (fixture!("secp256k1.key"), "curve"),
        (fixture!("public.pem"), "PUBLIC KEY"),
        (fixture!("leaf.crt"), "switched"),
    ] {
        let case = tls(&crt, key);
        case.tells(&[Check::TlsKeyFormat]);
        let told = case.texts(Check::TlsKeyFormat);
        assert!(told.contains(part), "{told}");
        assert_eq!(case.remembers(), [Check::TlsKeyFormat, Check::TlsPair]);
    }
}

/// Go looks at the primes too, and a server could sign nothing with such a key.
#[test]
fn a_damaged_rsa_key_is_told() {
    let (crt, key) = leaf();
    let lines: Vec<&str> = key.lines().collect();
    let damaged: String = (0..)
        .zip(lines)
        .map(|(number, line)| match number {
            // Within the first prime.
            14 => format!("{}\n", line.chars().rev().collect::<String>()),
            _ => format!("{line}\n"),
        })
        .collect();
    let case = tls(crt, damaged);
    case.tells(&[Check::TlsKeyFormat]);
    assert!(case.texts(Check::TlsKeyFormat).contains("damaged"));
}

/// Go passes over bytes behind PKCS#8 and SEC1, not over those behind PKCS#1.
#[test]
fn bytes_behind_a_key_are_judged_as_go_does() {
    let longer = |key: &[u8], label: &str| {
        let blocks = pem::blocks(key);
        let block = blocks.iter().find(|block| block.is_private_key()).unwrap();
        pem::write(label, &[block.der.as_slice(), b"\0"].concat()).to_vec()
    };
    for (crt, key, label, expected) in [
        (
            fixture!("leaf.crt"),
            fixture!("leaf.key"),
            "PRIVATE KEY",
            &[][..],
        ),
        (
            fixture!("p256.crt"),
            fixture!("p256.sec1.key"),
            "EC PRIVATE KEY",
            &[][..],
        ),
        (
            fixture!("leaf.crt"),
            fixture!("leaf.pkcs1.key"),
            "RSA PRIVATE KEY",
            &[Check::TlsKeyFormat][..],
        ),
    ] {
        tls(crt, longer(key, label)).tells(expected);
    }
}

/// 4.7, rows "swapped" and "TRUSTED CERTIFICATE or CSR".
#[test]
fn other_blocks_in_the_place_of_a_certificate_are_named() {
    let (crt, key) = leaf();
    for (blocks, part) in [
        (fixture!("trusted.crt"), "TRUSTED CERTIFICATE"),
        (fixture!("request.csr"), "CERTIFICATE REQUEST"),
    ] {
        let case = tls(blocks, &key);
        case.tells(&[Check::TlsPem]);
        let told = case.texts(Check::TlsPem);
        assert!(told.contains(part), "{told}");
    }
    let swapped = tls(&key, &crt);
    swapped.tells(&[Check::TlsPem, Check::TlsKeyFormat, Check::TlsKeyInCrt]);
    assert!(swapped.texts(Check::TlsPem).contains("switched"));
}

/// 4.7, row "broken DER in the first block / secp256k1": `tls.cert-parse`.
#[test]
fn a_first_certificate_that_does_not_parse_is_told() {
    let (_, key) = leaf();
    let broken = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    tls(broken, &key).tells(&[Check::TlsCertParse]);
    let curve = tls(fixture!("secp256k1.crt"), fixture!("secp256k1.key"));
    curve.tells(&[Check::TlsKeyFormat, Check::TlsCertParse]);
    tls(fixture!("ed448.crt"), &key).tells(&[Check::TlsPair]);
}

/// 4.7 `tls.expired`, `tls.not-yet-valid`: 60 s of tolerance.
#[test]
fn dates_are_judged_with_a_minute_of_tolerance() {
    let (crt, key) = pair(&params("a.example"));
    for (now, expected) in [
        ("2028-12-31T23:58:59Z", &[Check::TlsNotYetValid][..]),
        ("2028-12-31T23:59:00Z", &[]),
        ("2029-01-01T00:00:00Z", &[]),
        ("2031-01-01T00:01:00Z", &[Check::TlsExpiring]),
        ("2031-01-01T00:01:01Z", &[Check::TlsExpired]),
    ] {
        tls(&crt, &key).at(now).tells(expected);
    }
}

/// 4.7 `tls.expiring`: the smaller of a third of the life and seven days.
#[test]
fn the_last_days_are_told() {
    let (long, long_key) = pair(&params("a.example"));
    let mut short = params("a.example");
    short.not_after = date_time_ymd(2029, 1, 4);
    let (short, short_key) = pair(&short);
    for (crt, key, now, expiring) in [
        (&long, &long_key, "2030-12-24T23:59:00Z", false),
        (&long, &long_key, "2030-12-25T00:00:01Z", true),
        (&short, &short_key, "2029-01-02T23:59:00Z", false),
        (&short, &short_key, "2029-01-03T00:00:01Z", true),
    ] {
        let expected = [Check::TlsExpiring];
        let expected = if expiring { &expected[..] } else { &[] };
        tls(crt, key).at(now).tells(expected);
    }
}

#[test]
fn a_certificate_without_an_end_is_judged() {
    let mut endless = params("a.example");
    endless.not_after = date_time_ymd(9999, 12, 31);
    let (crt, key) = pair(&endless);
    tls(crt, key).tells(&[]);
}

/// 4.7 `tls.chain`.
#[test]
fn each_certificate_must_have_issued_the_one_before() {
    let (crt, key) = leaf();
    let (int, root) = (text(fixture!("int.crt")), text(fixture!("root.crt")));
    let other = text(fixture!("p521.crt"));
    let broken = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    tls(format!("{crt}{int}{root}"), &key).tells(&[]);
    for (chain, part) in [
        (
            format!("{crt}{root}"),
            "certificate 2 did not issue certificate 1",
        ),
        (
            format!("{crt}{root}{int}"),
            "certificate 3 did not issue certificate 2",
        ),
        (
            format!("{crt}{int}{other}"),
            "certificate 3 did not issue certificate 2",
        ),
        (format!("{crt}{broken}"), "certificate 2 does not parse"),
    ] {
        let case = tls(chain, &key);
        case.tells(&[Check::TlsChain]);
        assert!(case.texts(Check::TlsChain).contains(part));
    }
}

/// 4.7 `tls.chain`: a renewed authority has the name of the old one and another key.
#[test]
fn an_authority_of_the_same_name_with_another_key_is_not_the_issuer() {
    let authority = |key: &KeyPair| {
        let mut params = params("authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(key).unwrap().pem()
    };
    let mut issuer_params = params("authority");
    issuer_params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (old, new) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let key = KeyPair::generate().unwrap();
    let (of_old, of_new) = (authority(&old), authority(&new));
    let issuer = Issuer::new(issuer_params, old);
    let crt = params("a.example").signed_by(&key, &issuer).unwrap().pem();
    let key = key.serialize_pem();
    tls(format!("{crt}{of_old}"), &key).tells(&[]);
    tls(format!("{crt}{of_new}"), &key).tells(&[Check::TlsChain]);
    tls(&crt, &key).with("ca.crt", of_old).tells(&[]);
    tls(&crt, &key)
        .with("ca.crt", of_new)
        .tells(&[Check::TlsCaUnrelated]);
}

/// 4.7 `tls.key-in-crt`.
#[test]
fn a_key_among_the_certificates_is_told() {
    let (crt, key) = leaf();
    tls(format!("{crt}{key}"), &key).tells(&[Check::TlsKeyInCrt]);
}

/// 4.7 `tls.ca`, `tls.ca-unrelated`.
#[test]
fn an_authority_is_judged_where_it_is_there() {
    let (crt, key) = leaf();
    let chain = format!("{crt}{}", text(fixture!("int.crt")));
    let with = |chain: &str, ca: &[u8]| tls(chain, &key).with("ca.crt", ca);
    with(&chain, fixture!("root.crt")).tells(&[]);
    with(&crt, fixture!("int.crt")).tells(&[]);
    with(&crt, fixture!("root.crt")).tells(&[Check::TlsCaUnrelated]);
    with(&chain, fixture!("p521.crt")).tells(&[Check::TlsCaUnrelated]);
    for garbage in [&b"garbage"[..], b"", fixture!("leaf.key")] {
        with(&chain, garbage).tells(&[Check::TlsCa]);
    }
}

/// 4.7 `tls.leaf-is-ca`, `tls.no-san`, `tls.weak`.
#[test]
fn doubtful_certificates_are_told() {
    let mut authority = params("a.example");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (crt, key) = pair(&authority);
    tls(crt, key).tells(&[Check::TlsLeafIsCa]);

    let mut nameless = params("a.example");
    nameless.subject_alt_names.clear();
    let (crt, key) = pair(&nameless);
    tls(crt, key).tells(&[Check::TlsNoSan]);

    tls(fixture!("rsa1024.crt"), fixture!("rsa1024.key")).tells(&[Check::TlsWeak]);
}
