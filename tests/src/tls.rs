//! Certificates made on the spot: an authority, servers and clients of it; and the one crypto library.
//!
//! Keys live as long as the directory they are written to; nothing here is a fixture in the tree.

mod peer;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use reqwest::{Client, ClientBuilder};

pub use peer::{Manner, TlsPeer};

/// Makes ring the crypto library of rustls in this process; once is enough, more does no harm.
pub fn install_crypto() {
    // An error says that it is installed already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// An HTTP client that goes straight to loopback, whatever proxy the environment names, and that trusts
/// these authorities only.
///
/// # Errors
/// When an authority is no certificate.
pub fn http_client_trusting(authorities: &[&str]) -> Result<ClientBuilder> {
    install_crypto();
    let authorities = authorities
        .iter()
        .map(|pem| reqwest::Certificate::from_pem(pem.as_bytes()))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(ClientBuilder::new().no_proxy().tls_certs_only(authorities))
}

/// An HTTP client for loopback without TLS.
///
/// # Errors
/// When the TLS library cannot be set up.
pub fn http_client() -> Result<Client> {
    Ok(http_client_trusting(&[])?.build()?)
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM texts.
pub struct Certificate {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// A new authority with a key of its own.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        let pem = params.self_signed(&key)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            pem,
        })
    }

    /// The authority's own certificate.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server under these names or addresses.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn server(&self, names: &[&str]) -> Result<Certificate> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign(
            CertificateParams::new(names)?,
            "server",
            ExtendedKeyUsagePurpose::ServerAuth,
        )
    }

    /// The same, valid between these two years only.
    ///
    /// # Errors
    /// As [`Self::server`].
    pub fn server_between(&self, names: &[&str], years: [i32; 2]) -> Result<Certificate> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        let [from, until] = years.map(|year| date_time_ymd(year, 1, 1));
        (params.not_before, params.not_after) = (from, until);
        self.sign(params, "server", ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client of this common name.
    ///
    /// # Errors
    /// As [`Self::server`].
    pub fn client(&self, name: &str) -> Result<Certificate> {
        self.sign(
            CertificateParams::new(Vec::new())?,
            name,
            ExtendedKeyUsagePurpose::ClientAuth,
        )
    }

    fn sign(
        &self,
        mut params: CertificateParams,
        name: &str,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Certificate> {
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages.push(usage);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Certificate {
            certificate,
            key: key.serialize_pem(),
        })
    }
}

impl Certificate {
    /// A server's certificate that is signed by nobody but itself.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn self_signed(names: &[&str]) -> Result<Self> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(names)?.self_signed(&key)?.pem();
        Ok(Self {
            certificate,
            key: key.serialize_pem(),
        })
    }

    /// Writes `<name>.crt` and `<name>.key`; their paths in this order.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> Result<(PathBuf, PathBuf)> {
        let certificate = directory.join(format!("{name}.crt"));
        let key = directory.join(format!("{name}.key"));
        fs::write(&certificate, &self.certificate)?;
        fs::write(&key, &self.key)?;
        Ok((certificate, key))
    }
}
