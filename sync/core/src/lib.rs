//! What a typed Secret is.
pub mod build;
pub mod bytes;
mod certificate;
mod json;
pub mod key;
mod pem;
mod private_key;
pub mod secret_type;
pub mod validate;
