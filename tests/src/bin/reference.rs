//! Writes the pages of `docs/reference` that are made from the code; `make reference` runs it.

use anyhow::Result;
use coffer_tests::fixture::repository;
use coffer_tests::reference::pages;

fn main() -> Result<()> {
    for (path, text) in pages()? {
        std::fs::write(repository().join(path), text)?;
    }
    Ok(())
}
