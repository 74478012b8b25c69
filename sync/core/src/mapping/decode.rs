//! What may be done to the bytes of one file: unpacking, and taking one part of a JSON document.
//!
//! Messages say what kind of thing was wrong and where, never which bytes stood there.

use std::collections::BTreeMap;
use std::io::Read as _;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use flate2::read::MultiGzDecoder;
use serde_json::value::RawValue;

use super::Value;

/// What unpacked data may come to: an answer of a provider is no larger either.
const UNPACKED: u64 = 4 << 20;

/// The standard alphabet, padded or not, as the programs that people use write it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How the bytes of a file are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Decode {
    /// They are taken as they are.
    #[default]
    None,
    /// Base64; blanks and line ends are skipped.
    Base64,
    /// Hexadecimal digits of either case; blanks and line ends are skipped.
    Hex,
    /// gzip, to at most 4 MiB.
    Gzip,
}

impl Decode {
    /// The unpacked bytes, or what is wrong with the packed ones.
    pub(super) fn apply<B: Value>(self, bytes: &B) -> Result<B, String> {
        match self {
            Self::None => Ok(bytes.clone()),
            Self::Base64 => {
                let text = without_blanks::<B>(bytes);
                let plain = BASE64.decode(text.as_ref());
                plain
                    .map(B::from)
                    .map_err(|_| "its file is not base64".to_owned())
            }
            Self::Hex => hex(without_blanks::<B>(bytes).as_ref())
                .map(B::from)
                .ok_or_else(|| "its file is not hexadecimal".to_owned()),
            Self::Gzip => gunzip(bytes.as_ref()).map(B::from),
        }
    }
}

fn without_blanks<B: Value>(bytes: &B) -> B {
    let kept = bytes
        .as_ref()
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace());
    B::from(kept.copied().collect::<Vec<u8>>())
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| Some(value(pair[0])? * 16 + value(pair[1])?))
        .collect()
}

fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let mut reader = MultiGzDecoder::new(bytes).take(UNPACKED + 1);
    reader
        .read_to_end(&mut plain)
        .map_err(|_| "its file is not gzip, or damaged".to_owned())?;
    if plain.len() as u64 > UNPACKED {
        return Err(format!("its file unpacks to more than {UNPACKED} bytes"));
    }
    Ok(plain)
}

/// A JSON pointer (RFC 6901) that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Reads `/a/0/b~1c`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts = text.strip_prefix('/')?.split('/').map(unescape);
        parts.collect::<Option<Vec<_>>>().map(Self)
    }

    /// A text's content, or any other value as it is written; none when it is not there or `null`.
    pub(super) fn apply<B: Value>(&self, document: &B) -> Result<Option<B>, String> {
        let broken = || "its file is not the JSON that its pointer needs".to_owned();
        let mut here: &RawValue =
            serde_json::from_slice(document.as_ref()).map_err(|_| broken())?;
        for part in &self.0 {
            let next = match here.get().as_bytes().first() {
                Some(b'{') => {
                    let members: BTreeMap<String, &RawValue> =
                        serde_json::from_str(here.get()).map_err(|_| broken())?;
                    members.get(part).copied()
                }
                Some(b'[') => {
                    let items: Vec<&RawValue> =
                        serde_json::from_str(here.get()).map_err(|_| broken())?;
                    index(part).and_then(|index| items.get(index).copied())
                }
                _ => None,
            };
            let Some(next) = next else {
                return Ok(None);
            };
            here = next;
        }
        match here.get() {
            "null" => Ok(None),
            text if text.starts_with('"') => {
                let text: String = serde_json::from_str(text).map_err(|_| broken())?;
                Ok(Some(B::from(text.into_bytes())))
            }
            other => Ok(Some(B::from(other.as_bytes().to_vec()))),
        }
    }
}

/// A leading zero or a sign makes no index.
fn index(part: &str) -> Option<usize> {
    let digits = part.bytes().all(|byte| byte.is_ascii_digit());
    (digits && (part == "0" || !part.starts_with('0')))
        .then(|| part.parse().ok())
        .flatten()
}

fn unescape(part: &str) -> Option<String> {
    let mut out = String::new();
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '~' { chars.next() } else { None }) {
            ('~', Some('0')) => out.push('~'),
            ('~', Some('1')) => out.push('/'),
            ('~', _) => return None,
            (c, _) => out.push(c),
        }
    }
    Some(out)
}
