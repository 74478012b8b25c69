//! Every option once: its names, its kind, the peers' environment names, its default and its meaning.
//!
//! Command line, environment, configuration file and the reference page are made from this table.

/// What an option's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// `true` or `false`, as Go reads it; the bare flag means true.
    Bool,
    /// `30s`, `2m`, or seconds.
    Duration,
    /// A whole number; sizes may end in `Ki`, `Mi` or `Gi`.
    Number,
    /// Entries separated by commas.
    List,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its name as a flag, and in the configuration file. The environment has it as `COFFER_…` too.
    pub name: &'static str,
    /// Other names of the flag, as the peers have them.
    pub aliases: &'static [&'static str],
    /// What its value is.
    pub kind: Kind,
    /// The part behind `VAULT_` or `BAO_` of the peers' environment name; empty if they have none.
    pub peer_env: &'static str,
    /// What counts when nobody says anything; empty where that depends.
    pub default: &'static str,
    /// What it means.
    pub help: &'static str,
}

const fn option(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        aliases: &[],
        kind,
        peer_env: "",
        default,
        help,
    }
}

const fn peer(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind,
    peer_env: &'static str,
    default: &'static str,
    help: &'static str,
) -> OptionSpec {
    OptionSpec {
        name,
        aliases,
        kind,
        peer_env,
        default,
        help,
    }
}

use Kind::{Bool, Duration, List, Number, Text};

