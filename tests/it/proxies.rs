//! Proxies that the environment names: when they are asked, for what, and what they get to see.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, bail, ensure};
use coffer_tests::driver::MountOutcome;
use coffer_tests::fixture::directory;
use coffer_tests::provider::ProviderProcess;
use coffer_tests::scripted::ScriptedStore;
use coffer_tests::tls::{Authority, install_crypto};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tonic::Code;

use crate::stage::{ONE, Stage, check_failure, class};

/// A listener of loopback that ends on drop.
struct Listening {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listening {
    /// Serves each connection by itself; how it ends is the client's to notice.
    async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Result<Self>
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Ok(Self { address, task })
    }
}

/// A proxy that tunnels every CONNECT to one place, whatever it names, and keeps the heads.
struct Tunnel {
    listening: Listening,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// Answers with this status line; after a 200 what follows goes on to `upstream`.
    async fn start(answer: &'static str, upstream: SocketAddr) -> Result<Self> {
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&heads);
        let listening = Listening::start(move |mut stream| {
            let kept = Arc::clone(&kept);
            async move {
                let head = read_head(&mut stream).await?;
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(head);
                let reply = format!("HTTP/1.1 {answer}\r\n\r\n");
                stream.write_all(reply.as_bytes()).await?;
                if answer.starts_with("200") {
                    let mut upstream = TcpStream::connect(upstream).await?;
                    copy_bidirectional(&mut stream, &mut upstream).await?;
                }
                Ok(())
            }
        })
        .await?;
        Ok(Self { listening, heads })
    }

    fn url(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    fn heads(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.clone()
    }
}

async fn read_head(stream: &mut TcpStream) -> Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head)?)
}

/// A file with the authority's certificate, and the directory that it lives in.
fn certificate_of(authority: &Authority) -> Result<(TempDir, PathBuf)> {
    let place = directory("proxies")?;
    let file = place.path().join("ca.pem");
    std::fs::write(&file, authority.pem())?;
    Ok((place, file))
}

/// TLS in front of a store that speaks none.
async fn with_tls(store: &ScriptedStore, authority: &Authority) -> Result<Listening> {
    install_crypto();
    let made = authority.server(&["store.example", "127.0.0.1"])?;
    let chain = vec![CertificateDer::from_pem_slice(made.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(made.key.as_bytes())?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let upstream: SocketAddr = store.address().trim_start_matches("http://").parse()?;
    Listening::start(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await?;
            let mut upstream = TcpStream::connect(upstream).await?;
            copy_bidirectional(&mut stream, &mut upstream).await?;
            Ok(())
        }
    })
    .await
}

/// Mounts the one object of the stage's class from `address` by a provider with this environment.
async fn mount(
    stage: &Stage,
    place: &Path,
    address: &str,
    environment: &[(&str, &str)],
) -> Result<MountOutcome> {
    let ca = place.display().to_string();
    let arguments = [
        "-kubeconfig",
        "off",
        "-vault-addr",
        address,
        "-vault-tls-ca-cert",
        &ca,
        "-vault-max-retries",
        "0",
    ];
    let provider = ProviderProcess::start(&arguments, environment).await?;
    let volume = stage.volume_of("web", class(ONE))?;
    provider.driver()?.mount(&volume.first_mount()).await
}

/// §5 HTTPS_PROXY, §5 NO_PROXY: a proxy for https is asked for a tunnel to the store, and sees no token; a store that
/// NO_PROXY names is reached without it.
#[tokio::test]
async fn a_proxy_for_https_is_asked_for_a_tunnel_and_sees_no_token() -> Result<()> {
    let stage = Stage::set().await?;
    let authority = Authority::new("proxies")?;
    let tls = with_tls(&stage.store, &authority).await?;
    let (_place, ca) = certificate_of(&authority)?;
    let here = format!("https://{}", tls.address);
    for (address, spared, tunnelled) in [
        ("https://store.example:8200", "", true),
        (
            "https://store.example:8200",
            "127.0.0.1,other.example",
            true,
        ),
        (&here, "other.example", true),
        (&here, "127.0.0.1", false),
        (&here, "127.0.0.0/8", false),
    ] {
        let tunnel = Tunnel::start("200 Connection established", tls.address).await?;
        let environment = [("HTTPS_PROXY", &tunnel.url()[..]), ("NO_PROXY", spared)];
        let mounted = mount(&stage, &ca, address, &environment).await?;
        assert_eq!(mounted.files()?["a"], "v", "{address}, {spared}");
        let heads = tunnel.heads();
        ensure!(
            heads.is_empty() != tunnelled,
            "{address}, {spared}: {heads:?}"
        );
        let host = address.trim_start_matches("https://");
        for head in heads {
            ensure!(
                head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n")),
                "{head}"
            );
            ensure!(!head.to_lowercase().contains("x-vault-token"), "{head}");
        }
    }
    Ok(())
}

/// §5 HTTPS_PROXY, N4: a proxy that refuses, and one that is not there, are an unreachable store; nothing goes around it.
#[tokio::test]
async fn a_proxy_that_does_not_serve_is_never_gone_around() -> Result<()> {
    let stage = Stage::set().await?;
    let authority = Authority::new("proxies")?;
    let tls = with_tls(&stage.store, &authority).await?;
    let (_place, ca) = certificate_of(&authority)?;
    let here = format!("https://{}", tls.address);
    let refusing = Tunnel::start("407 Proxy Authentication Required", tls.address).await?;
    let dead = Listening::start(async |_| Ok(())).await?;
    let gone = format!("http://{}", dead.address);
    drop(dead);
    for proxy in [&refusing.url(), &gone] {
        let outcome = mount(&stage, &ca, &here, &[("HTTPS_PROXY", proxy)]).await?;
        let text = check_failure(&outcome, Code::Unknown, "store_unreachable")?;
        ensure!(text.contains("proxy"), "{text}");
    }
    assert_eq!(stage.store.connections(), 0);
    Ok(())
}

/// §5 HTTP_PROXY, §5 NO_PROXY: over plain http the proxy is asked itself, unless NO_PROXY names the store.
#[tokio::test]
async fn no_proxy_spares_the_hosts_that_it_names() -> Result<()> {
    let authority = Authority::new("proxies")?;
    let (_place, ca) = certificate_of(&authority)?;
    for (spared, proxied) in [
        ("", true),
        ("other.example", true),
        ("127.0.0.1", false),
        ("other.example, 127.0.0.1", false),
    ] {
        let (stage, proxy) = (Stage::set().await?, ScriptedStore::start().await?);
        let address = stage.store.address();
        let environment = [("HTTP_PROXY", &proxy.address()[..]), ("NO_PROXY", spared)];
        let mounted = mount(&stage, &ca, &address, &environment).await?;
        // The proxy is no store: what arrives there fails.
        assert_eq!(mounted.reply.is_ok(), !proxied, "{spared}");
        let asked = proxy.requests();
        let first = asked.first().map(|request| request.path.clone());
        match first {
            Some(path) if proxied => ensure!(path.starts_with(&address), "{path}"),
            None if !proxied => {}
            other => bail!("{spared}: the proxy saw {other:?}"),
        }
    }
    Ok(())
}
