//! Every option once: its name, its kind, its default and its meaning.
//!
//! Command line, environment and configuration file are made from this table.

/// What an option's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// `true` or `false`; the bare flag means true.
    Bool,
    /// `30s`, `10m` or `1h30m`.
    Duration,
    /// A number; sizes may end in `Ki`, `Mi` or `Gi`.
    Number,
    /// Entries separated by commas; the flag may be repeated.
    List,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// Its name as a flag, and in the configuration file. The environment has it as `COFFER_SYNC_…` too.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// A variable that pods usually have it in; empty if there is none.
    pub variable: &'static str,
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
        kind,
        variable: "",
        default,
        help,
    }
}

const fn of_pod(name: &'static str, variable: &'static str, help: &'static str) -> OptionSpec {
    OptionSpec {
        name,
        kind: Kind::Text,
        variable,
        default: "",
        help,
    }
}

use Kind::{Bool, Duration, List, Number, Text};

/// All options.
pub const OPTIONS: &[OptionSpec] = &[
    option(
        "controller-name",
        Text,
        "coffer.rs/sync",
        "SecretSyncs whose secretSyncControllerName is this are synced",
    ),
    option(
        "claim-unnamed",
        Bool,
        "false",
        "Sync SecretSyncs too that name no controller; upstream's controller syncs them as well",
    ),
    option(
        "refresh-interval",
        Duration,
        "10m",
        "How often objects are fetched that say nothing else, 30s to 168h; 0 never",
    ),
    option(
        "watch-namespaces",
        List,
        "",
        "Namespaces that are served [default: all]",
    ),
    option(
        "provider-dirs",
        List,
        "/var/run/secrets-store-sync-providers,/etc/kubernetes/secrets-store-csi-providers,/var/run/secrets-store-csi-providers",
        "Directories in which sockets of providers are looked for, in this order",
    ),
    option(
        "provider-timeout",
        Duration,
        "30s",
        "The longest that one call of a provider may take",
    ),
    option(
        "max-response-bytes",
        Number,
        "4Mi",
        "The largest answer of a provider",
    ),
    option(
        "answer-bytes-in-flight",
        Number,
        "32Mi",
        "All answers in memory together",
    ),
    option(
        "audience",
        List,
        "",
        "<provider>=<audience>: providers that get a token of the ServiceAccount, and for whom it is",
    ),
    option(
        "audience-parameter",
        Text,
        "",
        "Parameter of a class that names the audience of its token",
    ),
    option(
        "allowed-types",
        List,
        "",
        "Types of Secrets that may be written [default: all but service account tokens and bootstrap tokens]",
    ),
    option("workers", Number, "8", "Objects that are worked on at once"),
    option(
        "provider-concurrency",
        Number,
        "8",
        "Calls of one provider at once",
    ),
    option(
        "provider-qps",
        Number,
        "40",
        "Calls of one provider per second",
    ),
    option(
        "provider-burst",
        Number,
        "80",
        "Calls of one provider that may follow each other without a pause",
    ),
    option(
        "kube-api-qps",
        Number,
        "50",
        "Requests to the API server per second",
    ),
    option(
        "kube-api-burst",
        Number,
        "100",
        "Requests to the API server that may follow each other without a pause",
    ),
    option(
        "kubeconfig",
        Text,
        "",
        "File that says how the API server is reached [default: the account of the pod]",
    ),
    option(
        "kube-context",
        Text,
        "",
        "Context of that file [default: its current one]",
    ),
    of_pod(
        "namespace",
        "POD_NAMESPACE",
        "Namespace of the Lease and of our own Secret [default: POD_NAMESPACE, or that of the account]",
    ),
    of_pod(
        "pod-name",
        "POD_NAME",
        "Our own Pod, as providers are told [default: POD_NAME, or the host's name]",
    ),
    of_pod(
        "pod-uid",
        "POD_UID",
        "uid of our own Pod [default: POD_UID]",
    ),
    option(
        "leader-elect",
        Bool,
        "true",
        "Work only while holding the Lease",
    ),
    option("lease-name", Text, "coffer-sync", "Name of the Lease"),
    option(
        "hmac-secret-name",
        Text,
        "coffer-sync-hmac",
        "Secret that holds the key of fingerprints",
    ),
    option(
        "drift-watch",
        Bool,
        "false",
        "Repair edits within seconds; needs the rights to list and watch Secrets",
    ),
    option(
        "recreate",
        Bool,
        "false",
        "The right to delete Secrets is granted: immutable Secrets and those of another type may be recreated",
    ),
    option(
        "restarts",
        Bool,
        "false",
        "The rights to read and patch workloads are granted: they may be restarted",
    ),
    option(
        "spc-status",
        Bool,
        "false",
        "Keep the state of classes and their pending restarts in an annotation; needs the right to patch them",
    ),
    option(
        "status-heartbeat",
        Duration,
        "1h",
        "After which time a status is written though nothing but time has changed",
    ),
    option(
        "per-object-metrics",
        Bool,
        "false",
        "Metrics with labels for namespace and name; thousands of objects make thousands of series",
    ),
    option(
        "crd-check-interval",
        Duration,
        "60s",
        "How often is looked for a CRD that was not there",
    ),
    option(
        "health-addr",
        Text,
        "0.0.0.0:8081",
        "Address of probes, metrics and the list of objects",
    ),
    option(
        "log-level",
        Text,
        "info",
        "trace, debug, info, warn or error",
    ),
    option("log-format", Text, "json", "json or text"),
];

pub(super) fn find(name: &str) -> Option<&'static OptionSpec> {
    OPTIONS.iter().find(|option| option.name == name)
}
