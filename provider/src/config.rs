//! Configuration: file < environment < flags, one `Config`, all problems together.
//!
//! The table of options is in `config/options.rs`; a class and a pod's `volumeAttributes` stand above
//! all of this and are not known here. Environment and files are passed in.

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

use coffer_provider_core::params::Dialect;
use coffer_provider_core::policy::{DEFAULT_TLS_DIR, Policy, Profile};
use coffer_provider_core::problem::{Problem, shown};
use coffer_provider_core::refresh::RefreshRules;
use coffer_provider_core::target::{Address, Layer};

use crate::dns::Nameservers;
use crate::kube::KubeAccess;
use crate::mounter::MountRules;
use crate::vault::http::{HttpLimits, HttpRules};
use crate::vault::rate::Rate;
use crate::vault::retry::MAX_TRIES;
use coffer_frame::telemetry::{Level, LogFormat, ParsedLevel};

pub use cli::{Command, Invocation, MountArguments, command, parse_arguments};
pub use layers::Sources;
pub use options::{Kind, OPTIONS, OptionSpec};

/// Everything that the operator decides.
pub struct Config {
    /// Name of the provider: socket name, audience and key name follow it.
    pub provider_name: String,
    /// Where the driver calls.
    pub endpoint: PathBuf,
    /// Where probes and metrics are served.
    pub health_addr: Vec<SocketAddr>,
    /// How much is logged.
    pub log_level: ParsedLevel,
    /// In which form.
    pub log_format: LogFormat,
    /// What every Mount follows.
    pub rules: MountRules,
    /// Limits towards stores.
    pub http: HttpLimits,
    /// What connections follow.
    pub http_rules: HttpRules,
    /// Requests of one Mount in flight.
    pub inflight_per_mount: usize,
    /// The longest a Mount may take.
    pub mount_deadline: Duration,
    /// Logins that are kept; 0 keeps none.
    pub cache_size: usize,
    /// What plain reads brought is remembered up to so many bytes, besides the files that were made of it;
    /// 0 remembers nothing.
    pub cache_bytes: usize,
    /// Whether tokens are requested where the driver sent none.
    pub token_request: bool,
    /// How the API server is reached.
    pub kube: KubeAccess,
    /// Our own namespace; none for that of the service account.
    pub namespace: Option<String>,
    /// Where the version key comes from.
    pub hmac_source: HmacSource,
    /// Name of its Secret.
    pub hmac_secret_name: String,
    /// How often it is looked at.
    pub hmac_refresh: Duration,
    /// Whether Events are written on pods whose refreshes fail.
    pub events: bool,
    /// Token keys from a file instead of the API server.
    pub jwks_file: Option<PathBuf>,
    /// Where what was issued is kept over restarts; none for nowhere.
    pub state_dir: Option<PathBuf>,
    /// The node whose pods are watched; none for no watch.
    pub watched_node: Option<String>,
    /// How long what is in flight may finish at shutdown.
    pub drain: Duration,
    /// What is accepted but worth a warning.
    pub warnings: Vec<String>,
}

/// Where the version key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HmacSource {
    /// A Kubernetes Secret, made where there is none.
    Api,
    /// A file.
    File(PathBuf),
    /// Made at start.
    Generate,
}

