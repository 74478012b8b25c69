//! Whether the key or the login is of use to anybody.

use super::{Case, fixture};
use crate::secret_type::SecretType;
use crate::validate::Check;

fn ssh(key: impl AsRef<[u8]>) -> Case {
    Case::new(&SecretType::SshAuth)
        .with("ssh-privatekey", key)
        .with("known_hosts", "x")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// 4.6: every form that OpenSSH reads.
#[test]
fn usable_keys_raise_nothing() {
    for key in [
        fixture!("ssh.ed25519"),
        fixture!("ssh.rsa"),
        fixture!("ssh.p521"),
        fixture!("leaf.pkcs1.key"),
        fixture!("leaf.key"),
        fixture!("p256.sec1.key"),
        fixture!("p521.key"),
    ] {
        ssh(key).tells(&[]);
    }
}

/// 4.6 `ssh.parse`.
#[test]
fn what_is_no_key_is_told() {
    let damaged = text(fixture!("ssh.ed25519")).replacen("b3BlbnNzaC1r", "b3BlbnNzaC1s", 1);
    for key in [
        "Pouring6%Emoticon%Scuba",
        "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        &damaged,
    ] {
        ssh(key).tells(&[Check::SshParse]);
    }
    ssh(fixture!("secp256k1.key")).tells(&[Check::SshParse]);
    ssh(fixture!("p224.key")).tells(&[Check::SshParse]);
    ssh(fixture!("leaf.crt")).tells(&[Check::SshParse]);
}

/// 4.6 `ssh.public`.
#[test]
fn a_public_key_is_told_and_nothing_else() {
    let ssh2 = "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n---- END SSH2 PUBLIC KEY ----\n";
    for key in [
        fixture!("ssh.ed25519.pub"),
        fixture!("public.pem"),
        ssh2.as_bytes(),
    ] {
        ssh(key).tells(&[Check::SshPublic]);
        let missed = [
            Check::SshParse,
            Check::SshPublic,
            Check::SshEncrypted,
            Check::SshNewline,
        ];
        assert_eq!(ssh(key).remembers(), missed);
    }
}

/// 4.6 `ssh.encrypted`.
#[test]
fn a_key_with_a_passphrase_is_told_in_every_form() {
    for key in [
        fixture!("ssh.encrypted"),
        fixture!("encrypted.pkcs1.key"),
        fixture!("encrypted.pkcs8.key"),
    ] {
        ssh(key).tells(&[Check::SshEncrypted]);
    }
}

#[test]
fn nothing_may_stand_before_a_key_in_openssh_format() {
    for before in ["\n", "a comment\n"] {
        let after = |key: &[u8]| [before.as_bytes(), key].concat();
        ssh(after(fixture!("ssh.ed25519"))).tells(&[Check::SshParse]);
        ssh(after(fixture!("leaf.pkcs1.key"))).tells(&[]);
    }
    let behind = [fixture!("ssh.ed25519"), b"a comment"].concat();
    ssh(behind).tells(&[]);
}

/// 4.6 `ssh.newline`: OpenSSH's own format only.
#[test]
fn line_ends_matter_in_openssh_format_only() {
    let openssh = text(fixture!("ssh.ed25519"));
    ssh(openssh.trim_end()).tells(&[Check::SshNewline]);
    ssh(openssh.replace('\n', "\r\n")).tells(&[Check::SshNewline]);
    let pkcs1 = text(fixture!("leaf.pkcs1.key"));
    ssh(pkcs1.trim_end()).tells(&[]);
    ssh(pkcs1.replace('\n', "\r\n")).tells(&[]);
    ssh(format!("{}\r", pkcs1.trim_end().replace('\n', "\r\n"))).tells(&[]);
}

/// 4.6 `ssh.weak`.
#[test]
fn weak_keys_are_told() {
    for key in [
        fixture!("ssh.dsa"),
        fixture!("dsa.key"),
        fixture!("dsa.pkcs8.key"),
        fixture!("ssh.rsa1024"),
        fixture!("rsa1024.key"),
    ] {
        ssh(key).tells(&[Check::SshWeak]);
    }
}

/// 4.6 `ssh.known-hosts`.
#[test]
fn a_key_without_known_hosts_is_told() {
    ssh(fixture!("ssh.ed25519"))
        .without("known_hosts")
        .tells(&[Check::SshKnownHosts]);
}

fn basic(username: Option<&str>, password: Option<&str>) -> Case {
    let mut case = Case::new(&SecretType::BasicAuth).with("extra", "x");
    for (key, value) in [("username", username), ("password", password)] {
        if let Some(value) = value {
            case = case.with(key, value);
        }
    }
    case
}

/// 4.5: neither key, one key, both empty, and every check.
#[test]
fn logins_are_judged() {
    let (empty, single) = (Check::BasicEmpty, Check::BasicSingle);
    for (username, password, expected) in [
        (Some("admin"), Some("t0p-Secret"), &[][..]),
        (Some("admin"), Some(""), &[]),
        (Some(""), Some("x"), &[]),
        (None, None, &[Check::DataRequired]),
        (Some(""), Some(""), &[empty]),
        (Some(""), None, &[empty, single]),
        (None, Some(""), &[empty, single]),
        (Some("admin"), None, &[single]),
        (None, Some("x"), &[single]),
        (Some("ad:min"), Some("x:y"), &[Check::BasicColon]),
        (Some("a\0b"), Some("x"), &[Check::BasicControl]),
        (Some("a"), Some("x\u{7f}y"), &[Check::BasicControl]),
        (Some("a"), Some("x\ny"), &[Check::BasicControl]),
        (Some("a"), Some("x\n"), &[Check::ValueNewline]),
        (Some("a\n"), Some("x"), &[Check::ValueNewline]),
    ] {
        basic(username, password).tells(expected);
    }
}
