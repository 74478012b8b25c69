//! What a typed Secret is, and what to do next about it.
//!
//! Pure: nothing here does I/O or knows a clock, randomness or Kubernetes' client; the compiler guards it, because
//! this crate depends on no runtime and no client. `now` and jitter are arguments. Modules in reading order:

/// What the API server's answers to a write mean.
pub mod answer;
/// Makes the keys that a type requires out of what stores keep.
pub mod build;
/// Which sources are ours, who owns a Secret, and which of two sources may write one.
pub mod claim;
/// Conditions, reasons and messages: one outcome becomes the whole status.
pub mod condition;
/// From what is wanted and what is there to the next write, or none.
pub mod decide;
/// Keyed fingerprints of content.
pub mod fingerprint;
/// From the files of a provider to the keys of a Secret.
pub mod mapping;
/// The annotations under `coffer.rs/`.
pub mod options;
/// The Secret that would be written.
pub mod render;
/// Which workloads are restarted, when and by which patch.
pub mod restart;
/// When an object is synced, and which of several comes first.
pub mod schedule;
/// Judges a Secret that is about to be written, and rules whether it may replace another.
pub mod validate;

/// Bytes that never reach a log.
pub mod bytes;
/// Points in time without panics.
pub mod instant;
/// Which keys, names, labels and annotations the API server takes.
pub mod key;
/// What is wrong with what a person wrote.
pub mod problem;
/// The types a Secret can have, what each requires, and which must be allowed by the operator.
pub mod secret_type;

/// What a certificate says.
mod certificate;
/// JSON as Go reads it.
mod json;
/// PEM as Go finds it.
mod pem;
/// Private keys in DER.
mod private_key;