impl Config {
    /// Reads the configuration.
    ///
    /// # Errors
    /// All problems of all sources.
    pub fn read(sources: &Sources) -> Result<Self, Vec<Problem>> {
        let mut reader = values::Reader::new(sources);
        let name = provider_name(&mut reader, sources);
        let (cache_size, cache_bytes) = caches(&mut reader);
        // Files are smaller than the answers that they are made of.
        let assembled_bytes = cache_bytes / 4;
        let dialect = Dialect::of_provider(&name);
        let layers = layers(&mut reader, sources);
        let own = own_addresses(&layers, &mut reader.problems);
        let policy = policy(&mut reader);
        let redirects = policy
            .allowed_addresses
            .iter()
            .flatten()
            .filter_map(|text| Address::parse(text).ok())
            .collect();
        let config = Self {
            endpoint: endpoint(&mut reader, &name),
            health_addr: health_addr(&mut reader),
            log_level: log_level(&mut reader),
            log_format: log_format(&mut reader),
            http: http_limits(&mut reader),
            http_rules: HttpRules {
                headers: headers(&mut reader),
                proxy: proxy(&mut reader),
                no_redirects: reader.flag("vault-disable-redirects"),
                own,
                redirects,
                nameservers: Nameservers::System,
                tls_dirs: policy
                    .allowed_tls_dirs
                    .clone()
                    .unwrap_or_else(|| vec![DEFAULT_TLS_DIR.to_owned()]),
            },
            inflight_per_mount: reader.number("inflight-per-mount", 1, 64),
            mount_deadline: reader.duration("mount-deadline"),
            cache_size,
            cache_bytes: cache_bytes - assembled_bytes,
            token_request: reader.one_of("token-request", &["auto", "off"]) == "auto",
            kube: kube_access(&mut reader),
            namespace: reader.text("namespace"),
            hmac_source: hmac_source(&mut reader),
            hmac_secret_name: reader
                .text("hmac-secret-name")
                .unwrap_or_else(|| format!("{name}-csi-provider-hmac-key")),
            hmac_refresh: reader.duration("hmac-refresh"),
            events: reader.flag("events"),
            jwks_file: reader.text("jwks-file").map(PathBuf::from),
            state_dir: state_dir(&mut reader, sources),
            watched_node: watched_node(&mut reader),
            drain: reader.duration("drain"),
            rules: MountRules {
                dialect,
                layers,
                auth_mount: reader
                    .default_text("vault-mount")
                    .trim_matches('/')
                    .to_owned(),
                audience: reader.text("audience").unwrap_or_else(|| name.clone()),
                login_per_pod: reader.one_of("login-scope", &["account", "pod"]) == "pod",
                policy,
                reply_bytes: reader.number("reply-bytes", 1 << 10, 1 << 30),
                refresh: refresh_rules(&mut reader),
                assembled_bytes,
            },
            warnings: sources.warnings(),
            provider_name: name,
        };
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(reader.problems)
        }
    }
}

fn provider_name(reader: &mut values::Reader<'_>, sources: &Sources) -> String {
    let name = sources.provider_name();
    let usable = name.len() <= 30
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if !usable {
        reader.problem(
            "provider-name",
            format!("\"{}\" is no provider name", shown(&name)),
            "use 1 to 30 letters, digits, `_` or `-`",
        );
    }
    name
}

/// The connection settings of each source; that SRV records count is said in all of them or in none.
fn layers(reader: &mut values::Reader<'_>, sources: &Sources) -> Vec<Layer> {
    let srv_lookup = reader.flag("vault-srv-lookup");
    let mut layers = sources.layers(&mut reader.problems);
    for layer in &mut layers {
        layer.srv_lookup = srv_lookup;
    }
    layers
}

fn endpoint(reader: &mut values::Reader<'_>, name: &str) -> PathBuf {
    let text = reader
        .text("endpoint")
        .unwrap_or_else(|| format!("/tmp/{name}.sock"));
    PathBuf::from(text.strip_prefix("unix://").unwrap_or(&text))
}

/// `:8080` means every address of the host, as in Go.
fn health_addr(reader: &mut values::Reader<'_>) -> Vec<SocketAddr> {
    let text = reader.default_text("health-addr");
    let candidates = match text.strip_prefix(':') {
        Some(port) => vec![format!("[::]:{port}"), format!("0.0.0.0:{port}")],
        None => vec![text.replace("localhost", "127.0.0.1")],
    };
    let parsed: Result<Vec<SocketAddr>, _> = candidates.iter().map(|text| text.parse()).collect();
    parsed.unwrap_or_else(|_| {
        reader.problem(
            "health-addr",
            format!("\"{}\" is no address with a port", shown(&text)),
            "write :8080 or 127.0.0.1:8080",
        );
        Vec::new()
    })
}

