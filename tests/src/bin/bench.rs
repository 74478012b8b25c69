//! Measures the provider and writes `docs/benchmarks.md`; `make bench` runs it on a release build.
//!
//! Loopback only, bounded in count, ends by itself. No test reads these figures.

use anyhow::Result;

fn main() -> Result<()> {
    coffer_tests::tls::install_crypto();
    let runtime = tokio::runtime::Runtime::new()?;
    let report = runtime.block_on(coffer_tests::bench::run())?;
    let path = coffer_tests::fixture::repository().join("docs/benchmarks.md");
    std::fs::write(path, report)?;
    Ok(())
}
