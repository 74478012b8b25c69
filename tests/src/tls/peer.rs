//! A peer that speaks TLS as badly as asked, and counts who came.
//!
//! It answers nothing beyond the handshake: for cases in which no request may get through.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::{Certificate, install_crypto};

/// What the peer does with a connection.
pub enum Manner {
    /// A handshake with this certificate.
    Tls(Certificate),
    /// The same, but only with clients that show a certificate of this authority (PEM).
    Mutual(Certificate, String),
    /// These bytes, after the first ones of the client.
    Bytes(Vec<u8>),
}

enum Ready {
    Tls(Arc<ServerConfig>),
    Bytes(Vec<u8>),
}

/// A listener on loopback; it ends on drop, its connections when their clients end them.
pub struct TlsPeer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    over: AtomicBool,
}

impl TlsPeer {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// When there is no port, or the certificate cannot be used.
    pub fn start(manner: Manner) -> Result<Self> {
        let ready = Arc::new(ready(manner)?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::<Shared>::default();
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &ready, &accepting));
        Ok(Self { address, shared })
    }

    /// `127.0.0.1:<port>`.
    #[must_use]
    pub fn place(&self) -> String {
        self.address.to_string()
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for TlsPeer {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        // Wakes the thread, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn ready(manner: Manner) -> Result<Ready> {
    install_crypto();
    let builder = ServerConfig::builder();
    let (builder, certificate) = match manner {
        Manner::Bytes(bytes) => return Ok(Ready::Bytes(bytes)),
        Manner::Tls(certificate) => (builder.with_no_client_auth(), certificate),
        Manner::Mutual(certificate, authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
            (builder.with_client_cert_verifier(verifier), certificate)
        }
    };
    let chain = CertificateDer::pem_slice_iter(certificate.certificate.as_bytes());
    let chain = chain.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes())?;
    let config = builder.with_single_cert(chain, key);
    Ok(Ready::Tls(Arc::new(config.context("certificate and key")?)))
}

fn accept(listener: &TcpListener, ready: &Arc<Ready>, shared: &Shared) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        // A client that goes away is what most cases are about.
        let ready = Arc::clone(ready);
        thread::spawn(move || drop(converse(stream, &ready)));
    }
}

/// Ends by reading to the client's end: closing before would be a reset, which may overtake an alert.
fn converse(mut stream: TcpStream, ready: &Ready) -> io::Result<()> {
    match ready {
        Ready::Bytes(bytes) => {
            let _ = stream.read(&mut [0; 4096])?;
            stream.write_all(bytes)?;
        }
        Ready::Tls(config) => {
            let connection = ServerConnection::new(Arc::clone(config));
            let mut connection = connection.map_err(io::Error::other)?;
            while connection.is_handshaking() {
                // On an error the alert is sent before it is returned.
                if connection.complete_io(&mut stream).is_err() {
                    break;
                }
            }
        }
    }
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::sink()).map(drop)
}