/// The one option of which an empty value says something.
fn state_dir(reader: &mut values::Reader<'_>, sources: &Sources) -> Option<PathBuf> {
    let text = match reader.text("state-dir") {
        None if sources.is_emptied("state-dir") => return None,
        text => text.unwrap_or_else(|| reader.default_text("state-dir")),
    };
    if text != "off" && !text.starts_with('/') {
        reader.problem(
            "state-dir",
            format!("\"{}\" is no absolute path", shown(&text)),
            "write the path of a directory on a tmpfs, or off",
        );
    }
    (text != "off").then(|| PathBuf::from(text))
}

fn watched_node(reader: &mut values::Reader<'_>) -> Option<String> {
    let node = reader.text("node-name");
    if !reader.flag("watch-pods") {
        return None;
    }
    if node.is_none() {
        reader.problem(
            "node-name",
            "is empty, but --watch-pods needs it",
            "set COFFER_NODE_NAME from the pod's spec.nodeName",
        );
    }
    node
}

fn log_level(reader: &mut values::Reader<'_>) -> ParsedLevel {
    // The level beats the deprecated switch when both are given.
    match reader.text("log-level") {
        Some(text) => Level::parse(&text),
        None if reader.flag("debug") => Level::parse("debug"),
        None => Level::parse("info"),
    }
}

fn log_format(reader: &mut values::Reader<'_>) -> LogFormat {
    let word = reader.one_of("log-format", &["json", "text"]);
    LogFormat::parse(word).unwrap_or(LogFormat::Json)
}

fn http_limits(reader: &mut values::Reader<'_>) -> HttpLimits {
    let defaults = HttpLimits::default();
    // The peers' client timeout covers a request; ours covers its phases and never grows beyond them.
    let request = reader.optional_duration("vault-client-timeout");
    let first_byte = request.map_or(defaults.first_byte, |limit| limit.min(defaults.first_byte));
    HttpLimits {
        first_byte,
        body_bytes: reader.number("store-body-bytes", 1 << 10, 1 << 30),
        buffered_bytes: reader.number("buffered-bytes", 1 << 20, 1 << 32),
        in_flight: reader.number("inflight", 1, 10_000),
        in_flight_per_address: reader.number("inflight-per-address", 1, 10_000),
        tries: 1 + u32::try_from(reader.number("vault-max-retries", 0, 100))
            .unwrap_or(0)
            .min(MAX_TRIES - 1),
        rate: rate(reader),
        ..defaults
    }
}

fn proxy(reader: &mut values::Reader<'_>) -> Option<String> {
    let option = ["vault-proxy-addr", "vault-http-proxy"];
    let (name, proxy) = option
        .into_iter()
        .find_map(|name| Some((name, reader.text(name)?)))?;
    if reqwest::Proxy::all(&proxy).is_err() {
        reader.problem(name, "is no URL", "write http://host:port");
    }
    Some(proxy)
}

fn rate(reader: &mut values::Reader<'_>) -> Option<Rate> {
    let text = reader.text("vault-rate-limit")?;
    let rate = Rate::parse(&text);
    if rate.is_none() {
        reader.problem(
            "vault-rate-limit",
            format!("\"{}\" is no rate", shown(&text)),
            "write requests per second, or rate:burst",
        );
    }
    rate
}

/// Our own headers cannot be replaced: they say who asks and where.
fn headers(reader: &mut values::Reader<'_>) -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    let Some(text) = reader.text("vault-headers") else {
        return headers;
    };
    let parsed: Option<BTreeMap<String, String>> = serde_json::from_str(&text).ok();
    for (name, value) in parsed.iter().flatten() {
        let pair = (
            http::HeaderName::try_from(name.as_str()),
            http::HeaderValue::try_from(value.as_str()),
        );
        match pair {
            (Ok(name), Ok(value)) if !name.as_str().starts_with("x-vault-") => {
                headers.append(name, value);
            }
            _ => reader.problem(
                "vault-headers",
                format!("\"{}\" cannot be sent", shown(name)),
                "use a header that does not start with X-Vault-",
            ),
        }
    }
    if parsed.is_none() {
        reader.problem(
            "vault-headers",
            "is no JSON map of text",
            "write {\"Name\":\"value\"}",
        );
    }
    headers
}