/// All options, those of the peers first.
pub const OPTIONS: &[OptionSpec] = &[
    option(
        "endpoint",
        Text,
        "",
        "Path of the unix socket that the driver calls [default: /tmp/<provider name>.sock]",
    ),
    option(
        "health-addr",
        Text,
        ":8080",
        "Address of probes and metrics",
    ),
    option(
        "log-level",
        Text,
        "",
        "trace, debug, info, warn, error or off [default: info]",
    ),
    option(
        "debug",
        Bool,
        "false",
        "Deprecated: the same as --log-level=debug",
    ),
    option(
        "hmac-secret-name",
        Text,
        "",
        "Secret that holds the key of object versions [default: <provider name>-csi-provider-hmac-key]",
    ),
    option(
        "cache-size",
        Number,
        "1000",
        "How many logins are kept; 0 or less means --cache=off",
    ),
    peer(
        "vault-addr",
        &["openbao-addr", "bao-addr"],
        Text,
        "ADDR",
        "",
        "Address of the store for classes that name none, or several of its nodes separated by commas, the wanted one first [default: https://127.0.0.1:8200]",
    ),
    peer(
        "vault-mount",
        &["openbao-mount", "bao-mount"],
        Text,
        "",
        "kubernetes",
        "Auth mount of classes that name none",
    ),
    peer(
        "vault-namespace",
        &["openbao-namespace", "bao-namespace"],
        Text,
        "NAMESPACE",
        "",
        "Store namespace of classes that name none",
    ),
    peer(
        "vault-tls-ca-cert",
        &["openbao-tls-ca-cert", "bao-tls-ca-cert"],
        Text,
        "CACERT",
        "",
        "PEM file with the trusted certificates",
    ),
    peer(
        "vault-tls-ca-directory",
        &["openbao-tls-ca-directory", "bao-tls-ca-directory"],
        Text,
        "CAPATH",
        "",
        "Directory of such files",
    ),
    peer(
        "vault-tls-ca-pem",
        &["openbao-tls-ca-pem", "bao-tls-ca-pem"],
        Text,
        "CACERT_BYTES",
        "",
        "The trusted certificates themselves, as PEM",
    ),
    peer(
        "vault-tls-server-name",
        &["openbao-tls-server-name", "bao-tls-server-name"],
        Text,
        "TLS_SERVER_NAME",
        "",
        "Name for SNI and verification",
    ),
    peer(
        "vault-tls-client-cert",
        &["openbao-tls-client-cert", "bao-tls-client-cert"],
        Text,
        "CLIENT_CERT",
        "",
        "PEM file of the client certificate",
    ),
    peer(
        "vault-tls-client-key",
        &["openbao-tls-client-key", "bao-tls-client-key"],
        Text,
        "CLIENT_KEY",
        "",
        "PEM file of its key",
    ),
    peer(
        "vault-tls-skip-verify",
        &["openbao-tls-skip-verify", "bao-tls-skip-verify"],
        Bool,
        "SKIP_VERIFY",
        "false",
        "Accept any certificate of the store",
    ),
    peer(
        "vault-client-timeout",
        &[],
        Duration,
        "CLIENT_TIMEOUT",
        "",
        "How long the head of an answer is waited for, at most 10 s",
    ),
    peer(
        "vault-max-retries",
        &[],
        Number,
        "MAX_RETRIES",
        "2",
        "How often a request that only reads is sent again, at most twice",
    ),
    peer(
        "vault-rate-limit",
        &[],
        Text,
        "RATE_LIMIT",
        "",
        "Requests per second to stores, as rate or rate:burst",
    ),
    peer(
        "vault-headers",
        &[],
        Text,
        "HEADERS",
        "",
        "Headers that every request carries, as a JSON map of text",
    ),
    peer(
        "vault-proxy-addr",
        &[],
        Text,
        "PROXY_ADDR",
        "",
        "Proxy for every store instead of HTTP_PROXY and HTTPS_PROXY",
    ),
    peer(
        "vault-http-proxy",
        &[],
        Text,
        "HTTP_PROXY",
        "",
        "Older name of --vault-proxy-addr, which beats it",
    ),
    peer(
        "vault-disable-redirects",
        &[],
        Bool,
        "DISABLE_REDIRECTS",
        "false",
        "Follow no redirect at all",
    ),
    peer(
        "vault-srv-lookup",
        &[],
        Bool,
        "SRV_LOOKUP",
        "false",
        "Find host and port of an address without a port by the SRV records _http._tcp.<host>",
    ),
    option(
        "provider-name",
        Text,
        "",
        "Name that classes use in spec.provider [default: base name of the endpoint's socket]",
    ),
    option(
        "audience",
        Text,
        "",
        "Audience looked up among the driver's tokens when a class names none [default: provider name]",
    ),
    option(
        "token-request",
        Text,
        "auto",
        "Request a token where the driver sent none: auto or off",
    ),
    option(
        "login-scope",
        Text,
        "account",
        "Who shares a login: account (all pods of a service account) or pod, for roles that bind pods",
    ),
    option("log-format", Text, "json", "json or text"),
    option(
        "hmac-source",
        Text,
        "api",
        "Where the key of object versions comes from: api, file or generate",
    ),
    option(
        "hmac-key-file",
        Text,
        "",
        "File that holds the key; implies --hmac-source=file",
    ),
    option(
        "hmac-refresh",
        Duration,
        "1m",
        "How often the key is looked at, off the mount path",
    ),
    option(
        "kubeconfig",
        Text,
        "",
        "Reach the API server by this file instead of as a pod; off: not at all",
    ),
    option(
        "namespace",
        Text,
        "",
        "Namespace of the provider [default: that of its service account]",
    ),
    option(
        "events",
        Bool,
        "false",
        "Write Events on pods whose refreshes fail or run on old bytes; needs the right to create events",
    ),
    option(
        "jwks-file",
        Text,
        "",
        "Prove tokens by the keys of this file instead of the API server's",
    ),
    option(
        "policy-profile",
        Text,
        "compat",
        "compat allows what the peers allow, strict only what the operator names",
    ),
    option(
        "allowed-addresses",
        List,
        "",
        "Store addresses that classes may name besides --vault-addr; * for any",
    ),
    option(
        "allowed-namespaces",
        List,
        "",
        "Store namespaces that classes may name",
    ),
    option(
        "allowed-auth-mounts",
        List,
        "",
        "Auth mounts that classes may name",
    ),
    option("allowed-methods", List, "", "Methods that objects may use"),
    option(
        "allowed-tls-dirs",
        List,
        "",
        "Directories for TLS files of classes",
    ),
    option(
        "allow-plain-http",
        Bool,
        "false",
        "Under strict: allow http",
    ),
    option(
        "allow-skip-tls-verify",
        Bool,
        "false",
        "Under strict: allow vaultSkipTLSVerify",
    ),
    option(
        "allow-api-server-audience",
        Bool,
        "false",
        "Under strict: allow tokens for the API server's own audience",
    ),
    option(
        "lock-connection",
        Bool,
        "false",
        "Address, namespace, auth mount and TLS come from the operator alone",
    ),
    option(
        "mount-deadline",
        Duration,
        "30s",
        "The longest that a Mount may take",
    ),
    option(
        "inflight-per-mount",
        Number,
        "8",
        "Requests of one Mount in flight",
    ),
    option(
        "inflight",
        Number,
        "64",
        "Requests of all Mounts in flight; refreshes use three quarters of them at most",
    ),
    option(
        "inflight-per-address",
        Number,
        "48",
        "Requests in flight to one address of a store",
    ),
    option(
        "refresh-interval",
        Duration,
        "45s",
        "How far the files of running pods may lag behind the store, for classes without refreshInterval; 0: read at every republish",
    ),
    option(
        "min-refresh-interval",
        Duration,
        "0",
        "The shortest refreshInterval that a class may have",
    ),
    option(
        "max-refresh-interval",
        Duration,
        "24h",
        "The longest refreshInterval that a class may have",
    ),
    option(
        "max-stale",
        Duration,
        "",
        "How old the last good bytes may be that answer while the store cannot; 0: never [default: any age]",
    ),
    option(
        "cache",
        Text,
        "on",
        "off: remember neither logins nor answers; only what was issued for a pod is kept, as its lease must be",
    ),
    option(
        "cache-bytes",
        Number,
        "16Mi",
        "All remembered answers together",
    ),
    option(
        "store-body-bytes",
        Number,
        "8Mi",
        "Largest answer of a store",
    ),
    option(
        "buffered-bytes",
        Number,
        "32Mi",
        "All answers in memory together",
    ),
    option(
        "reply-bytes",
        Number,
        "4Mi",
        "Largest reply to the driver: its --max-call-recv-msg-size",
    ),
    option(
        "state-dir",
        Text,
        "/run/coffer",
        "Directory on a tmpfs for what was issued, sealed over restarts; empty or off: none",
    ),
    option(
        "watch-pods",
        Bool,
        "false",
        "Watch this node's pods and revoke the leases of those that are gone; roles need update on sys/leases/revoke",
    ),
    option("node-name", Text, "", "Name of this node, for --watch-pods"),
    option(
        "drain",
        Duration,
        "20s",
        "How long what is in flight may finish at shutdown",
    ),
];

/// Finds an option by its name or an alias.
#[must_use]
pub(super) fn find(name: &str) -> Option<&'static OptionSpec> {
    OPTIONS
        .iter()
        .find(|option| option.name == name || option.aliases.contains(&name))
}
