//! The contract between the Secrets Store CSI driver and a provider.
//!
//! Messages are generated from `csi/v1alpha1/service.proto` and committed; the attribute names that the
//! driver uses live in [`attributes`] and nowhere else. No server and no policy belongs here.

/// The keys of the driver's attributes and the service account tokens among them.
pub mod attributes;
mod redact;

/// The generated messages, with the gRPC client and server behind the features of those names.
#[allow(
    clippy::allow_attributes_without_reason,
    clippy::str_to_string,
    reason = "generated code is not ours to style, and what it holds depends on the features"
)]
pub mod v1alpha1 {
    include!("gen/v1alpha1.rs");
}
