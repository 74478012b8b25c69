//! The test harness: plays the driver, runs real stores and API servers, and scripts false ones.
//!
//! What Coffer should do is asserted in the levels `it` and `e2e`, not here; here is only what they
//! stand on, and the tests that prove it. A missing binary is an error, never a skip. Modules in
//! reading order:

/// A real kube-apiserver with etcd.
pub mod apiserver;
/// A nameserver whose every answer a test decides, in process.
pub mod dns;
/// Plays the Secrets Store CSI driver and kubelet against a provider's socket.
pub mod driver;
/// Directories, ports and waiting.
pub mod fixture;
/// Helm on the chart, without a cluster.
pub mod helm;
/// The provider in the test's own process, with a clock of the test.
pub mod in_process;
/// The real provider binary as a process.
pub mod provider;
/// Stands between a provider and a real store: counts, delays, cuts.
pub mod proxy;
/// The pages of `docs/reference` that are made from the code.
pub mod reference;
/// A store whose every answer a test decides, in process.
pub mod scripted;
/// The real controller binary as a process.
pub mod syncer;
/// Certificates for servers and clients, and the one crypto provider.
pub mod tls;
/// A real OpenBao or Vault, and the identities that log in to it.
pub mod vault;

/// A provider of any vendor, whose every answer a test decides, in process.
pub mod vendor;

/// The measurements of `make bench`.
pub mod bench;

/// What `make demo` shows, and the folders of `examples/`.
pub mod demo;

/// A cluster with a node that runs real pods, for `make cluster-test`.
pub mod node;

/// HTTP/1.1 requests off a socket, for the scripted store and the proxy.
mod http1;
/// Child processes that end with their owner.
pub mod process;
