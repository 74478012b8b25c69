//! Logins that HTTP cannot carry, and SSH keys that OpenSSH does not take.

use anyhow::Result;
use coffer_sync_core::validate::Check;

use super::{Case, Row, fixture};

const ED25519: &[u8] = fixture!("ssh.ed25519");

fn login(keys: &[(&str, &str)]) -> Case {
    keys.iter().fold(
        Case::new("kubernetes.io/basic-auth"),
        |case, (key, value)| case.with(key, value),
    )
}

fn full(username: &str, password: &str) -> Case {
    login(&[("username", username), ("password", password)])
}

pub(super) fn logins() -> Result<Vec<Row>> {
    let only = |key: &str, value: &str| login(&[(key, value)]);
    Ok(vec![
        Row::of(Check::BasicEmpty).bad([full("", "")]).good([
            full("admin", ""),
            full("", "x"),
            full("admin", "x"),
        ]),
        Row::of(Check::BasicEmpty)
            .beside(&[Check::BasicSingle])
            .bad([only("username", ""), only("password", "")])
            .good([only("username", "admin"), only("password", "x")]),
        Row::of(Check::BasicSingle)
            .bad([only("username", "admin"), only("password", "x")])
            .good([full("admin", "x")]),
        Row::of(Check::BasicColon)
            .bad([full("ad:min", "x")])
            .good([full("admin", "x:y")]),
        Row::of(Check::BasicControl)
            .bad([full("a\0b", "x"), full("a", "x\u{7f}y"), full("a", "x\ny")])
            .good([full("a b", "é")]),
    ])
}

fn without_hosts(key: impl AsRef<[u8]>) -> Case {
    Case::new("kubernetes.io/ssh-auth").with("ssh-privatekey", key)
}

fn ssh(key: impl AsRef<[u8]>) -> Case {
    without_hosts(key).with("known_hosts", "made-up")
}

/// With CR and LF.
fn crlf(pem: &[u8]) -> String {
    String::from_utf8_lossy(pem).replace('\n', "\r\n")
}

pub(super) fn keys() -> Result<Vec<Row>> {
    let damaged = String::from_utf8_lossy(ED25519).replacen("b3BlbnNzaC1r", "b3BlbnNzaC1s", 1);
    let after = |text: &[u8], key: &[u8]| ssh([text, key].concat());
    let pkcs1 = fixture!("leaf.pkcs1.key");
    Ok(vec![
        Row::of(Check::SshParse)
            .bad([ssh("Pouring6%Emoticon%Scuba"), ssh(damaged)])
            .bad([fixture!("secp256k1.key"), fixture!("p224.key")].map(ssh))
            .bad([fixture!("leaf.crt")].map(ssh))
            .bad([after(b"a comment\n", ED25519)])
            .good([ED25519, fixture!("ssh.rsa"), fixture!("ssh.p521")].map(ssh))
            .good([fixture!("leaf.key"), pkcs1, fixture!("p256.sec1.key")].map(ssh))
            .good([after(b"a comment\n", pkcs1)]),
        Row::of(Check::SshPublic)
            .bad([fixture!("ssh.ed25519.pub"), fixture!("public.pem")].map(ssh))
            .good([ssh(ED25519)]),
        Row::of(Check::SshEncrypted)
            .bad([fixture!("ssh.encrypted"), fixture!("encrypted.pkcs1.key")].map(ssh))
            .bad([fixture!("encrypted.pkcs8.key")].map(ssh))
            .good([ssh(ED25519)]),
        Row::of(Check::SshNewline)
            .bad([ssh(ED25519.trim_ascii_end()), ssh(crlf(ED25519))])
            .good([ssh(ED25519)])
            .good([ssh(pkcs1.trim_ascii_end()), ssh(crlf(pkcs1))]),
        Row::of(Check::SshWeak)
            .bad(
                [
                    fixture!("ssh.dsa"),
                    fixture!("dsa.key"),
                    fixture!("dsa.pkcs8.key"),
                ]
                .map(ssh),
            )
            .bad([fixture!("ssh.rsa1024"), fixture!("rsa1024.key")].map(ssh))
            .good([ED25519, fixture!("ssh.rsa"), fixture!("leaf.key")].map(ssh)),
        Row::of(Check::SshKnownHosts)
            .bad([without_hosts(ED25519)])
            .good([ssh(ED25519)]),
    ])
}
