//! The shell of coffer-sync: watches sources, asks providers over their sockets, writes typed Secrets, reports.
//!
//! What a typed Secret is and what to do next is decided in `coffer-sync-core`. Nothing here speaks to a store.
//! Modules in reading order:

/// The Kubernetes API.
pub mod cluster;
/// The loop: changes in, rounds out.
pub mod controller;
/// From a spec and files to the Secret that would be written.
pub mod desired;
/// Who leads.
pub mod election;
/// What providers return, asked once for all who want it.
pub mod fetch;
/// What is kept of one object between its rounds.
pub mod memory;
/// Providers, asked as the driver asks them.
pub mod provider;
/// Calls per second.
pub mod rate;
/// Workloads that restart when a Secret changed.
pub mod restarts;
/// One round of one object: fetch, decide, act, tell.
pub mod round;
/// Starts everything, leads while the Lease is ours, and ends it in order.
pub mod run;
/// Tokens of ServiceAccounts that are still good.
pub mod token;
/// Watches as a stream of changes.
pub mod watch;
/// The known sources and the objects that follow from them.
pub mod world;

/// `/livez`, `/readyz`, `/metrics` and `/objects` on one listener.
pub mod admin;
/// The commands that a person runs by hand.
pub mod cli;
/// File < environment < flags, one `Config`, all problems together.
pub mod config;
/// Groups and versions of the two kinds.
pub mod kinds;
/// Jitter.
pub mod luck;
/// The specs of the two kinds, read leniently.
pub mod manifest;
/// Counters, gauges and histograms, all with closed label sets.
pub mod metrics;
