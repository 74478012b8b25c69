//! TLS material: from the files of a `Tls` setting to a rustls configuration.
//!
//! Files are opened beneath the operator's directories where they lie in one, so that a link cannot
//! lead out. Which settings apply is decided in the core. Nothing here connects.

mod verify;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::problem::shown;
use coffer_provider_core::target::{Ca, Tls};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::parse_x509_certificate;

/// The largest file that is read: a bundle of every public CA has about 250 KiB.
const MAX_FILE: u64 = 4 << 20;

/// What the files looked like when they were read. A change means that they must be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint(Vec<(PathBuf, Option<Stamp>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

/// Looks at the files of a setting without reading them.
#[must_use]
pub fn fingerprint(tls: &Tls) -> Fingerprint {
    let mut paths = Vec::new();
    match &tls.ca {
        Ca::File(path) => paths.push(PathBuf::from(path)),
        Ca::Directory(path) => {
            paths.push(PathBuf::from(path));
            paths.extend(directory_files(Path::new(path)).unwrap_or_default());
        }
        Ca::System | Ca::Pem(_) => {}
    }
    if let Some((cert, key)) = &tls.client {
        paths.extend([PathBuf::from(cert), PathBuf::from(key)]);
    }
    Fingerprint(
        paths
            .into_iter()
            .map(|path| (path.clone(), stamp(&path)))
            .collect(),
    )
}

/// Follows links: a mounted Secret is replaced by moving a link.
fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    })
}

/// What a setting comes to.
pub struct Loaded {
    /// For the client.
    pub config: ClientConfig,
    /// When the first of the CA certificates of the setting ends, in Unix time; none where it names none.
    pub ca_ends: Option<i64>,
}

/// Reads the files and builds the client configuration.
///
/// # Errors
/// The file that cannot be read or used, named with its setting.
pub fn load(tls: &Tls, dirs: &[String]) -> Result<Loaded, Fault> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("TLS versions", "", &error.to_string()))?;
    let (builder, ca_ends) = if tls.skip_verify {
        let any = Arc::new(verify::AcceptAny::new(provider));
        let builder = builder.dangerous();
        (builder.with_custom_certificate_verifier(any), None)
    } else {
        let (roots, ends) = roots(&tls.ca, dirs)?;
        (builder.with_root_certificates(roots), ends)
    };
    let mut config = match &tls.client {
        Some((cert, key)) => client_auth(builder, cert, key, dirs)?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Loaded { config, ca_ends })
}

fn client_auth(
    builder: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    cert: &str,
    key: &str,
    dirs: &[String],
) -> Result<ClientConfig, Fault> {
    let chain = certificates(&read("client certificate", cert, dirs)?)
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| unusable("client certificate", cert, "holds no PEM certificate"))?;
    let key_pem = zeroize::Zeroizing::new(read("client key", key, dirs)?);
    let key_der = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| unusable("client key", key, "holds no PEM private key"))?;
    builder
        .with_client_auth_cert(chain, key_der)
        .map_err(|error| unusable("client certificate", cert, &error.to_string()))
}

/// The certificates to trust, and when the first of those that the setting names ends.
fn roots(ca: &Ca, dirs: &[String]) -> Result<(RootCertStore, Option<i64>), Fault> {
    let mut store = RootCertStore::empty();
    let mut ends = None;
    match ca {
        Ca::System => {
            let found = rustls_native_certs::load_native_certs();
            // What cannot be read leaves the store smaller; verification then says what is missing.
            store.add_parsable_certificates(found.certs);
            // An image from scratch has none: then those of Mozilla count, which the peers' images bring along. They
            // take the place of nothing that is there and cannot be read.
            if store.is_empty() && found.errors.is_empty() {
                let mozillas = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
                store.add_parsable_certificates(mozillas.iter().cloned());
            }
        }
        Ca::Pem(pem) => ends = add(&mut store, "inline CA", "", pem.as_bytes())?,
        Ca::File(path) => {
            ends = add(&mut store, "CA file", path, &read("CA file", path, dirs)?)?;
        }
        Ca::Directory(path) => {
            let files = directory_files(Path::new(path))
                .map_err(|error| unusable("CA directory", path, &error.to_string()))?;
            for file in &files {
                let name = file.to_string_lossy();
                let pem = read("CA directory", &name, dirs)?;
                let file = add(&mut store, "CA directory", &name, &pem)?;
                ends = ends.into_iter().chain(file).min();
            }
            if store.is_empty() {
                return Err(unusable("CA directory", path, "holds no certificate"));
            }
        }
    }
    Ok((store, ends))
}

/// Adds what a file holds. When the first certificate of it ends.
fn add(
    store: &mut RootCertStore,
    what: &str,
    path: &str,
    pem: &[u8],
) -> Result<Option<i64>, Fault> {
    let found = certificates(pem).ok_or_else(|| unusable(what, path, "is not valid PEM"))?;
    if found.is_empty() {
        return Err(unusable(what, path, "holds no PEM certificate"));
    }
    let ends = found.iter().filter_map(ends).min();
    for certificate in found {
        store
            .add(certificate)
            .map_err(|error| unusable(what, path, &error.to_string()))?;
    }
    Ok(ends)
}

fn ends(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = parse_x509_certificate(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .ok()
}

/// Plain files and links to such, sorted; the `..data` entries of a mounted volume are left out,
/// because their files are linked beside them.
fn directory_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b".."));
        if !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(what: &str, path: &str, dirs: &[String]) -> Result<Vec<u8>, Fault> {
    let file =
        open(Path::new(path), dirs).map_err(|error| unusable(what, path, &error.to_string()))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(|error| unusable(what, path, &error.to_string()))?;
    Ok(bytes)
}

/// Opens a file; beneath the operator's directory if it lies in one (openat2, `RESOLVE_BENEATH`).
fn open(path: &Path, dirs: &[String]) -> std::io::Result<File> {
    let Some((dir, below)) = dirs
        .iter()
        .find_map(|dir| path.strip_prefix(dir).ok().map(|below| (dir, below)))
    else {
        return File::open(path);
    };
    let dir = File::open(dir)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::openat2(&dir, below, flags, Mode::empty(), ResolveFlags::BENEATH)?;
    Ok(file.into())
}

fn unusable(what: &str, path: &str, why: &str) -> Fault {
    let path = if path.is_empty() {
        String::new()
    } else {
        format!(" \"{}\"", shown(path))
    };
    Fault::new(
        Reason::StoreTls,
        format!("{what}{path} cannot be used: {why}"),
        "TLS files are read from the file system of the provider: mount them there",
    )
}

#[cfg(test)]
mod tests;
