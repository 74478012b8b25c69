//! The Secrets Store CSI driver, played to the letter: what it sends, how it calls, what it accepts.
//!
//! `attributes` writes the request, `client` calls, `oracle` judges the reply, `kubelet` does
//! with it what kubelet and the driver's writer do. Nothing here knows what Coffer means to answer.

/// The text of a MountRequest as drivers 1.5 and 1.6 write it.
pub mod attributes;
/// The one connection to a provider, with the driver's retries and deadline.
pub mod client;
/// How kubelet and the driver treat a volume over time.
pub mod kubelet;
/// What the driver accepts of a reply, and what it should have refused.
pub mod oracle;
/// How the driver puts files into a volume.
pub mod writer;

#[cfg(test)]
mod wire;

pub use attributes::{Class, DriverVersion, Pod, ServiceToken, Volume};
pub use client::{Driver, DriverOptions, MountOutcome};
pub use kubelet::{Kubelet, Published};
