//! Where a class's store is and how it is reached: address, store namespace and TLS, from the layers
//! of environment, flags and class.
//!
//! Only says what was configured. Reading files, connecting, and whether the operator allows it are
//! decided elsewhere.

mod address;
mod addresses;
mod srv;

pub use address::{Address, BadAddress};
pub use addresses::{Addresses, MAX_ADDRESSES};
pub use srv::SrvRecord;

use crate::problem::{Problem, shown};

/// What the peers use when nothing names an address.
pub const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";

/// Connection settings of one layer. Empty text counts as unset, as with the peers: it cannot undo a
/// lower layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// URL of the store, or `unix://` with a path; several separated by commas.
    pub address: String,
    /// Store namespace, sent as `X-Vault-Namespace`.
    pub namespace: String,
    /// PEM file with the trusted certificates.
    pub ca_file: String,
    /// Directory of such files.
    pub ca_directory: String,
    /// The certificates themselves, as PEM.
    pub ca_pem: String,
    /// PEM file of the client certificate.
    pub client_cert: String,
    /// PEM file of its key.
    pub client_key: String,
    /// Name for SNI and verification.
    pub server_name: String,
    /// Accept any certificate. `false` cannot undo a `true` of a lower layer.
    pub skip_verify: bool,
    /// SRV records say where the store of an address without a port is. Once said it holds for the
    /// addresses of all layers; a class cannot say it.
    pub srv_lookup: bool,
}

/// Which certificates are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ca {
    /// Those of the system.
    #[default]
    System,
    /// Those of a PEM file.
    File(String),
    /// Those of all files in a directory.
    Directory(String),
    /// Those of this PEM text.
    Pem(String),
}

/// TLS settings after all layers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The trusted certificates; given ones replace those of the system, as in Go.
    pub ca: Ca,
    /// Files of client certificate and key.
    pub client: Option<(String, String)>,
    /// Name for SNI and verification instead of the address's host.
    pub server_name: Option<String>,
    /// Accept any certificate.
    pub skip_verify: bool,
}

/// Everything that decides which server answers and how it is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The store: its addresses, the wanted one first.
    pub address: Addresses,
    /// Its namespace.
    pub namespace: Option<String>,
    /// How it is reached.
    pub tls: Tls,
}

impl Layer {
    /// Merges layers, the weakest first.
    ///
    /// # Errors
    /// All problems: an address that is none, half a client certificate, a namespace or name that
    /// cannot be sent.
    pub fn resolve(layers: &[&Self]) -> Result<Target, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut tls = Tls::default();
        let (mut address, mut namespace) = (DEFAULT_ADDRESS, "");
        for layer in layers {
            for (value, slot) in [
                (&layer.address, &mut address),
                (&layer.namespace, &mut namespace),
            ] {
                if !value.is_empty() {
                    *slot = value;
                }
            }
            layer.apply_tls(&mut tls, &mut problems);
        }
        check_header("vaultNamespace", namespace, &mut problems);
        let addresses = if layers.iter().any(|layer| layer.srv_lookup) {
            Addresses::parse_by_srv("vaultAddress", address)
        } else {
            Addresses::parse("vaultAddress", address)
        };
        match addresses {
            Ok(address) if problems.is_empty() => {
                let namespace = namespace.trim_matches('/');
                Ok(Target {
                    address,
                    namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
                    tls,
                })
            }
            Ok(_) => Err(problems),
            Err(problem) => {
                problems.push(problem);
                Err(problems)
            }
        }
    }

    /// Whether the layer says anything about TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        let Self {
            address: _,
            namespace: _,
            ca_file,
            ca_directory,
            ca_pem,
            client_cert,
            client_key,
            server_name,
            skip_verify,
            srv_lookup: _,
        } = self;
        *skip_verify
            || [
                ca_file,
                ca_directory,
                ca_pem,
                client_cert,
                client_key,
                server_name,
            ]
            .iter()
            .any(|value| !value.is_empty())
    }

    fn apply_tls(&self, tls: &mut Tls, problems: &mut Vec<Problem>) {
        // The order inside a layer is that of the peers' library: text over file over directory.
        if !self.ca_pem.is_empty() {
            tls.ca = Ca::Pem(self.ca_pem.clone());
        } else if !self.ca_file.is_empty() {
            tls.ca = Ca::File(self.ca_file.clone());
        } else if !self.ca_directory.is_empty() {
            tls.ca = Ca::Directory(self.ca_directory.clone());
        }
        match (self.client_cert.is_empty(), self.client_key.is_empty()) {
            (false, false) => {
                tls.client = Some((self.client_cert.clone(), self.client_key.clone()))
            }
            (true, true) => {}
            _ => problems.push(Problem::new(
                "vaultTLSClientCertPath",
                "both client cert and client key must be provided",
                "set vaultTLSClientCertPath and vaultTLSClientKeyPath together",
            )),
        }
        if !self.server_name.is_empty() {
            check_header("vaultTLSServerName", &self.server_name, problems);
            tls.server_name = Some(self.server_name.clone());
        }
        tls.skip_verify |= self.skip_verify;
    }
}

