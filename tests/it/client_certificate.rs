//! To whom the operator's client certificate is shown.
//!
//! That a store accepts it is shown with a real one, in `e2e`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use coffer_tests::fixture::{directory, eventually};
use coffer_tests::scripted::ScriptedStore;
use coffer_tests::tls::{Authority, install_crypto};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tonic::Code;

use crate::stage::{Failures, ONE, Stage, class};

/// How long a handshake may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// What arrived at a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    connections: usize,
    certificates: usize,
}

/// A TLS server that asks for a client certificate, takes note of it and hangs up; it ends on drop.
struct Recorder {
    address: String,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Recorder {
    async fn start(authority: &Authority) -> Result<Self> {
        let config = Arc::new(asks_for_certificates(authority)?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("https://{}", listener.local_addr()?);
        let seen = Arc::<Mutex<Seen>>::default();
        let notes = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                note(&notes, |seen| seen.connections += 1);
                let config = Arc::clone(&config);
                let shown = tokio::task::spawn_blocking(|| shows_certificate(stream, config)).await;
                if matches!(shown, Ok(Ok(true))) {
                    note(&notes, |seen| seen.certificates += 1);
                }
            }
        });
        Ok(Self {
            address,
            seen,
            task,
        })
    }

    fn seen(&self) -> Seen {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn note(seen: &Mutex<Seen>, change: impl FnOnce(&mut Seen)) {
    change(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
}

fn asks_for_certificates(authority: &Authority) -> Result<ServerConfig> {
    install_crypto();
    let own = authority.server(&["127.0.0.1"])?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes())?)?;
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
        .allow_unauthenticated()
        .build()?;
    let chain = vec![CertificateDer::from_pem_slice(own.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes())?;
    let config = ServerConfig::builder().with_client_cert_verifier(verifier);
    Ok(config.with_single_cert(chain, key)?)
}

fn shows_certificate(stream: TcpStream, config: Arc<ServerConfig>) -> Result<bool> {
    let mut stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(SOON))?;
    let mut session = ServerConnection::new(config)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    Ok(session.peer_certificates().is_some())
}

/// The operator's files, and the flags that name them.
struct Files {
    _place: TempDir,
    flags: Vec<String>,
}

impl Files {
    fn new(authority: &Authority) -> Result<Self> {
        let place = directory("tls")?;
        let ca = place.path().join("ca.crt");
        std::fs::write(&ca, authority.pem())?;
        let (certificate, key) = authority
            .client("provider")?
            .write(place.path(), "client")?;
        let mut flags = vec!["-vault-max-retries".to_owned(), "0".to_owned()];
        for (flag, file) in [
            ("-vault-tls-ca-cert", ca),
            ("-vault-tls-client-cert", certificate),
            ("-vault-tls-client-key", key),
        ] {
            let file = file.to_str().context("a path that is not UTF-8")?;
            flags.extend([flag.to_owned(), file.to_owned()]);
        }
        Ok(Self {
            _place: place,
            flags,
        })
    }

    /// A stage with these flags and further ones.
    async fn stage(&self, more: &[&str]) -> Result<Stage> {
        let ours = self.flags.iter().map(String::as_str);
        Stage::with(&ours.chain(more.iter().copied()).collect::<Vec<_>>()).await
    }
}

/// D17: under `compat` the address of a class gets to see it, as the peers' users rely on; each use is counted and said.
#[tokio::test]
async fn compat_shows_it_to_the_address_of_a_class_and_counts_that() -> Result<()> {
    let authority = Authority::new("authority")?;
    let (files, other) = (Files::new(&authority)?, Recorder::start(&authority).await?);
    let mut stage = files.stage(&[]).await?;
    let volume = stage.volume_of("web", class(ONE).with("vaultAddress", &other.address))?;
    for _ in 0..2 {
        // It hangs up after the handshake.
        stage.mount(&volume).await?.failure()?;
    }
    eventually(SOON, "a certificate", async || {
        ensure!(other.seen().certificates > 0, "{:?}", other.seen());
        Ok(())
    })
    .await?;
    let series = "coffer_policy_warnings_total{rule=\"address\"}";
    assert_eq!(stage.provider.metric(series).await?, Some(2.0));
    let log = stage.provider.whole_log().await?;
    let words = format!("{} is not an allowed address", other.address);
    assert_eq!(log.matches(&words).count(), 1, "{log}");
    Ok(())
}

/// D17, H6: `strict`, a list of addresses or a locked connection, each alone, keeps it from an address that a class or pod names.
#[tokio::test]
async fn each_bound_keeps_it_from_a_foreign_address() -> Result<()> {
    let authority = Authority::new("authority")?;
    let (files, other) = (Files::new(&authority)?, Recorder::start(&authority).await?);
    let allowed = ScriptedStore::start().await?;
    let allowed = allowed.address();
    let mut failures = Failures::default();
    for bound in [
        &["--policy-profile", "strict"][..],
        &["--allowed-addresses", &allowed],
        &["--lock-connection"],
    ] {
        let stage = files.stage(bound).await?;
        let of_class = class(ONE).with("vaultAddress", &other.address);
        let of_pod = stage
            .volume(ONE)?
            .with_attribute("vaultAddress", &other.address);
        for volume in [stage.volume_of("web", of_class)?, of_pod] {
            let text = stage.refused(&volume, Code::PermissionDenied, "not_allowed");
            failures.note(&bound.join(" "), text.await);
        }
    }
    failures.none()?;
    assert_eq!(other.seen(), Seen::default());
    Ok(())
}
