//! The committed code equals what the contract generates.

mod generation;

use std::path::Path;

#[test]
fn the_committed_code_equals_its_source() {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let generated = generation::generate(crate_dir).unwrap();
    let committed = std::fs::read_to_string(crate_dir.join("src/gen/v1alpha1.rs")).unwrap();
    assert!(
        generated == committed,
        "src/gen/v1alpha1.rs differs from csi/v1alpha1/service.proto: run `make generate`"
    );
}
