//! What both programs stand on as processes, and nothing of what they are for.
//!
//! The provider and the controller share no other code but the contract: they can crash and be granted rights apart, and this is the part
//! in which they would otherwise say the same thing in two ways.

/// Connections of an admin port, of which there are never too many.
pub mod connections;
/// What a scrape says about the process.
pub mod figures;
/// No core dumps, few arenas.
pub mod process;
/// The log.
pub mod telemetry;
/// Variables of the environment that Kubernetes sets.
pub mod variables;
