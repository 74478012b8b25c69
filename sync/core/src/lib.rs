//! What a typed Secret is.
//!
//! Pure: nothing here does I/O or knows a clock or Kubernetes' client; the compiler guards it, because
//! this crate depends on no runtime and no client. Modules in reading order:

/// Makes the keys that a type requires out of what stores keep.
pub mod build;
/// Bytes that never reach a log.
pub mod bytes;
/// Which keys, names, labels and annotations the API server takes.
pub mod key;
/// The types a Secret can have, what each requires, and which must be allowed by the operator.
pub mod secret_type;
/// Judges a Secret that is about to be written, and rules whether it may replace another.
pub mod validate;

/// What a certificate says.
mod certificate;
/// JSON as Go reads it.
mod json;
/// PEM as Go finds it.
mod pem;
/// Private keys in DER.
mod private_key;
