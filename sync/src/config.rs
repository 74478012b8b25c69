//! Configuration: file < environment < flags, one `Config`, all problems together.
//!
//! The table of options is in `config/options.rs`. Environment and files are passed in. What a single object may
//! say over it stands in its annotations and is not known here.

mod cli;
mod layers;
mod options;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use coffer_sync_core::options::{Door, Name, parse};
use coffer_sync_core::problem::{Problem, shown};
use coffer_sync_core::secret_type::SecretType;
use coffer_sync_core::secret_type::gate::AllowedTypes;

use self::values::Reader;
use crate::manifest::is_provider_name;
use coffer_frame::telemetry::{Level, LogFormat};

pub use cli::{Command, Form, Invocation, RenderArguments, command, parse_arguments};
pub use layers::Sources;
pub use options::{Kind, OPTIONS, OptionSpec};

const SECOND: u64 = 1;
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// Everything that the operator decides.
#[derive(Clone, Debug)]
pub struct Config {
    /// SecretSyncs that name this controller are ours.
    pub controller_name: String,
    /// Whether those that name none are ours too.
    pub claim_unnamed: bool,
    /// Poll period of objects that say nothing else; none for no polling.
    pub refresh_interval: Option<Duration>,
    /// Namespaces that are served; empty for all.
    pub watch_namespaces: Vec<String>,
    /// Where sockets of providers are looked for, in this order.
    pub provider_dirs: Vec<PathBuf>,
    /// The longest that a call of a provider may take.
    pub provider_timeout: Duration,
    /// The largest answer of a provider.
    pub max_response_bytes: usize,
    /// All answers in memory together.
    pub answer_bytes_in_flight: usize,
    /// Audience of the token that a provider gets, by provider.
    pub audiences: BTreeMap<String, String>,
    /// Parameter of a class that names the audience instead.
    pub audience_parameter: Option<String>,
    /// Types of Secrets that may be written.
    pub allowed_types: AllowedTypes,
    /// Objects that are worked on at once.
    pub workers: usize,
    /// Calls of one provider at once.
    pub provider_concurrency: usize,
    /// Calls of one provider per second.
    pub provider_qps: f64,
    /// Calls of one provider that may follow each other without a pause.
    pub provider_burst: u32,
    /// Requests to the API server per second.
    pub kube_api_qps: f64,
    /// Requests to the API server that may follow each other without a pause.
    pub kube_api_burst: u32,
    /// How the API server is reached; none for the account of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// Context of that file; none for its current one.
    pub kube_context: Option<String>,
    /// Our own namespace; none for that of the account.
    pub namespace: Option<String>,
    /// Our own Pod, as providers and the Lease are told.
    pub pod_name: String,
    /// Its uid; empty where it is not known.
    pub pod_uid: String,
    /// Whether work waits for the Lease.
    pub leader_elect: bool,
    /// Name of the Lease.
    pub lease_name: String,
    /// Name of the Secret with the key of fingerprints.
    pub hmac_secret_name: String,
    /// Whether Secrets are watched.
    pub drift_watch: bool,
    /// Whether Secrets may be deleted to be made again: the right is granted.
    pub recreate: bool,
    /// Whether workloads may be restarted: the rights are granted.
    pub restarts: bool,
    /// Whether the state of classes is kept in an annotation: the right is granted.
    pub class_status: bool,
    /// After which time a status is written for its time alone.
    pub status_heartbeat: Duration,
    /// Whether there are series for single objects.
    pub per_object_metrics: bool,
    /// How often is looked for a CRD that was not there.
    pub crd_check_interval: Duration,
    /// Where probes, metrics and the list of objects are served.
    pub health_addr: SocketAddr,
    /// Least severe level that is logged.
    pub log_level: Level,
    /// In which form.
    pub log_format: LogFormat,
    /// What is accepted but worth a warning.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// All problems of all sources.
    pub fn read(sources: &Sources) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader::new(sources);
        let mut warnings = sources.unknown_variables();
        let config = Self {
            controller_name: reader.default_text("controller-name").to_owned(),
            claim_unnamed: reader.flag("claim-unnamed"),
            refresh_interval: refresh_interval(&mut reader),
            watch_namespaces: namespaces(&mut reader),
            provider_dirs: directories(&mut reader),
            provider_timeout: reader.duration("provider-timeout", SECOND..=10 * MINUTE),
            max_response_bytes: reader.number("max-response-bytes", 1 << 10..=1 << 30),
            answer_bytes_in_flight: reader.number("answer-bytes-in-flight", 1 << 10..=1 << 36),
            audiences: audiences(&mut reader),
            audience_parameter: reader.text("audience-parameter").map(str::to_owned),
            allowed_types: allowed_types(&reader, &mut warnings),
            workers: reader.number("workers", 1..=1024),
            provider_concurrency: reader.number("provider-concurrency", 1..=1024),
            provider_qps: reader.rate("provider-qps"),
            provider_burst: reader.burst("provider-burst"),
            kube_api_qps: reader.rate("kube-api-qps"),
            kube_api_burst: reader.burst("kube-api-burst"),
            kubeconfig: reader.text("kubeconfig").map(PathBuf::from),
            kube_context: reader.text("kube-context").map(str::to_owned),
            namespace: namespace(&mut reader),
            pod_name: pod_name(&reader, sources),
            pod_uid: reader.default_text("pod-uid").to_owned(),
            leader_elect: reader.flag("leader-elect"),
            lease_name: reader.name("lease-name"),
            hmac_secret_name: reader.name("hmac-secret-name"),
            drift_watch: reader.flag("drift-watch"),
            recreate: reader.flag("recreate"),
            restarts: reader.flag("restarts"),
            class_status: reader.flag("spc-status"),
            status_heartbeat: reader.duration("status-heartbeat", MINUTE..=168 * HOUR),
            per_object_metrics: reader.flag("per-object-metrics"),
            crd_check_interval: reader.duration("crd-check-interval", SECOND..=24 * HOUR),
            health_addr: health_addr(&mut reader),
            log_level: log_level(&reader, &mut warnings),
            log_format: log_format(&mut reader),
            warnings,
        };
        if config.answer_bytes_in_flight < config.max_response_bytes {
            let remedy = "allow at least one answer of --max-response-bytes";
            reader.problem("answer-bytes-in-flight", "no answer would fit", remedy);
        }
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(reader.problems)
        }
    }
}

