//! Certificate, key and authority out of one file.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ED25519,
    PublicKeyData, date_time_ymd,
};

use super::{built, faults, fixture, makes, refuses};
use crate::build::BuildReason;
use crate::secret_type::SecretType;

const TLS: SecretType = SecretType::Tls;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The files of the test data: leaf, its key, intermediate, root.
fn files() -> [String; 4] {
    let rest = text(fixture!("rest.pem"));
    let end = "-----END CERTIFICATE-----\n";
    let (int, root) = rest.split_at(rest.find(end).unwrap() + end.len());
    [
        text(fixture!("leaf.crt")),
        text(fixture!("leaf.key")),
        int.to_owned(),
        root.to_owned(),
    ]
}

#[track_caller]
fn arranges(inputs: &[(&str, &[u8])], crt: &str, key: &str, ca: Option<&str>) {
    let built = built(&TLS, inputs);
    let mut expected = vec![
        ("tls.crt".to_owned(), crt.to_owned()),
        ("tls.key".to_owned(), key.to_owned()),
    ];
    if let Some(ca) = ca {
        expected.insert(0, ("ca.crt".to_owned(), ca.to_owned()));
    }
    assert_eq!(built, expected);
}

/// Section 5, row "the same file".
#[test]
fn one_file_under_both_keys_is_taken_apart() {
    let [leaf, key, int, _] = files();
    for bundle in [
        format!("{key}{leaf}{int}"),
        format!("comment\n{leaf}{int}{key}"),
        format!("{leaf}{key}{int}").trim_end().to_owned(),
    ] {
        let inputs = [
            ("tls.crt", bundle.as_bytes()),
            ("tls.key", bundle.as_bytes()),
        ];
        arranges(&inputs, &format!("{leaf}{int}"), &key, None);
    }
    let sec1 = text(fixture!("p256.sec1.key"));
    let both = format!("{}{sec1}", text(fixture!("p256.crt")));
    let only_key = &sec1[sec1.find("-----BEGIN EC PRIVATE").unwrap()..];
    let inputs = [("tls.crt", both.as_bytes()), ("tls.key", both.as_bytes())];
    arranges(&inputs, &text(fixture!("p256.crt")), only_key, None);
}

#[test]
fn ed25519_is_taken_apart_like_any_other() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    let (crt, key) = (params.self_signed(&key).unwrap().pem(), key.serialize_pem());
    let bundle = format!("{crt}{key}");
    let unified = |pem: &str| pem.replace("\r\n", "\n");
    let pair = [
        ("tls.crt", bundle.as_bytes()),
        ("tls.key", bundle.as_bytes()),
    ];
    let pem = [("tls.pem", bundle.as_bytes())];
    for inputs in [&pair[..], &pem[..]] {
        let built = built(&TLS, inputs);
        let built: Vec<String> = built.iter().map(|(_, value)| unified(value)).collect();
        assert_eq!(built, [unified(&crt), unified(&key)]);
    }
}

/// Section 5, last paragraph: clean files are copied byte for byte.
#[test]
fn files_that_are_clean_are_left_alone() {
    let [leaf, key, ..] = files();
    let crt = format!("# comment\r\n{leaf}").trim_end().to_owned();
    makes(
        &TLS,
        &[("tls.crt", &crt), ("tls.key", &key)],
        &[("tls.crt", &crt), ("tls.key", &key)],
    );
    for same in ["", "garbage", leaf.as_str(), key.as_str()] {
        let inputs = [("tls.crt", same), ("tls.key", same)];
        makes(&TLS, &inputs, &inputs);
    }
}

