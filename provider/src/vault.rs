//! The store: connections, logins, reads, and what was issued for a pod.
//!
//! Which path means what is decided in `coffer-provider-core`. Requests are built by `vaultrs` and
//! `rustify`; everything that those do not make safe (body limits, redirects, error texts, tokens in
//! Debug) is done here. Modules in reading order:

/// The requests that are sent: a login, an object, token and lease upkeep.
pub mod endpoint;
/// Equal reads in flight are one.
pub mod flights;
/// One connection pool per target; a request in, status and body out.
pub mod http;
/// What was issued for a pod, kept for that pod.
pub mod kept;
/// What plain reads brought, remembered per login.
pub mod memory;
/// A limit on requests per second.
pub mod rate;
/// Fetches the answers of a Mount: from what was kept, or from the store.
pub mod reads;
/// Tries a read again while that can help.
pub mod retry;
/// One login per identity, single-flight.
pub mod session;
/// TLS material from files, reloaded when they change.
pub mod tls;
