//! What the server asks of whoever carries Mounts out, in the core's own types.
//!
//! The gRPC code sees no store and no login; a stand-in is twenty lines.

use async_trait::async_trait;
use coffer_provider_core::fault::{MountFault, Phase};
use coffer_provider_core::params::{MountSpec, Wire};
use tokio::time::Instant;

use crate::mounter::Mounted;
use crate::volumes::News;

/// Carries Mounts out.
#[async_trait]
pub trait Mounts: Send + Sync {
    /// Reads a request, without I/O.
    ///
    /// # Errors
    /// All problems at once.
    fn read(&self, wire: Wire<'_>) -> Result<MountSpec, MountFault>;

    /// Whether this process answered the volume before.
    fn phase(&self, spec: &MountSpec) -> Phase;

    /// Carries a request out until `deadline`.
    ///
    /// # Errors
    /// Why there is no file at all.
    async fn mount(&self, spec: &MountSpec, deadline: Instant) -> Result<Mounted, MountFault>;

    /// Notes how a Mount ended; what is to be told to those who watch its pod.
    fn ended(&self, spec: &MountSpec, outcome: &Result<Mounted, MountFault>) -> Option<News>;
}