/// Reads a boolean as Go's `strconv.ParseBool`. Everything else is refused: a typo never switches a
/// check off.
#[must_use]
pub fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// What goes into a header or a path must not be able to end it, nor climb out of it.
fn check_header(field: &str, value: &str, problems: &mut Vec<Problem>) {
    let dots = value.to_ascii_lowercase().replace("%2e", ".");
    let bad = !value.chars().all(|c| c.is_ascii_graphic())
        || value.contains('#')
        || dots.split('/').any(|part| part == "..");
    if bad {
        problems.push(Problem::new(
            field,
            format!(
                "\"{}\" has characters that cannot be sent, or `..`",
                shown(value)
            ),
            "use letters, digits, `-`, `_`, `.` and single slashes",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::{Ca, Layer, parse_bool};

    fn layer(set: impl FnOnce(&mut Layer)) -> Layer {
        let mut layer = Layer::default();
        set(&mut layer);
        layer
    }

    #[test]
    fn later_layers_win_and_empty_text_does_not() {
        let env = layer(|l| {
            l.address = "https://env:8200".to_owned();
            l.namespace = "env".to_owned();
            l.ca_file = "/env.pem".to_owned();
            l.skip_verify = true;
        });
        let class = layer(|l| {
            l.address = "http://class:8200/".to_owned();
            l.ca_directory = "/class.d".to_owned();
        });
        let target = Layer::resolve(&[&env, &Layer::default(), &class]).unwrap();
        assert_eq!(target.address.to_string(), "http://class:8200");
        assert_eq!(target.namespace.as_deref(), Some("env"));
        assert_eq!(target.tls.ca, Ca::Directory("/class.d".to_owned()));
        assert!(target.tls.skip_verify, "false cannot undo true");
    }

    #[test]
    fn srv_records_count_for_the_addresses_of_all_layers_once_one_says_so() {
        let operator = layer(|l| l.srv_lookup = true);
        let class = layer(|l| l.address = "https://vault, https://other:8200".to_owned());
        let target = Layer::resolve(&[&operator, &class]).unwrap();
        assert_eq!(
            target.address.to_string(),
            "https://vault, https://other:8200"
        );
        assert!(target.address.are_by_srv() && !operator.has_tls());
        let without = Layer::resolve(&[&Layer::default(), &class]).unwrap();
        assert!(!without.address.are_by_srv());
    }

    #[test]
    fn nothing_configured_is_the_peers_default() {
        let target = Layer::resolve(&[]).unwrap();
        assert_eq!(target.address.to_string(), "https://127.0.0.1:8200");
        assert_eq!(target.tls.ca, Ca::System);
    }

    #[test]
    fn all_problems_are_told_together() {
        let bad = layer(|l| {
            l.address = "vault:8200".to_owned();
            l.namespace = "a\r\nX-Vault-Token: b".to_owned();
            l.client_cert = "/c.pem".to_owned();
        });
        let problems = Layer::resolve(&[&bad]).unwrap_err();
        let fields: Vec<_> = problems.iter().map(|p| p.field.as_str()).collect();
        assert_eq!(
            fields,
            ["vaultTLSClientCertPath", "vaultNamespace", "vaultAddress"]
        );
        for namespace in ["a/../b", "a/%2e%2E", "a#b", "a b", "é"] {
            let bad = layer(|l| l.namespace = namespace.to_owned());
            assert!(Layer::resolve(&[&bad]).is_err(), "{namespace}");
        }
    }

    #[test]
    fn half_a_pair_in_one_layer_is_refused_even_if_another_layer_has_the_rest() {
        let cert = layer(|l| l.client_cert = "/c".to_owned());
        let key = layer(|l| l.client_key = "/k".to_owned());
        assert_eq!(Layer::resolve(&[&cert, &key]).unwrap_err().len(), 2);
    }

    #[test]
    fn only_gos_booleans_are_booleans() {
        for text in ["yes", "on", "", "tRUE", "2", " true"] {
            assert_eq!(parse_bool(text), None, "{text}");
        }
        assert_eq!(
            (parse_bool("T"), parse_bool("F")),
            (Some(true), Some(false))
        );
    }
}
