//! The `output` attribute: how much of a reply is the file of an object that names no key.
//!
//! Only the names; the texts are made where the reply is (`response/whole.rs`, `extract.rs`).

/// What an object without `secretKey` gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Output {
    /// The whole reply as JSON, as with the peers.
    #[default]
    Full,
    /// Its data alone as JSON: of KV version 2 what stands in `data.data`, else `data`.
    Data,
}

impl Output {
    /// The names that the attribute takes.
    pub const NAMES: [&str; 2] = ["full", "data"];

    /// Reads the attribute, whose names have one case only; empty means unset. None for all else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "full" => Some(Self::Full),
            "data" => Some(Self::Data),
            _ => None,
        }
    }
}
