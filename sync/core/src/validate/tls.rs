//! `kubernetes.io/tls`: what a server needs of the pair, as Go's `tls.X509KeyPair` reads it, and what
//! clients need of the chain.

use jiff::{SignedDuration, Timestamp};

use super::Subject;
use super::check::Check;
use super::finding::{Findings, data_field};
use super::verdict::{expired, premature};
use crate::certificate::Certificate;
use crate::key::shown;
use crate::pem::{self, Block};
use crate::private_key::PrivateKey;
use crate::secret_type::{CA_CRT, TLS_CRT, TLS_KEY};

/// The last week of a certificate is always worth a warning.
const EXPIRING: SignedDuration = SignedDuration::from_hours(7 * 24);

pub(super) fn check(subject: &Subject<'_>, now: Timestamp, findings: &mut Findings) {
    let crt = pem::blocks(subject.value(TLS_CRT).unwrap_or_default());
    let key = pem::blocks(subject.value(TLS_KEY).unwrap_or_default());
    check_no_key(&crt, findings);
    let private = private_key(&key);
    if let Err(what) = &private {
        let remedy = "store the private key in PEM: RSA, ECDSA or Ed25519, without a passphrase";
        findings.add(Check::TlsKeyFormat, data_field(TLS_KEY), what, remedy);
        findings.follow(&[Check::TlsPair]);
    }
    let certificates: Vec<&Block<'_>> = crt.iter().filter(|block| block.is_certificate()).collect();
    let Some(leaf) = leaf(&crt, &certificates, findings) else {
        let after = [
            Check::TlsPair,
            Check::TlsExpired,
            Check::TlsNotYetValid,
            Check::TlsChain,
        ];
        findings.follow(&after);
        check_authority(subject, &[], findings);
        return;
    };
    if private.is_ok_and(|key| !key.belongs_to(&leaf.public_key())) {
        let what = "the key does not belong to the first certificate of tls.crt";
        let remedy = "store both halves of one pair; the server's own certificate comes first";
        findings.add(Check::TlsPair, data_field(TLS_KEY), what, remedy);
    }
    check_dates(&leaf, now, findings);
    check_leaf(&leaf, findings);
    let chain = check_chain(leaf, &certificates, findings);
    check_authority(subject, &chain, findings);
}

/// The private key, or why there is none that a server can use.
fn private_key<'b>(blocks: &'b [Block<'_>]) -> Result<PrivateKey<'b>, String> {
    let Some(block) = blocks.iter().find(|block| block.is_private_key()) else {
        return Err(match blocks.first() {
            None => "no PEM was found".to_owned(),
            Some(block) if block.is_certificate() => {
                "a certificate stands in the place of the private key: were they switched?"
                    .to_owned()
            }
            Some(_) => format!("no private key among the PEM blocks: {}", labels(blocks)),
        });
    };
    if block.encrypted || block.label == b"ENCRYPTED PRIVATE KEY" {
        return Err("the key needs a passphrase, which no server can ask for".to_owned());
    }
    if block.label == b"OPENSSH PRIVATE KEY" {
        return Err("the key is in OpenSSH's format, which TLS servers do not read".to_owned());
    }
    PrivateKey::parse(&block.der).map_err(|fault| format!("the key {fault}"))
}

/// The first certificate, which is the one that the server shows for itself.
fn leaf<'b>(
    crt: &[Block<'_>],
    certificates: &[&'b Block<'_>],
    findings: &mut Findings,
) -> Option<Certificate<'b>> {
    let Some(first) = certificates.first() else {
        let what = match crt.first() {
            None => "no PEM was found".to_owned(),
            Some(block) if block.is_private_key() => {
                "a private key stands in the place of the certificate: were they switched?"
                    .to_owned()
            }
            Some(_) => format!("no CERTIFICATE among the PEM blocks: {}", labels(crt)),
        };
        let remedy = "store certificates in PEM, each line on its own, the server's own first";
        findings.add(Check::TlsPem, data_field(TLS_CRT), what, remedy);
        findings.follow(&[Check::TlsCertParse]);
        return None;
    };
    match Certificate::parse(&first.der) {
        Ok(leaf) => Some(leaf),
        Err(fault) => {
            let what = format!("the first certificate {fault}");
            let remedy = "store the certificate as it was issued";
            findings.add(Check::TlsCertParse, data_field(TLS_CRT), what, remedy);
            None
        }
    }
}

/// What blocks call themselves: one of a few dozen words of the standards, or cut short.
fn labels(blocks: &[Block<'_>]) -> String {
    let known = |block: &Block<'_>| {
        let label = String::from_utf8_lossy(block.label);
        let ordinary = label
            .chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == ' ');
        if ordinary && label.len() <= 30 {
            shown(&label)
        } else {
            "?".to_owned()
        }
    };
    let mut labels: Vec<String> = blocks.iter().map(known).collect();
    labels.dedup();
    labels.truncate(4);
    labels.join(", ")
}

