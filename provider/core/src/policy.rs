//! What the operator allows a class to name: addresses, namespaces, auth mounts, methods, TLS files.
//!
//! A class author, and through `volumeAttributes` a pod author, chooses where the pod's token is sent.
//! `compat` lets everything through that the peers let through and reports what `strict` would refuse;
//! lists that the operator gave bind under both. Judging is pure: no file is looked at here.

use std::path::{Component, Path};

use crate::params::ClassSpec;
use crate::problem::{Problem, shown};
use crate::target::{Address, Ca, Layer, Target};

/// How strictly classes are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// What the peers allow works; what `strict` would refuse is reported.
    #[default]
    Compat,
    /// Only what the operator named.
    Strict,
}

/// The rules, as metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// The address is not one of the operator's.
    Address,
    /// The token would travel over plain HTTP.
    Http,
    /// Any certificate would be accepted.
    SkipVerify,
    /// The token is for the API server itself.
    Audience,
    /// A TLS file outside the operator's directories.
    TlsPath,
    /// A method outside the operator's list.
    Method,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 6] = [
        Self::Address,
        Self::Http,
        Self::SkipVerify,
        Self::Audience,
        Self::TlsPath,
        Self::Method,
    ];

    /// The name used in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Http => "http",
            Self::SkipVerify => "skip_verify",
            Self::Audience => "audience",
            Self::TlsPath => "tls_path",
            Self::Method => "method",
        }
    }
}

/// The operator's rules. Lists: `*` stands for everything, an absent list for the profile's default.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// How strictly classes are judged.
    pub profile: Profile,
    /// Addresses that classes may name besides the operator's own.
    pub allowed_addresses: Option<Vec<String>>,
    /// Store namespaces that classes may name.
    pub allowed_namespaces: Option<Vec<String>>,
    /// Auth mounts that classes may name.
    pub allowed_auth_mounts: Option<Vec<String>>,
    /// Methods that objects may use.
    pub allowed_methods: Option<Vec<String>>,
    /// Directories below which the TLS files of a class must be.
    pub allowed_tls_dirs: Option<Vec<String>>,
    /// Under `strict`: plain HTTP is fine.
    pub allow_plain_http: bool,
    /// Under `strict`: skip-verify is fine.
    pub allow_skip_tls_verify: bool,
    /// Under `strict`: a token for the API server's own audience is fine.
    pub allow_api_server_audience: bool,
    /// Address, namespace, auth mount and TLS come from the operator alone.
    pub lock_connection: bool,
}

/// Methods of `strict` when the operator gives no list.
const STRICT_METHODS: [&str; 4] = ["GET", "LIST", "PUT", "POST"];

/// The directory for TLS files of classes when the operator gives no list.
pub const DEFAULT_TLS_DIR: &str = "/etc/coffer/tls";

/// What the rules say of one class.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What must not happen, all of it.
    pub refused: Vec<Problem>,
    /// What happens, although `strict` would refuse it.
    pub warned: Vec<(Rule, Problem)>,
}

impl Policy {
    /// Judges a class that resolved to `target`, when the operator's own layers resolve to `own`.
    #[must_use]
    pub fn judge(&self, class: &ClassSpec, target: &Target, own: &Target) -> Verdict {
        let mut judge = Judge {
            policy: self,
            verdict: Verdict::default(),
        };
        if self.lock_connection {
            judge.locked(class);
        }
        for address in target.address.iter() {
            let is_own = class.layer.address.is_empty()
                || own.address.iter().any(|own| address.same_server(own));
            judge.address(address, is_own);
        }
        judge.listed(
            "vaultNamespace",
            class.layer.namespace.trim_matches('/'),
            self.allowed_namespaces.as_deref(),
        );
        judge.listed(
            "vaultAuthMountPath",
            class.auth_mount.as_deref().unwrap_or_default(),
            self.allowed_auth_mounts.as_deref(),
        );
        judge.tls(&class.layer, target, own);
        judge.methods(class);
        judge.verdict
    }

    /// Judges a token for the API server's own audience: whoever gets it can act as the pod.
    #[must_use]
    pub fn judge_api_server_audience(&self) -> Verdict {
        let mut judge = Judge {
            policy: self,
            verdict: Verdict::default(),
        };
        let excepted = self.allow_api_server_audience;
        judge.by_profile(Rule::Audience, excepted, || {
            Problem::new(
                "audience",
                "names no audience, so the token would also open the Kubernetes API",
                "set audience in the class and in tokenRequests of the CSIDriver",
            )
        });
        judge.verdict
    }
}

struct Judge<'a> {
    policy: &'a Policy,
    verdict: Verdict,
}

