//! What a typed Secret is, and what to do next about it.
//!
//! Pure: nothing here does I/O or knows a clock, randomness or a Kubernetes client; `now` and jitter are
//! arguments. The shell (`coffer-sync`) carries out what is decided here.

/// What the API server's answers to a write mean.
pub mod answer;
/// Which sources are ours, who owns a Secret, and which of two sources may write one.
pub mod claim;
/// Conditions, reasons and messages: one outcome becomes the whole status.
pub mod condition;
/// From what is wanted and what is there to the next write, or none.
pub mod decide;
/// Keyed fingerprints of content.
pub mod fingerprint;
/// Points in time without panics.
pub mod instant;
/// From the files of a provider to the keys of a Secret.
pub mod mapping;
/// The annotations under `coffer.rs/`.
pub mod options;
/// What is wrong with what a person wrote.
pub mod problem;
/// The Secret that would be written.
pub mod render;
/// Which workloads are restarted, when and by which patch.
pub mod restart;
/// When an object is synced, and which of several comes first.
pub mod schedule;