fn check_no_key(crt: &[Block<'_>], findings: &mut Findings) {
    if crt.iter().any(Block::is_private_key) {
        let what = "a private key stands among the certificates, which servers may hand out";
        let remedy = "store certificates only; the same file mapped to tls.crt and tls.key is taken apart \
                      for you";
        findings.add(Check::TlsKeyInCrt, data_field(TLS_CRT), what, remedy);
    }
}

fn check_dates(leaf: &Certificate<'_>, now: Timestamp, findings: &mut Findings) {
    let (not_before, not_after) = leaf.validity();
    findings.verdict_mut().valid_between(not_before, not_after);
    let field = data_field(TLS_CRT);
    let left = not_after.duration_since(now);
    let notable = (not_after.duration_since(not_before) / 3).min(EXPIRING);
    if expired(not_after, now) {
        let what = format!("the certificate expired at {not_after}");
        findings.add_timed(Check::TlsExpired, &field, what, "issue a new certificate");
    } else if left < notable {
        let what = format!("the certificate expires at {not_after}");
        findings.add(
            Check::TlsExpiring,
            &field,
            what,
            "issue a new certificate soon",
        );
    }
    if premature(not_before, now) {
        let what = format!("the certificate is not valid before {not_before}");
        let remedy = "wait, or compare the clocks of the issuer and of this node";
        findings.add_timed(Check::TlsNotYetValid, &field, what, remedy);
    }
}

fn check_leaf(leaf: &Certificate<'_>, findings: &mut Findings) {
    let field = data_field(TLS_CRT);
    if leaf.is_ca() {
        let what = "the first certificate is an authority's";
        let remedy = "put the server's own certificate first";
        findings.add(Check::TlsLeafIsCa, &field, what, remedy);
    }
    if !leaf.has_san() {
        let what = "the certificate has no subject alternative name, the only one clients compare";
        let remedy = "issue it with the DNS names of the server";
        findings.add(Check::TlsNoSan, &field, what, remedy);
    }
    let weaknesses = leaf.weaknesses();
    if !weaknesses.is_empty() {
        let what = format!("the certificate has {}", weaknesses.join(", "));
        let remedy = "issue it anew, with SHA-256 and ECDSA or RSA of 2048 bits";
        findings.add(Check::TlsWeak, &field, what, remedy);
    }
}

/// Each certificate must have issued the one before it. Returns those that parse, the leaf first.
fn check_chain<'b>(
    leaf: Certificate<'b>,
    certificates: &[&'b Block<'_>],
    findings: &mut Findings,
) -> Vec<Certificate<'b>> {
    let mut chain = vec![leaf];
    let remedy = "order them: the server's own, then each one's issuer; leave others out";
    for (number, block) in (2..).zip(certificates.iter().skip(1)) {
        let what = match Certificate::parse(&block.der) {
            Err(fault) => format!("certificate {number} {fault}"),
            Ok(issuer) => {
                let issued = chain.last().is_some_and(|last| last.issued_by(&issuer));
                chain.push(issuer);
                if issued {
                    continue;
                }
                format!(
                    "certificate {number} did not issue certificate {}",
                    number - 1
                )
            }
        };
        findings.add(Check::TlsChain, data_field(TLS_CRT), what, remedy);
    }
    chain
}

fn check_authority(subject: &Subject<'_>, chain: &[Certificate<'_>], findings: &mut Findings) {
    let Some(value) = subject.value(CA_CRT) else {
        return;
    };
    let blocks = pem::blocks(value);
    let authorities: Vec<Certificate<'_>> = blocks
        .iter()
        .filter(|block| block.is_certificate())
        .filter_map(|block| Certificate::parse(&block.der).ok())
        .collect();
    let among = |one: &Certificate<'_>| authorities.iter().any(|ca| ca.der() == one.der());
    let ends_there = |last: &Certificate<'_>| authorities.iter().any(|ca| last.issued_by(ca));
    let related = chain.iter().any(among) || chain.last().is_none_or(ends_there);
    if authorities.is_empty() {
        let what = "no certificate in PEM was found";
        let remedy = "store the authority's certificate, or leave the key out";
        findings.add(Check::TlsCa, data_field(CA_CRT), what, remedy);
    } else if !related {
        let what = "the chain in tls.crt neither ends at a certificate of ca.crt nor holds one";
        let remedy = "store the authority that the chain ends at";
        findings.add(Check::TlsCaUnrelated, data_field(CA_CRT), what, remedy);
    }
}
