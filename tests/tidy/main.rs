//! House rules, checked as ordinary tests over the text of the repository.
//!
//! Only what neither the compiler nor clippy can see. A rule that is broken names file and line, and a
//! rule whose subject has moved away fails too, so that none passes by looking at nothing.

/// What crates may depend on.
mod dependencies;
/// The chart's manifests.
mod manifests;
mod monitoring;
/// The papers: links, changelog, names that must not stand anywhere.
mod papers;
/// Shape of Rust files.
mod shape;
/// What may stand in one file only.
mod single;
/// The files of the repository, and which lines of a Rust file are code of the product.
mod tree;
