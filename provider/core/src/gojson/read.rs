//! From bytes to `Json`, as Go's decoder reads with `UseNumber`.
//!
//! Where Go is lenient, so is this (lone surrogates and invalid UTF-8 become U+FFFD, the last of
//! equal keys wins). Nothing of the input reaches an error.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Json, MAX_DEPTH};

/// Why bytes are not JSON, and where. Holds nothing of the text, which may be secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at line {line} column {column}")]
pub struct JsonError {
    /// The line, from 1.
    pub line: usize,
    /// The column in bytes, from 1.
    pub column: usize,
    /// What is wrong there.
    pub kind: JsonErrorKind,
}

/// The category of a JSON error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonErrorKind {
    /// A byte that cannot stand there.
    #[error("syntax error")]
    Syntax,
    /// The text ends inside a value.
    #[error("unexpected end")]
    Truncated,
    /// More than [`MAX_DEPTH`] nested arrays and objects.
    #[error("nested too deeply")]
    TooDeep,
    /// Something follows the value.
    #[error("trailing data")]
    Trailing,
}

impl Json {
    /// Reads exactly one value, with white space around it.
    ///
    /// # Errors
    /// Position and category of the first fault; never a piece of the input.
    pub fn parse(bytes: &[u8]) -> Result<Self, JsonError> {
        let mut reader = Reader { bytes, at: 0 };
        reader.document().map_err(|kind| reader.error(kind))
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn document(&mut self) -> Result<Json, JsonErrorKind> {
        let value = self.value(0)?;
        self.skip_space();
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(JsonErrorKind::Trailing),
        }
    }

    fn error(&self, kind: JsonErrorKind) -> JsonError {
        let before = &self.bytes[..self.at.min(self.bytes.len())];
        let line_start = before
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |i| i + 1);
        JsonError {
            line: 1 + before.iter().filter(|b| **b == b'\n').count(),
            column: 1 + before.len() - line_start,
            kind,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The fault at the current byte: the end of the text is told apart from a wrong byte.
    fn unexpected(&self) -> JsonErrorKind {
        match self.peek() {
            None => JsonErrorKind::Truncated,
            Some(_) => JsonErrorKind::Syntax,
        }
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonErrorKind> {
        if self.peek() != Some(byte) {
            return Err(self.unexpected());
        }
        self.at += 1;
        Ok(())
    }

    /// Takes the byte if it stands here.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json, JsonErrorKind> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => self.string().map(Json::String),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'n') => self.word("null", Json::Null),
            Some(b't') => self.word("true", Json::Bool(true)),
            Some(b'f') => self.word("false", Json::Bool(false)),
            _ => Err(self.unexpected()),
        }
    }

    fn word(&mut self, word: &str, value: Json) -> Result<Json, JsonErrorKind> {
        for byte in word.bytes() {
            self.expect(byte)?;
        }
        Ok(value)
    }

    fn array(&mut self, depth: usize) -> Result<Json, JsonErrorKind> {
        self.open(depth)?;
        let mut elements = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Json::Array(elements));
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json, JsonErrorKind> {
        self.open(depth)?;
        let mut members = BTreeMap::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Json::Object(members));
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            self.skip_space();
            self.expect(b':')?;
            members.insert(key, self.value(depth)?);
            self.skip_space();
            if self.take(b'}') {
                return Ok(Json::Object(members));
            }
            self.expect(b',')?;
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), JsonErrorKind> {
        if depth > MAX_DEPTH {
            return Err(JsonErrorKind::TooDeep);
        }
        self.at += 1;
        Ok(())
    }

    fn number(&mut self) -> Result<Json, JsonErrorKind> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let digits = self.bytes[start..self.at].iter().map(|b| char::from(*b));
        Ok(Json::Number(digits.collect()))
    }

    fn digits(&mut self) -> Result<(), JsonErrorKind> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.unexpected());
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, JsonErrorKind> {
        self.expect(b'"')?;
        // Room for the whole text at once: growing would leave copies of a secret behind.
        let mut text = Zeroizing::new(String::with_capacity(self.raw_length()));
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..=0x1f)) {
                self.at += 1;
            }
            push_as_go(&mut text, &self.bytes[start..self.at]);
            if self.take(b'"') {
                return Ok(std::mem::take(&mut *text));
            }
            if !self.take(b'\\') {
                return Err(self.unexpected());
            }
            text.push(self.escape()?);
        }
    }

    /// How many bytes stand before the closing quote, escapes counted as written.
    fn raw_length(&self) -> usize {
        let mut escaped = false;
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        });
        end.unwrap_or(0)
    }

    /// The character behind a backslash.
    fn escape(&mut self) -> Result<char, JsonErrorKind> {
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape();
            }
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(c)
    }

    /// `\uXXXX`, with its low half when it is the high half of a pair. A half without its other half
    /// is U+FFFD, and what follows it is read on its own, as Go's `unquote` does.
    fn unicode_escape(&mut self) -> Result<char, JsonErrorKind> {
        let first = self.hex4()?;
        if let Some(c) = char::from_u32(first) {
            return Ok(c);
        }
        let after_first = self.at;
        if first < 0xdc00 && self.take(b'\\') && self.take(b'u') {
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let pair = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
        }
        self.at = after_first;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32, JsonErrorKind> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
            value = value * 16 + digit.ok_or_else(|| self.unexpected())?;
            self.at += 1;
        }
        Ok(value)
    }
}

/// Appends bytes as text, each byte that is not part of valid UTF-8 as one U+FFFD: Go replaces byte
/// by byte, where Rust's lossy conversion replaces a cut-off sequence as a whole.
fn push_as_go(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for _ in chunk.invalid() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}
