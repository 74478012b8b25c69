//! Stores whose TLS is wrong: what is told of each, and that it is tried once.

use std::fs;

use anyhow::{Result, ensure};
use coffer_tests::fixture::directory;
use coffer_tests::tls::{Authority, Certificate, Manner, TlsPeer};
use tonic::Code;

use crate::stage::{Failures, ONE, Stage, check_failure, class};

/// What the name in a certificate and in the class is, where they agree.
const NAME: &str = "127.0.0.1";

/// A wrong peer and what is told of it.
struct Row {
    name: &'static str,
    manner: Manner,
    /// Whether the class gives the CA that signs good certificates; else the system's roots count.
    knows_ca: bool,
    cause: &'static str,
    hint: &'static str,
}

impl Row {
    fn new(name: &'static str, manner: Manner, cause: &'static str, hint: &'static str) -> Self {
        Self {
            name,
            manner,
            knows_ca: true,
            cause,
            hint,
        }
    }
}

const RENEW: &str = "renew the store's certificate, or check the clock";
const OLD: &str = "the store must speak TLS 1.2 or 1.3";
const GIVE_CA: &str = "give the CA that signed it: vaultCACertPath";

fn certificates(authority: &Authority) -> Result<Vec<Row>> {
    let good = || authority.server(&[NAME]);
    let between = |years| authority.server_between(&[NAME], years);
    Ok(vec![
        Row::new(
            "expired",
            Manner::Tls(between([2001, 2002])?),
            "certificate expired at 2002-01-01T00:00:00Z",
            RENEW,
        ),
        Row::new(
            "not yet valid",
            Manner::Tls(between([2901, 2902])?),
            "certificate not valid before 2901-01-01T00:00:00Z",
            RENEW,
        ),
        Row::new(
            "another name",
            Manner::Tls(authority.server(&["vault.example"])?),
            "certificate not valid for name \"127.0.0.1\"; certificate is only valid for DnsName(\"vault.example\")",
            "set vaultTLSServerName to a name of the certificate",
        ),
        Row::new(
            "another authority",
            Manner::Tls(Authority::new("another")?.server(&[NAME])?),
            "UnknownIssuer",
            GIVE_CA,
        ),
        Row {
            knows_ca: false,
            ..Row::new(
                "no authority of the system",
                Manner::Tls(good()?),
                "UnknownIssuer",
                GIVE_CA,
            )
        },
        Row::new(
            "signed by itself",
            Manner::Tls(Certificate::self_signed(&[NAME])?),
            "UnknownIssuer",
            GIVE_CA,
        ),
        Row::new(
            "for clients",
            Manner::Tls(authority.client("client")?),
            "certificate does not allow extended key usage for server authentication",
            "a certificate that is meant for servers",
        ),
    ])
}

/// A ServerHello of TLS 1.1, as a server that knows no better sends it.
fn hello_of_1_1() -> Vec<u8> {
    let mut hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]);
    // No session, TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, no compression.
    hello.extend([0, 0xc0, 0x14, 0]);
    hello
}

fn others(authority: &Authority) -> Result<Vec<Row>> {
    let demanding = Manner::Mutual(authority.server(&[NAME])?, authority.pem().to_owned());
    Ok(vec![
        Row::new(
            "a client certificate is demanded",
            demanding,
            "CertificateRequired",
            "does it demand a client certificate?",
        ),
        Row::new(
            "plain text",
            Manner::Bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
            "corrupt message",
            "does the store speak TLS on this port?",
        ),
        Row::new(
            "TLS 1.1 in its hello",
            Manner::Bytes(hello_of_1_1()),
            "ServerDoesNotSupportTls12Or13",
            OLD,
        ),
        Row::new(
            "TLS 1.1 by an alert",
            // A fatal protocol_version.
            Manner::Bytes(vec![0x15, 3, 2, 0, 2, 2, 70]),
            "ProtocolVersion",
            OLD,
        ),
    ])
}

/// N1: each names its cause, the name that was expected and the address, and is tried once.
#[tokio::test]
async fn whatever_is_wrong_with_tls_is_told_exactly_and_tried_once() -> Result<()> {
    let stage = Stage::set().await?;
    let place = directory("tls")?;
    let authority = Authority::new("store")?;
    let ca = place.path().join("ca.crt");
    fs::write(&ca, authority.pem())?;
    let ca = ca.display().to_string();
    let mut failures = Failures::default();
    for row in certificates(&authority)?
        .into_iter()
        .chain(others(&authority)?)
    {
        let peer = TlsPeer::start(row.manner)?;
        let address = format!("https://{}", peer.place());
        let mut class = class(ONE).with("vaultAddress", &address);
        if row.knows_ca {
            class = class.with("vaultCACertPath", &ca);
        }
        let volume = stage.volume_of("web", class)?;
        let outcome = stage.mount(&volume).await?;
        let text = check_failure(&outcome, Code::FailedPrecondition, "store_tls");
        failures.note(
            row.name,
            text.and_then(|text| {
                let expected = format!("TLS with store {} failed (name {NAME}): ", peer.place());
                for part in [&expected, row.cause, row.hint] {
                    ensure!(text.contains(part), "{part:?} is not in {text}");
                }
                ensure!(peer.connections() == 1, "{} tries", peer.connections());
                Ok(())
            }),
        );
    }
    failures.none()
}
