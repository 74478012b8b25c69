//! The hermetic level: our own binary on a real unix socket against a scripted store on loopback.
//!
//! Faults that a real store cannot be made to show, orders and counts. No external binary is needed. The ids in
//! a test's doc line are rows of the tables of faults and of the peers' defects that it guards.

/// Store, issuer, provider and driver of one test.
mod stage;

/// Several addresses of one store.
mod addresses;
/// The command that asks a running provider.
mod asking;
/// A store that is left alone for a while.
mod breakers;
/// Callers that are no driver.
mod callers;
/// To whom our client certificate is shown.
mod client_certificate;
/// Command line and configuration.
mod config;
/// Version, and requests of older drivers.
mod drivers;
/// What is refused before any request.
mod inputs;
/// What was issued for a pod.
mod kept;
/// The life of leases and their tokens.
mod leases;
/// Sizes and numbers.
mod limits;
/// Answers to a login.
mod login_answers;
/// Silence, cuts, and addresses where nobody answers.
mod network;
/// The dialect of OpenBao's provider.
mod openbao;
/// A store that is away for a while.
mod outage;
/// The operator's rules.
mod policy;
/// Whose login a token may ride.
mod proofs;
/// Proxies that the environment names.
mod proxies;
/// Answers to a read: empty, no JSON, too large.
mod read_answers;
/// No secret byte outside of a reply.
mod redaction;
/// Redirects.
mod redirects;
/// How often the store is asked for running pods.
mod refresh;
/// Which requests a class needs, and how often they are sent.
mod requests;
/// What was issued, over a restart of the provider.
mod restart;
/// Too few descriptors, and a log that nobody takes.
mod scarcity;
/// Logins: shared, renewed, refused.
mod sessions;
/// The end of the process.
mod shutdown;
/// Probes, metrics, log.
mod signs;
/// The socket's file.
mod socket;
/// Addresses that are found by SRV records.
mod srv;
/// The last good bytes of running pods.
mod stale;
/// Statuses that speak of the store as a whole, and what is tried again.
mod store_states;
/// What is told of a failure.
mod texts;
/// TLS that is wrong.
mod tls;
/// Which token is used.
mod tokens;
/// What becomes of a login.
mod upkeep;
