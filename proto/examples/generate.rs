//! Writes `src/gen/v1alpha1.rs` from the contract; `make generate` runs it.

#[path = "../tests/generation.rs"]
mod generation;

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    let code = generation::generate(crate_dir)?;
    std::fs::write(crate_dir.join("src/gen/v1alpha1.rs"), code)?;
    Ok(())
}
