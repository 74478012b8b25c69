//! What a typed Secret is.
pub mod bytes;
pub mod secret_type;