/// The rules of the annotation hold for what stands in its place.
fn refresh_interval(reader: &mut Reader<'_>) -> Option<Duration> {
    let option = "refresh-interval";
    let text = reader.default_text(option).to_owned();
    let annotations = BTreeMap::from([(Name::RefreshInterval.as_str().to_owned(), text)]);
    let parsed = parse(Door::Sync, &annotations, &BTreeMap::new(), None);
    match parsed.options {
        Ok(options) => options.refresh_interval,
        Err(problems) => {
            for problem in problems {
                reader.problem(option, problem.what, problem.remedy);
            }
            None
        }
    }
}

fn namespaces(reader: &mut Reader<'_>) -> Vec<String> {
    let option = "watch-namespaces";
    let mut namespaces: Vec<String> = reader.list(option).into_iter().map(str::to_owned).collect();
    namespaces.sort();
    namespaces.dedup();
    for namespace in &namespaces {
        reader.check_name(option, namespace);
    }
    namespaces
}

fn directories(reader: &mut Reader<'_>) -> Vec<PathBuf> {
    let option = "provider-dirs";
    let directories = reader.list(option);
    if directories.is_empty() {
        reader.problem(option, "names no directory", "name at least one");
    }
    for directory in &directories {
        if !directory.starts_with('/') {
            let what = format!("\"{}\" is no absolute path", shown(directory));
            reader.problem(option, what, "start it with /");
        }
    }
    directories.into_iter().map(PathBuf::from).collect()
}

/// A token without an audience would be one for the API server itself.
fn audiences(reader: &mut Reader<'_>) -> BTreeMap<String, String> {
    let option = "audience";
    let mut audiences: BTreeMap<String, String> = BTreeMap::new();
    for entry in reader.list(option) {
        let (provider, audience) = entry.split_once('=').unwrap_or((entry, ""));
        let (provider, audience) = (provider.trim(), audience.trim());
        if !is_provider_name(provider) {
            let what = format!("\"{}\" is no name of a provider", shown(provider));
            let remedy =
                "write <provider>=<audience>, the provider in 1 to 30 letters, digits, `_` or `-`";
            reader.problem(option, what, remedy);
        } else if audience.is_empty() {
            let what = format!("the audience of {provider} is empty");
            reader.problem(option, what, "write <provider>=<audience>");
        } else {
            let before = audiences.insert(provider.to_owned(), audience.to_owned());
            if before.is_some_and(|before| before != audience) {
                let what = format!("{provider} has two audiences");
                reader.problem(option, what, "leave one of them");
            }
        }
    }
    audiences
}

fn allowed_types(reader: &Reader<'_>, warnings: &mut Vec<String>) -> AllowedTypes {
    let types = reader.list("allowed-types");
    for text in &types {
        if let Some(meant) = SecretType::parse(text).lookalike() {
            warnings.push(format!(
                "--allowed-types: {} is a type of its own: did you mean {}?",
                shown(text),
                meant.as_str()
            ));
        }
    }
    AllowedTypes::parse(types)
}

fn namespace(reader: &mut Reader<'_>) -> Option<String> {
    let namespace = reader.text("namespace")?;
    reader.check_name("namespace", namespace);
    Some(namespace.to_owned())
}

fn pod_name(reader: &Reader<'_>, sources: &Sources) -> String {
    let host = sources.environment.get("HOSTNAME").map(String::as_str);
    let name = reader.text("pod-name").or(host);
    name.filter(|name| !name.is_empty())
        .unwrap_or("coffer-sync")
        .to_owned()
}

/// `:8081` means every address of the host, as in Go.
fn health_addr(reader: &mut Reader<'_>) -> SocketAddr {
    let option = "health-addr";
    let text = reader.default_text(option);
    let whole = match text.strip_prefix(':') {
        Some(port) => format!("0.0.0.0:{port}"),
        None => text.to_owned(),
    };
    whole.parse::<SocketAddr>().unwrap_or_else(|_| {
        let what = format!("\"{}\" is no address with a port", shown(text));
        reader.problem(option, what, "write :8081 or 127.0.0.1:8081");
        SocketAddr::from(([0, 0, 0, 0], 0))
    })
}

/// An unknown level is no reason not to start.
fn log_level(reader: &Reader<'_>, warnings: &mut Vec<String>) -> Level {
    let text = reader.default_text("log-level");
    let read = Level::parse(text);
    if !read.recognised {
        warnings.push(format!(
            "--log-level: \"{}\" is not known: info is used",
            shown(text)
        ));
    }
    read.level
}

fn log_format(reader: &mut Reader<'_>) -> LogFormat {
    let option = "log-format";
    let text = reader.default_text(option);
    LogFormat::parse(text).unwrap_or_else(|| {
        let what = format!("\"{}\" is not known", shown(text));
        reader.problem(option, what, "write json or text");
        LogFormat::Json
    })
}
