//! Certificate and key from one file: PEM, PFX, or the answer of a PKI of Vault or OpenBao.

use p12_keystore::Pkcs12Archive;
use zeroize::Zeroizing;

use super::chain::{self, ChainFault, Pem};
use super::{BuildReason, Work, without_line_end};
use crate::bytes::SecretBytes;
use crate::json::Json;
use crate::pem::{self, Block};
use crate::secret_type::{CA_CRT, TLS_CRT, TLS_KEY};

const TLS_PEM: &str = "tls.pem";
const TLS_PFX: &str = "tls.pfx";
const TLS_PFX_PASSWORD: &str = "tls.pfx-password";
const TLS_JSON: &str = "tls.json";

/// What was found in a file.
struct Bundle {
    certificates: Vec<Pem>,
    key_der: Zeroizing<Vec<u8>>,
    key_text: Zeroizing<Vec<u8>>,
    /// The issuer that a PKI names, in case no root is there.
    issuer: Option<Pem>,
}

/// Why there is no bundle in a file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum TlsFault {
    #[error("there is no private key in it")]
    NoKey,
    #[error("there is no certificate in it")]
    NoCertificate,
    #[error("its private key needs a passphrase")]
    Encrypted,
    #[error("it holds {0} private keys")]
    Keys(usize),
    #[error("it is no PKCS#12 file, or the password is not its own")]
    Pfx,
    #[error("it is no JSON object with texts 'certificate' and 'private_key'")]
    Json,
    #[error(transparent)]
    Chain(#[from] ChainFault),
}

pub(super) fn build(work: &mut Work) {
    let inputs: Vec<&str> = [TLS_PEM, TLS_PFX, TLS_JSON]
        .into_iter()
        .filter(|key| work.has(key))
        .collect();
    if work.has(TLS_PFX_PASSWORD) && !work.has(TLS_PFX) {
        let remedy = "map the file to tls.pfx, or leave the password out";
        let what = "missing, while tls.pfx-password is mapped";
        work.fault(BuildReason::Incomplete, TLS_PFX, what, remedy);
    }
    match inputs.as_slice() {
        [] => take_apart(work),
        [input] => {
            if work.wants(input, &[TLS_CRT, TLS_KEY]) {
                from_file(work, input);
            }
        }
        [first, others @ ..] => {
            let what = format!("mapped beside {}", others.join(" and "));
            work.fault(BuildReason::Ambiguous, first, what, "map one of them");
        }
    }
}

/// The same file under both keys, as drivers do it: certificates to one, the key to the other.
fn take_apart(work: &mut Work) {
    let (Some(crt), Some(key)) = (work.data.get(TLS_CRT), work.data.get(TLS_KEY)) else {
        return;
    };
    if crt != key {
        return;
    }
    let file = crt.clone();
    let blocks = pem::lenient_blocks(file.expose());
    let key = blocks.iter().find(|block| block.is_private_key());
    let certificates: Vec<Pem> = certificates(&blocks);
    if let Some(key) = key.filter(|_| !certificates.is_empty()) {
        work.put(TLS_CRT, chain::lines(&certificates));
        work.put(TLS_KEY, [key.raw, b"\n"].concat());
    }
}

fn from_file(work: &mut Work, input: &str) {
    let password = work.take(TLS_PFX_PASSWORD);
    let Some(file) = work.take(input) else { return };
    let bundle = match input {
        TLS_PFX => from_pfx(&file, password.as_ref()),
        TLS_JSON => from_json(file.expose()),
        _ => from_pem(file.expose()),
    };
    let arranged = bundle.and_then(|bundle| {
        if bundle.certificates.is_empty() {
            return Err(TlsFault::NoCertificate);
        }
        let arranged = chain::arrange(&bundle.certificates, &bundle.key_der)?;
        Ok((bundle, arranged))
    });
    match arranged {
        Ok((bundle, arranged)) => {
            work.put(TLS_CRT, arranged.crt);
            work.put(TLS_KEY, bundle.key_text.to_vec());
            let named = bundle.issuer.as_ref().map(|issuer| chain::lines([issuer]));
            // An authority that was mapped by itself is what its author wants.
            if let Some(authority) = arranged.root.or(named).filter(|_| !work.has(CA_CRT)) {
                work.put(CA_CRT, authority);
            }
        }
        Err(fault) => {
            let remedy =
                "store one private key with its certificate and the certificates of its issuers";
            let reason = match fault {
                TlsFault::NoKey | TlsFault::NoCertificate => BuildReason::Incomplete,
                _ => BuildReason::Unreadable,
            };
            work.fault(reason, input, fault.to_string(), remedy);
        }
    }
}

