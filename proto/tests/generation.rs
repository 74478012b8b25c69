//! How `src/gen` is made from the contract. Shared by the generator and the test that compares.

use std::path::Path;

/// Generates the Rust code of the contract.
///
/// Messages that carry secrets get their Debug from `src/redact.rs`; the gRPC client and server stand
/// behind features, so that the pure cores can use the crate without tonic.
pub(crate) fn generate(crate_dir: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let out = tempfile::tempdir()?;
    let root = crate_dir.join("csi/v1alpha1");
    let descriptors = protox::compile(["service.proto"], [&root])?;
    let mut config = prost_build::Config::new();
    config.bytes([".v1alpha1.File.contents"]);
    config.skip_debug(["MountRequest", "MountResponse", "File"].map(|m| format!(".v1alpha1.{m}")));
    tonic_prost_build::configure()
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .build_transport(false)
        .out_dir(out.path())
        .compile_fds_with_config(descriptors, config)?;
    Ok(std::fs::read_to_string(out.path().join("v1alpha1.rs"))?)
}
