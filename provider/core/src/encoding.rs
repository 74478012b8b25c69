//! The `encoding` attribute: how the text found in the store becomes the bytes of the file.
//!
//! The rules are those of Go's decoders, because the same value must give the same file. Errors never
//! hold the value.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::problem::shown;
use crate::secret::SecretBytes;

/// Go's `base64.StdEncoding`: padding required, bits behind the last byte not checked
/// (encoding/base64, `Strict` is off).
const STANDARD_AS_GO: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// How a value is encoded in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is; not checked to be UTF-8, as with the peers.
    #[default]
    Utf8,
    /// Standard base64 with padding.
    Base64,
    /// Two hexadecimal digits per byte.
    Hex,
}

/// The attribute names no encoding. The peers' text is kept, because suites match it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid encoding type. Should be utf-8, base64, or hex, but is \"{}\"", shown(.0))]
pub struct UnknownEncoding(String);

/// A value is not in the encoding that the class promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEncoding {
    /// Not base64 of the standard alphabet with padding.
    #[error("the value is not valid base64")]
    Base64,
    /// Not an even number of hexadecimal digits.
    #[error("the value is not valid hex")]
    Hex,
}

impl Encoding {
    /// Reads the attribute, in any case; empty means utf-8.
    ///
    /// # Errors
    /// For every other name.
    pub fn parse(name: &str) -> Result<Self, UnknownEncoding> {
        match name.to_ascii_lowercase().as_str() {
            "" | "utf-8" => Ok(Self::Utf8),
            "base64" => Ok(Self::Base64),
            "hex" => Ok(Self::Hex),
            _ => Err(UnknownEncoding(name.to_owned())),
        }
    }

    /// Turns the text of the store into the bytes of the file.
    ///
    /// # Errors
    /// When the text is not in this encoding.
    pub fn decode(self, value: SecretBytes) -> Result<SecretBytes, BadEncoding> {
        match self {
            Self::Utf8 => Ok(value),
            Self::Base64 => decode_base64(value.expose()).map(SecretBytes::new),
            Self::Hex => decode_hex(value.expose()).map(SecretBytes::new),
        }
    }
}

/// Base64 as Go's `StdEncoding.DecodeString` reads it: CR and LF are skipped wherever they stand.
pub(crate) fn decode_base64(text: &[u8]) -> Result<Vec<u8>, BadEncoding> {
    let mut packed = Zeroizing::new(Vec::with_capacity(text.len()));
    packed.extend(text.iter().filter(|b| !matches!(b, b'\r' | b'\n')));
    STANDARD_AS_GO
        .decode(&*packed)
        .map_err(|_| BadEncoding::Base64)
}

fn decode_hex(text: &[u8]) -> Result<Vec<u8>, BadEncoding> {
    let (pairs, rest) = text.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(BadEncoding::Hex);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for pair in pairs {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        let byte = high.zip(low).map(|(high, low)| high * 16 + low);
        bytes.push(
            byte.and_then(|b| u8::try_from(b).ok())
                .ok_or(BadEncoding::Hex)?,
        );
    }
    Ok(std::mem::take(&mut *bytes))
}

#[cfg(test)]
mod tests {
    use super::{BadEncoding, Encoding};
    use crate::secret::SecretBytes;

    #[track_caller]
    fn check(encoding: Encoding, text: &str, expected: Result<&[u8], BadEncoding>) {
        let decoded = encoding.decode(SecretBytes::new(text.as_bytes().to_vec()));
        let decoded = decoded.as_ref().map(SecretBytes::expose).map_err(|e| *e);
        assert_eq!(decoded, expected, "{encoding:?} {text:?}");
    }

    #[test]
    fn names_are_read_in_any_case() {
        for (name, expected) in [
            ("", Encoding::Utf8),
            ("utf-8", Encoding::Utf8),
            ("UTF-8", Encoding::Utf8),
            ("Base64", Encoding::Base64),
            ("HEX", Encoding::Hex),
        ] {
            assert_eq!(Encoding::parse(name), Ok(expected), "{name:?}");
        }
    }

    #[test]
    fn other_names_are_refused_with_the_peers_text() {
        for name in ["utf8", "base32", " hex", "base64url"] {
            let error = Encoding::parse(name).unwrap_err().to_string();
            assert!(error.contains("invalid encoding type. Should be utf-8, base64, or hex"));
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn utf8_is_not_checked() {
        let bytes = SecretBytes::new(vec![0xff, 0xfe]);
        assert!(
            Encoding::Utf8
                .decode(bytes.clone())
                .is_ok_and(|same| same == bytes)
        );
    }

    #[test]
    fn base64_follows_gos_standard_decoder() {
        let bad = Err(BadEncoding::Base64);
        for (text, expected) in [
            ("", Ok(&b""[..])),
            ("aGVsbG8=", Ok(b"hello")),
            ("aGVs\r\nbG8=\n", Ok(b"hello")),
            ("aGVsbG8\n=", Ok(b"hello")),
            ("QQ\n=\r=", Ok(b"A")),
            ("QR==", Ok(b"A")),
            ("+/+/", Ok(&[0xfb, 0xff, 0xbf])),
            ("aGVsbG8", bad),
            ("aGVsbG8==", bad),
            ("aGVs bG8=", bad),
            ("-_-_", bad),
            ("QQ==QQ==", bad),
            ("Q===", bad),
        ] {
            check(Encoding::Base64, text, expected);
        }
    }

    #[test]
    fn hex_takes_either_case_and_an_even_length() {
        let bad = Err(BadEncoding::Hex);
        for (text, expected) in [
            ("", Ok(&b""[..])),
            ("68656C6c6f", Ok(b"hello")),
            ("00fF", Ok(&[0x00, 0xff])),
            ("abc", bad),
            ("0g", bad),
            ("61\n", bad),
            ("0x61", bad),
        ] {
            check(Encoding::Hex, text, expected);
        }
    }
}
