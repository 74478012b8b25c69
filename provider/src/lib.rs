//! The provider's shell: serves the driver on a unix socket, fetches from the store, reports.
//!
//! What a Mount means is decided in `coffer-provider-core`; nothing here re-decides it. Modules in
//! reading order:

/// `/livez`, `/readyz` and `/metrics` on one listener.
pub mod admin;
/// Files made before from the same answers.
pub mod assemblies;
/// Serves drivers up to 1.5.6, whose `:authority` is a path that h2 refuses.
pub mod authority;
/// What a test's own thread logs.
#[cfg(test)]
mod captured;
/// The commands that a person runs by hand.
pub mod cli;
/// File < environment < flags, one `Config`, all problems together.
pub mod config;
/// SRV records, asked of nameservers.
pub mod dns;
/// Events on pods whose republishes fail, behind a queue.
pub mod events;
/// The Kubernetes API, off the mount path.
pub mod kube;
/// Counters, gauges and histograms, all with closed label sets.
pub mod metrics;
/// A Mount from its strings to its files.
pub mod mounter;
/// Which pods of this node are gone, so that what was issued for them is given back.
pub mod pods;
/// What is needed from outside besides stores.
pub mod ports;
/// Proves service account tokens against the cluster's keys.
pub mod proof;
/// Starts everything, serves, and ends it in order.
pub mod run;
/// The gRPC service: budget, panic boundary, log line and metrics around each Mount.
pub mod server;
/// The unix socket: private from birth, taken over by rename, root or own uid only.
pub mod socket;
/// What was issued for pods, sealed over restarts.
pub mod state;
/// From the reason of a failed Mount to its gRPC code.
pub mod status;
/// The store: connections, logins, reads, and what was issued for a pod.
pub mod vault;
/// The key of object versions.
pub mod version_key;
/// Which volumes were answered, with what, and which of them fail.
pub mod volumes;