/// Section 5, row "tls.pem": leaf first, issuers in order, the root apart.
#[test]
fn a_bundle_in_any_order_is_arranged() {
    let [leaf, key, int, root] = files();
    let chain = format!("{leaf}{int}");
    for bundle in [
        format!("{root}{int}{leaf}{key}"),
        format!("{key}{int}{leaf}{root}"),
        format!("{leaf}{int}{root}{key}{int}"),
    ] {
        arranges(&[("tls.pem", bundle.as_bytes())], &chain, &key, Some(&root));
    }
    let rootless = format!("{int}{leaf}{key}");
    arranges(&[("tls.pem", rootless.as_bytes())], &chain, &key, None);
    let pkcs1 = text(fixture!("leaf.pkcs1.key"));
    let other_form = format!("{pkcs1}{leaf}");
    arranges(&[("tls.pem", other_form.as_bytes())], &leaf, &pkcs1, None);
    let own = format!("{rootless}{}", text(fixture!("p521.crt")));
    let inputs = [("tls.pem", own.as_bytes()), ("ca.crt", b"mine")];
    arranges(&inputs, &chain, &key, Some("mine"));
}

#[test]
fn a_certificate_that_signed_itself_stays_in_its_place() {
    let (crt, key) = (text(fixture!("p521.crt")), text(fixture!("p521.key")));
    let bundle = format!("{key}{crt}");
    arranges(&[("tls.pem", bundle.as_bytes())], &crt, &key, None);
}

#[test]
fn a_chain_that_goes_in_circles_ends() {
    let name = |common: &str| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, common);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2029, 1, 1);
        params
    };
    let (a, b) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let key = a.serialize_pem();
    let public = |key: &KeyPair| {
        rcgen::SubjectPublicKeyInfo::from_der(&key.subject_public_key_info()).unwrap()
    };
    let (public_a, public_b) = (public(&a), public(&b));
    let of_a = Issuer::new(name("a"), a);
    let of_b = Issuer::new(name("b"), b);
    let a_by_b = name("a").signed_by(&public_a, &of_b).unwrap().pem();
    let b_by_a = name("b").signed_by(&public_b, &of_a).unwrap().pem();
    let bundle = format!("{a_by_b}{b_by_a}{key}");
    let built = built(&TLS, &[("tls.pem", bundle)]);
    assert_eq!(built[0].1.matches("BEGIN").count(), 2);
}

#[test]
fn a_chain_of_twenty_is_built_and_a_longer_one_refused() {
    let params = |number: usize| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("ca {number}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let bundle = |length: usize| {
        let mut issuer = Issuer::new(params(0), KeyPair::generate().unwrap());
        let mut bundle = String::new();
        for number in 1..=length {
            let key = KeyPair::generate().unwrap();
            let crt = params(number).signed_by(&key, &issuer).unwrap();
            bundle.push_str(&crt.pem());
            if number == length {
                bundle.push_str(&key.serialize_pem());
            }
            issuer = Issuer::new(params(number), key);
        }
        bundle
    };
    let twenty = built(&TLS, &[("tls.pem", bundle(20))]);
    assert_eq!(twenty[0].1.matches("BEGIN").count(), 20);
    let unreadable = [(BuildReason::Unreadable, "data[tls.pem]")];
    refuses(&TLS, &[("tls.pem", &bundle(21))], &unreadable);
}

/// Section 5, row "tls.pfx", section 7: AES, RC2 and 3DES.
#[test]
fn pfx_files_of_every_age_are_read() {
    let [leaf, key, int, root] = files();
    for pfx in [
        fixture!("aes.pfx"),
        fixture!("rc2.pfx"),
        fixture!("3des.pfx"),
    ] {
        for password in [&b"made-up"[..], b"made-up\n"] {
            let inputs = [("tls.pfx", pfx), ("tls.pfx-password", password)];
            arranges(&inputs, &format!("{leaf}{int}"), &key, Some(&root));
        }
    }
    for inputs in [
        &[("tls.pfx", fixture!("nopass.pfx"))][..],
        &[
            ("tls.pfx", fixture!("nopass.pfx")),
            ("tls.pfx-password", b""),
        ],
    ] {
        arranges(inputs, &leaf, &key, None);
    }
}