fn refresh_rules(reader: &mut values::Reader<'_>) -> RefreshRules {
    let rules = RefreshRules {
        interval: reader.duration_or_zero("refresh-interval"),
        floor: reader.duration_or_zero("min-refresh-interval"),
        ceiling: reader.duration_or_zero("max-refresh-interval"),
        max_stale: reader
            .text("max-stale")
            .map(|_| reader.duration_or_zero("max-stale")),
    };
    if rules.floor > rules.ceiling {
        reader.problem(
            "min-refresh-interval",
            "is longer than --max-refresh-interval",
            "set the one below the other",
        );
    }
    rules
}

/// How many logins and how many bytes of answers are kept. Without logins there are no answers either.
fn caches(reader: &mut values::Reader<'_>) -> (usize, usize) {
    let bytes = reader.number("cache-bytes", 1 << 10, 1 << 32);
    let logins = cache_size(reader);
    let is_on = reader.one_of("cache", &["on", "off"]) == "on" && logins > 0;
    if is_on { (logins, bytes) } else { (0, 0) }
}

/// 0 and less switch the cache off, as with the peers.
fn cache_size(reader: &mut values::Reader<'_>) -> usize {
    let text = reader.default_text("cache-size");
    match text.parse::<i64>() {
        Ok(size) => usize::try_from(size).unwrap_or(0),
        Err(_) => {
            reader.problem(
                "cache-size",
                format!("\"{}\" is no whole number", shown(&text)),
                "write how many logins to keep, or 0",
            );
            0
        }
    }
}

fn kube_access(reader: &mut values::Reader<'_>) -> KubeAccess {
    match reader.text("kubeconfig").as_deref() {
        None => KubeAccess::InCluster,
        Some("off") => KubeAccess::Off,
        Some(path) => KubeAccess::Kubeconfig(PathBuf::from(path)),
    }
}

fn hmac_source(reader: &mut values::Reader<'_>) -> HmacSource {
    match reader.text("hmac-key-file") {
        Some(path) => HmacSource::File(PathBuf::from(path)),
        None => match reader.one_of("hmac-source", &["api", "file", "generate"]) {
            "generate" => HmacSource::Generate,
            "file" => {
                reader.problem(
                    "hmac-key-file",
                    "is missing",
                    "name the file that holds the key",
                );
                HmacSource::Generate
            }
            _ => HmacSource::Api,
        },
    }
}

fn policy(reader: &mut values::Reader<'_>) -> Policy {
    let profile = match reader.one_of("policy-profile", &["compat", "strict"]) {
        "strict" => Profile::Strict,
        _ => Profile::Compat,
    };
    let policy = Policy {
        profile,
        allowed_addresses: reader.list("allowed-addresses"),
        allowed_namespaces: reader.list("allowed-namespaces"),
        allowed_auth_mounts: reader.list("allowed-auth-mounts"),
        allowed_methods: reader.list("allowed-methods"),
        allowed_tls_dirs: reader.list("allowed-tls-dirs"),
        allow_plain_http: reader.flag("allow-plain-http"),
        allow_skip_tls_verify: reader.flag("allow-skip-tls-verify"),
        allow_api_server_audience: reader.flag("allow-api-server-audience"),
        lock_connection: reader.flag("lock-connection"),
    };
    for entry in policy
        .allowed_addresses
        .iter()
        .flatten()
        .filter(|entry| entry.as_str() != "*")
    {
        if let Err(bad) = Address::parse(entry) {
            reader.problem(
                "allowed-addresses",
                format!("\"{}\" {bad}", shown(entry)),
                "write https://host:port, or *",
            );
        }
    }
    policy
}

/// The operator's own addresses, if the layers name any.
fn own_addresses(layers: &[Layer], problems: &mut Vec<Problem>) -> Vec<Address> {
    match Layer::resolve(&layers.iter().collect::<Vec<_>>()) {
        Ok(target) => target.address.iter().cloned().collect(),
        Err(found) => {
            problems.extend(found);
            Vec::new()
        }
    }
}
