//! JSON as Go's encoding/json reads and writes it, because the peers' file contents and object
//! versions are that text, byte for byte.
//!
//! Numbers keep their digits, keys are sorted by bytes, `<`, `>` and `&` are escaped. Values may be
//! secret: there is no Debug, errors hold a position and a category only, and text is wiped on drop.

mod read;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use zeroize::Zeroize;

pub use read::{JsonError, JsonErrorKind};
pub use write::write_string;

/// How deep arrays and objects may nest, counted in brackets. Vault's own replies stay below ten;
/// the bound keeps recursion off the end of a worker's stack.
pub const MAX_DEPTH: usize = 128;

/// A JSON value that loses nothing of what it was read from but white space and key order.
///
/// ```compile_fail,E0277
/// println!("{:?}", coffer_provider_core::gojson::Json::Null);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as its digits were written: `10`, `1.0`, `1E400`.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object. A `BTreeMap` of strings iterates in byte order, as Go sorts.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// A float in Go's shortest form; none for infinities and NaN, which JSON cannot hold.
    #[must_use]
    pub fn float(value: f64) -> Option<Self> {
        value
            .is_finite()
            .then(|| Self::Number(write::float_text(value)))
    }

    /// The member of an object; none for other values.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_object()?.get(key)
    }

    /// The members, if this is an object.
    #[must_use]
    pub const fn as_object(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The elements, if this is an array.
    #[must_use]
    pub const fn as_array(&self) -> Option<&Vec<Self>> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text, if this is a string.
    #[must_use]
    pub const fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The number, if this is one without fraction or exponent that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// Whether this is `null`.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

impl Drop for Json {
    fn drop(&mut self) {
        match self {
            Self::Number(text) | Self::String(text) => text.zeroize(),
            Self::Null | Self::Bool(_) | Self::Array(_) | Self::Object(_) => {}
        }
    }
}