/// Section 5, row "tls.json".
#[test]
fn the_answer_of_a_pki_is_read() {
    let [leaf, key, int, root] = files();
    let answer = |members: &[(&str, serde_json::Value)]| {
        let mut object = serde_json::Map::new();
        object.insert("certificate".to_owned(), leaf.trim_end().into());
        object.insert("private_key".to_owned(), key.trim_end().into());
        for (name, value) in members {
            object.insert((*name).to_owned(), value.clone());
        }
        serde_json::Value::Object(object)
    };
    let chain = format!("{leaf}{int}");
    for (members, crt, ca) in [
        (vec![], &leaf, None),
        (
            vec![("issuing_ca", int.trim_end().into())],
            &chain,
            Some(&int),
        ),
        (
            vec![
                ("issuing_ca", int.as_str().into()),
                ("ca_chain", [int.as_str()].into()),
            ],
            &chain,
            Some(&int),
        ),
        (
            vec![
                ("issuing_ca", int.as_str().into()),
                ("ca_chain", [int.as_str(), root.as_str()].into()),
            ],
            &chain,
            Some(&root),
        ),
        (
            vec![("ca_chain", [root.as_str(), int.as_str()].into())],
            &chain,
            Some(&root),
        ),
    ] {
        let bare = answer(&members);
        let whole = serde_json::json!({ "request_id": "x", "data": bare });
        for json in [bare.to_string(), whole.to_string()] {
            arranges(
                &[("tls.json", json.as_bytes())],
                crt,
                &key,
                ca.map(String::as_str),
            );
        }
    }
}

#[test]
fn what_keeps_a_pair_from_being_built_is_told() {
    use BuildReason::{Ambiguous, Incomplete, Unreadable};
    let [leaf, key, ..] = files();
    let pair = format!("{leaf}{key}");
    let broken = "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n";
    for (inputs, reason, field) in [
        (
            vec![("tls.pem", pair.as_str()), ("tls.json", "{}")],
            Ambiguous,
            "data[tls.pem]",
        ),
        (
            vec![("tls.pem", &pair), ("tls.crt", &leaf)],
            Ambiguous,
            "data[tls.pem]",
        ),
        (vec![("tls.pem", &leaf)], Incomplete, "data[tls.pem]"),
        (vec![("tls.pem", &key)], Incomplete, "data[tls.pem]"),
        (vec![("tls.pem", "")], Incomplete, "data[tls.pem]"),
        (
            vec![("tls.pfx-password", "made-up")],
            Incomplete,
            "data[tls.pfx]",
        ),
        (vec![("tls.pfx", "garbage")], Unreadable, "data[tls.pfx]"),
        (vec![("tls.json", "{}")], Unreadable, "data[tls.json]"),
        (vec![("tls.json", "[")], Unreadable, "data[tls.json]"),
        (
            vec![("tls.pem", &format!("{pair}{broken}"))],
            Unreadable,
            "data[tls.pem]",
        ),
        (
            vec![("tls.pem", &format!("{leaf}{}", text(fixture!("p521.key"))))],
            Unreadable,
            "data[tls.pem]",
        ),
        (
            vec![("tls.pem", &format!("{leaf}{}", text(fixture!("ed448.key"))))],
            Unreadable,
            "data[tls.pem]",
        ),
        (
            vec![(
                "tls.pem",
                &format!("{leaf}{}", text(fixture!("encrypted.pkcs8.key"))),
            )],
            Unreadable,
            "data[tls.pem]",
        ),
    ] {
        refuses(&TLS, &inputs, &[(reason, field)]);
    }
    let wrong = [
        ("tls.pfx", fixture!("aes.pfx")),
        ("tls.pfx-password", b"other"),
    ];
    let told = faults(&TLS, &wrong);
    assert!(told[0].what.contains("password"), "{told:?}");
}
