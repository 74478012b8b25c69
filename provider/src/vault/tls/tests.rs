//! TLS files good and bad, and links that lead out of the operator's directory.

use std::fs;
use std::os::unix::fs::symlink;

use coffer_provider_core::target::{Ca, Tls};

use super::{fingerprint, load};

fn certificate() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["store".to_owned()]).unwrap();
    (
        parameters.self_signed(&key).unwrap().pem(),
        key.serialize_pem(),
    )
}

fn ca(ca: Ca) -> Tls {
    Tls {
        ca,
        ..Tls::default()
    }
}

fn refusal(tls: &Tls, dirs: &[String]) -> String {
    load(tls, dirs).err().unwrap().what
}

#[test]
fn a_file_a_directory_and_inline_text_are_trusted() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (pem, key) = certificate();
    fs::write(path("ca.pem"), &pem).unwrap();
    assert!(load(&ca(Ca::File(path("ca.pem"))), &[]).is_ok());
    assert!(load(&ca(Ca::Directory(path(""))), &[]).is_ok());
    assert!(load(&ca(Ca::Pem(pem)), &[]).is_ok());
    fs::write(path("key.pem"), key).unwrap();
    let client = Tls {
        client: Some((path("ca.pem"), path("key.pem"))),
        ..Tls::default()
    };
    assert!(load(&client, &[]).is_ok());
}

#[test]
fn what_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    assert!(refusal(&ca(Ca::File(path("none"))), &[]).contains("No such file"));
    assert!(refusal(&ca(Ca::Directory(path(""))), &[]).contains("holds no certificate"));
    fs::write(path("bad.pem"), "not pem").unwrap();
    assert!(
        refusal(&ca(Ca::Directory(path(""))), &[])
            .contains("bad.pem\" cannot be used: holds no PEM certificate")
    );
    assert!(refusal(&ca(Ca::Pem("x".to_owned())), &[]).starts_with("inline CA cannot be used"));
    let client = Tls {
        client: Some((path("bad.pem"), path("bad.pem"))),
        ..Tls::default()
    };
    assert!(refusal(&client, &[]).starts_with("client certificate"));
}

#[test]
fn a_link_out_of_the_operators_directory_is_refused_and_one_within_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let tls = dir.path().join("tls");
    fs::create_dir_all(tls.join("..data")).unwrap();
    let (pem, _) = certificate();
    fs::write(tls.join("..data/ca.pem"), &pem).unwrap();
    fs::write(dir.path().join("outside.pem"), &pem).unwrap();
    symlink("..data/ca.pem", tls.join("ca.pem")).unwrap();
    symlink("../outside.pem", tls.join("out.pem")).unwrap();
    let dirs = [tls.to_str().unwrap().to_owned()];
    let file = |name: &str| ca(Ca::File(tls.join(name).to_str().unwrap().to_owned()));
    assert!(load(&file("ca.pem"), &dirs).is_ok());
    assert!(load(&file("out.pem"), &dirs).is_err());
    assert!(load(&file("out.pem"), &[]).is_ok());
}

#[test]
fn a_replaced_file_changes_the_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let setting = ca(Ca::File(path.to_str().unwrap().to_owned()));
    let absent = fingerprint(&setting);
    fs::write(&path, "a").unwrap();
    let first = fingerprint(&setting);
    fs::write(dir.path().join("new"), "b").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    let second = fingerprint(&setting);
    assert!(absent != first && first != second && second == fingerprint(&setting));
}