fn from_pem(text: &[u8]) -> Result<Bundle, TlsFault> {
    let blocks = pem::lenient_blocks(text);
    let (key_der, key_text) = key(&blocks)?;
    Ok(Bundle {
        certificates: certificates(&blocks),
        key_der,
        key_text,
        issuer: None,
    })
}

fn from_pfx(file: &SecretBytes, password: Option<&SecretBytes>) -> Result<Bundle, TlsFault> {
    let password = password.map_or(&[][..], SecretBytes::expose);
    // A line end belongs to a password that was made with it, and to nothing that was typed.
    let archive = [password, without_line_end(password)]
        .into_iter()
        .filter_map(|password| std::str::from_utf8(password).ok())
        .find_map(|password| Pkcs12Archive::from_pkcs12(file.expose(), password).ok())
        .ok_or(TlsFault::Pfx)?;
    let [bag] = archive.keys.as_slice() else {
        return Err(match archive.keys.len() {
            0 => TlsFault::NoKey,
            several => TlsFault::Keys(several),
        });
    };
    let key_der = Zeroizing::new(bag.key.as_der().to_vec());
    let key_text = pem::write("PRIVATE KEY", &key_der);
    let certificates = archive.certs.iter().map(|bag| {
        let der = bag.cert.as_der().to_vec();
        let text = pem::write("CERTIFICATE", &der).to_vec();
        Pem { der, text }
    });
    Ok(Bundle {
        certificates: certificates.collect(),
        key_der,
        key_text,
        issuer: None,
    })
}

/// `certificate`, `private_key`, `ca_chain` and `issuing_ca`, at the top or under `data`.
fn from_json(text: &[u8]) -> Result<Bundle, TlsFault> {
    let document = Json::parse(text).map_err(|_| TlsFault::Json)?;
    let inside = document.member("data").filter(|data| data.is_object());
    let answer = match (document.member("certificate"), inside) {
        (None, Some(data)) => data,
        _ => document,
    };
    let text = |name: &str| answer.member(name).and_then(Json::text);
    let (Some(certificate), Some(private_key)) = (text("certificate"), text("private_key")) else {
        return Err(TlsFault::Json);
    };
    let (key_der, key_text) = key(&pem::lenient_blocks(private_key.as_bytes()))?;
    let chain = answer.member("ca_chain").and_then(Json::elements);
    let chain = chain.unwrap_or_default().into_iter().filter_map(Json::text);
    let mut all = certificates(&pem::lenient_blocks(certificate.as_bytes()));
    for issuer in chain {
        all.extend(certificates(&pem::lenient_blocks(issuer.as_bytes())));
    }
    let issuing = text("issuing_ca").unwrap_or_default();
    let issuing = certificates(&pem::lenient_blocks(issuing.as_bytes()));
    let issuer = issuing.first().map(|pem| Pem {
        der: pem.der.clone(),
        text: pem.text.clone(),
    });
    all.extend(issuing);
    Ok(Bundle {
        certificates: all,
        key_der,
        key_text,
        issuer,
    })
}

type Key = (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// The first private key as it is written, and its content.
fn key(blocks: &[Block<'_>]) -> Result<Key, TlsFault> {
    let block = blocks.iter().find(|block| block.is_private_key());
    let block = block.ok_or(TlsFault::NoKey)?;
    if block.encrypted || block.label == b"ENCRYPTED PRIVATE KEY" {
        return Err(TlsFault::Encrypted);
    }
    let text = Zeroizing::new([block.raw, b"\n"].concat());
    Ok((block.der.clone(), text))
}

fn certificates(blocks: &[Block<'_>]) -> Vec<Pem> {
    let pem = |block: &Block<'_>| Pem {
        der: block.der.to_vec(),
        text: block.raw.to_vec(),
    };
    blocks
        .iter()
        .filter(|block| block.is_certificate())
        .map(pem)
        .collect()
}
