//! `kubernetes.io/ssh-auth`: whether OpenSSH can use the key without asking anybody.

use ssh_key::private::{KeypairData, PrivateKey as OpenSsh};

use super::Subject;
use super::check::Check;
use super::finding::{Findings, data_field};
use crate::pem::{self, Block};
use crate::private_key::{Curve, KeyFault, PrivateKey};
use crate::secret_type::{KNOWN_HOSTS, SSH_PRIVATEKEY};

/// The label of OpenSSH's own format.
const OPENSSH: &[u8] = b"OPENSSH PRIVATE KEY";
/// How public keys begin.
const PUBLIC_STARTS: [&str; 7] = [
    "ssh-rsa ",
    "ssh-dss ",
    "ssh-ed25519 ",
    "ecdsa-sha2-",
    "sk-ssh-",
    "sk-ecdsa-",
    "---- BEGIN SSH2 PUBLIC KEY",
];
/// Below this, clients and servers refuse RSA.
const LEAST_RSA_BITS: usize = 2048;

enum Form {
    Usable { weakness: Option<String> },
    Encrypted,
    Public,
    Unreadable(&'static str),
}

pub(super) fn check(subject: &Subject<'_>, findings: &mut Findings) {
    let field = data_field(SSH_PRIVATEKEY);
    let value = subject.value(SSH_PRIVATEKEY).unwrap_or_default();
    let blocks = pem::lenient_blocks(value);
    let block = blocks.iter().find(|block| block.is_private_key());
    match block.map_or_else(|| without_key(value, &blocks), |block| form(value, block)) {
        Form::Usable { weakness } => {
            if let Some(weakness) = weakness {
                let remedy = "make a new key: ssh-keygen -t ed25519";
                findings.add(Check::SshWeak, &field, weakness, remedy);
            }
        }
        Form::Encrypted => {
            let what = "the key needs a passphrase, which no consumer can ask for";
            let remedy = "store it without: ssh-keygen -p -N '' -f <file>";
            findings.add(Check::SshEncrypted, &field, what, remedy);
        }
        Form::Public => {
            let what = "a public key stands in the place of the private one";
            findings.add(
                Check::SshPublic,
                &field,
                what,
                "store the file without '.pub'",
            );
            findings.follow(&[Check::SshParse, Check::SshEncrypted, Check::SshNewline]);
        }
        Form::Unreadable(what) => {
            let remedy = "store the whole file, from its BEGIN line to its END line";
            findings.add(Check::SshParse, &field, what, remedy);
            findings.follow(&[Check::SshEncrypted, Check::SshNewline]);
        }
    }
    if block.is_some_and(|block| block.label == OPENSSH) && has_other_line_ends(value) {
        let what =
            "the BEGIN or END line does not end in LF alone: OpenSSH answers 'error in libcrypto'";
        let remedy = "end each line, the last one too, in LF; the key ssh-pem in place of ssh-privatekey \
                      does it for you";
        findings.add(Check::SshNewline, &field, what, remedy);
    }
    if !subject.data.contains_key(KNOWN_HOSTS) {
        findings.add(
            Check::SshKnownHosts,
            data_field(KNOWN_HOSTS),
            "missing; a key alone does not establish that the server is the right one",
            "map the servers' public keys to known_hosts, or give them to the client otherwise",
        );
    }
}

/// OpenSSH looks for both lines of its own format with an LF right behind (`sshkey_parse_private2`).
fn has_other_line_ends(value: &[u8]) -> bool {
    let marked = |mark: &[u8]| value.windows(mark.len()).any(|window| window == mark);
    !marked(b"-----BEGIN OPENSSH PRIVATE KEY-----\n")
        || !marked(b"-----END OPENSSH PRIVATE KEY-----\n")
}

fn without_key(value: &[u8], blocks: &[Block<'_>]) -> Form {
    let text = String::from_utf8_lossy(value.get(..64).unwrap_or(value)).into_owned();
    let begins = PUBLIC_STARTS
        .iter()
        .any(|start| text.trim_start().starts_with(start));
    if begins
        || blocks
            .iter()
            .any(|block| block.label.ends_with(b"PUBLIC KEY"))
    {
        return Form::Public;
    }
    Form::Unreadable("no private key in PEM was found")
}

fn form(value: &[u8], block: &Block<'_>) -> Form {
    if block.encrypted || block.label == b"ENCRYPTED PRIVATE KEY" {
        return Form::Encrypted;
    }
    if block.label == OPENSSH {
        if !value.starts_with(block.raw) {
            return Form::Unreadable(
                "something stands before the BEGIN line, where OpenSSH expects it",
            );
        }
        return openssh(&block.der);
    }
    match PrivateKey::parse(&block.der) {
        Ok(PrivateKey::Ec {
            curve: Curve::P224, ..
        }) => foreign(),
        Ok(key) => Form::Usable {
            weakness: key.rsa_bits().and_then(weak_rsa),
        },
        Err(KeyFault::Dsa) => Form::Usable {
            weakness: Some(dsa()),
        },
        Err(KeyFault::Unreadable | KeyFault::Damaged) => {
            Form::Unreadable("the key is damaged, or neither PKCS#1, PKCS#8 nor SEC1")
        }
        Err(KeyFault::Algorithm | KeyFault::Curve) => foreign(),
    }
}

fn foreign() -> Form {
    Form::Unreadable("the key's algorithm or curve is none that SSH has")
}

fn openssh(der: &[u8]) -> Form {
    let Ok(key) = OpenSsh::from_bytes(der) else {
        return Form::Unreadable("the key is damaged: it does not parse as OpenSSH's format");
    };
    match key.key_data() {
        KeypairData::Encrypted(_) => Form::Encrypted,
        KeypairData::Rsa(rsa) => Form::Usable {
            weakness: weak_rsa(rsa.key_size() as usize),
        },
        KeypairData::Dsa(_) => Form::Usable {
            weakness: Some(dsa()),
        },
        _ => Form::Usable { weakness: None },
    }
}

fn weak_rsa(bits: usize) -> Option<String> {
    (bits < LEAST_RSA_BITS)
        .then(|| format!("an RSA key of {bits} bits, servers refuse less than 2048"))
}

fn dsa() -> String {
    "a DSA key, which current servers refuse".to_owned()
}