impl Judge<'_> {
    /// Refuses under `strict` unless the operator made an exception; reports under `compat`. Problems
    /// are put into words only when they are told: every Mount is judged.
    fn by_profile(&mut self, rule: Rule, excepted: bool, problem: impl FnOnce() -> Problem) {
        match self.policy.profile {
            Profile::Strict if excepted => {}
            Profile::Strict => self.verdict.refused.push(problem()),
            Profile::Compat => self.verdict.warned.push((rule, problem())),
        }
    }

    /// Refuses what a list of the operator lacks. Without a list, what the profile's default lacks is
    /// judged by the profile.
    fn by_list(
        &mut self,
        rule: Rule,
        list: Option<&[String]>,
        allows: impl Fn(&str) -> bool,
        by_default: bool,
        problem: impl FnOnce() -> Problem,
    ) {
        match list {
            Some(list) if list.iter().any(|entry| entry == "*" || allows(entry)) => {}
            Some(_) => self.verdict.refused.push(problem()),
            None if by_default => {}
            None => self.by_profile(rule, false, problem),
        }
    }

    fn locked(&mut self, class: &ClassSpec) {
        let layer = &class.layer;
        for (field, named) in [
            ("vaultAddress", !layer.address.is_empty()),
            ("vaultNamespace", !layer.namespace.is_empty()),
            ("vaultAuthMountPath", class.auth_mount.is_some()),
            ("vaultTLS", layer.has_tls()),
        ] {
            if named {
                self.verdict.refused.push(Problem::new(
                    field,
                    "is locked by the operator",
                    "remove it from the class and the volumeAttributes",
                ));
            }
        }
    }

    fn address(&mut self, address: &Address, is_own: bool) {
        let list = self.policy.allowed_addresses.as_deref();
        if !is_own {
            self.by_list(
                Rule::Address,
                list,
                |entry| names_address(entry, address),
                false,
                || {
                    Problem::new(
                        "vaultAddress",
                        format!("{} is not an allowed address", shown(&address.to_string())),
                        "ask the operator to add it to --allowed-addresses (policy.allowedAddresses)",
                    )
                },
            );
        }
        if address.is_plain_http() {
            let excepted = self.policy.allow_plain_http;
            self.by_profile(Rule::Http, excepted, || {
                Problem::new(
                    "vaultAddress",
                    format!(
                        "{} would carry the token over plain http",
                        shown(&address.to_string())
                    ),
                    "use https, or --allow-plain-http (policy.allowPlainHTTP)",
                )
            });
        }
    }

    fn listed(&mut self, field: &str, value: &str, list: Option<&[String]>) {
        let allowed = list.is_none_or(|list| {
            list.iter()
                .any(|entry| entry == "*" || entry.trim_matches('/') == value)
        });
        if !value.is_empty() && !allowed {
            self.verdict.refused.push(Problem::new(
                field,
                format!("\"{}\" is not allowed by the operator", shown(value)),
                "use one that is, or ask the operator to add it",
            ));
        }
    }

    fn tls(&mut self, layer: &Layer, target: &Target, own: &Target) {
        if target.tls.skip_verify {
            let excepted = self.policy.allow_skip_tls_verify;
            self.by_profile(Rule::SkipVerify, excepted, || {
                Problem::new(
                    "vaultSkipTLSVerify",
                    "would trust any server with the token",
                    "give a CA instead, or set --allow-skip-tls-verify (policy.allowSkipTLSVerify)",
                )
            });
        }
        let mut files: Vec<(&str, &str)> = Vec::new();
        match &target.tls.ca {
            Ca::File(path) if target.tls.ca != own.tls.ca => files.push(("vaultCACertPath", path)),
            Ca::Directory(path) if target.tls.ca != own.tls.ca => {
                files.push(("vaultCADirectory", path))
            }
            _ => {}
        }
        if !layer.client_cert.is_empty() {
            files.push(("vaultTLSClientCertPath", &layer.client_cert));
            files.push(("vaultTLSClientKeyPath", &layer.client_key));
        }
        for (field, path) in files {
            self.tls_file(field, path);
        }
    }

    fn tls_file(&mut self, field: &str, path: &str) {
        self.by_list(
            Rule::TlsPath,
            self.policy.allowed_tls_dirs.as_deref(),
            |dir| is_below(path, dir),
            is_below(path, DEFAULT_TLS_DIR),
            || {
                Problem::new(
                    field,
                    format!(
                        "\"{}\" is outside the directories for TLS files",
                        shown(path)
                    ),
                    "mount it below one of --allowed-tls-dirs (policy.allowedTLSDirs)",
                )
            },
        );
    }

    fn methods(&mut self, class: &ClassSpec) {
        for (index, object) in class.objects.iter().enumerate() {
            let method = object.request.method.as_str();
            self.by_list(
                Rule::Method,
                self.policy.allowed_methods.as_deref(),
                |entry| entry == method,
                STRICT_METHODS.contains(&method),
                || {
                    Problem::new(
                        format!("objects[{index}].method"),
                        format!("{method} is not an allowed method"),
                        "use one of --allowed-methods (policy.allowedMethods)",
                    )
                },
            );
        }
    }
}

fn names_address(entry: &str, address: &Address) -> bool {
    Address::parse(entry).is_ok_and(|entry| entry.same_server(address))
}

/// Lexically below, with no way up: links are followed by nobody here, the shell opens beneath.
fn is_below(path: &str, dir: &str) -> bool {
    let path = Path::new(path);
    path.starts_with(dir) && !path.components().any(|part| part == Component::ParentDir)
}

#[cfg(test)]
mod tests;
