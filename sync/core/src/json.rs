//! JSON as Go's encoding/json takes it, which is how the API server and kubelet read docker files.
//!
//! Wider than a strict parser: invalid UTF-8, lone surrogates, repeated members and 10 000 levels are
//! fine; narrower too: no numbers beyond a double. Nothing here recurses, and no text of a fault holds a
//! byte of the document.

use zeroize::Zeroizing;

/// Walks over a document, one token after another.
mod scan;

use scan::Scanner;

/// Where and why a text is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub(crate) struct JsonFault {
    what: &'static str,
    at: usize,
}

/// One value within a document that was checked as a whole.
#[derive(Clone, Copy)]
pub(crate) struct Json<'t>(&'t [u8]);

impl<'t> Json<'t> {
    /// Checks a document: one value with nothing but blanks around it.
    pub(crate) fn parse(text: &'t [u8]) -> Result<Self, JsonFault> {
        let mut scanner = Scanner::new(text);
        let value = scanner.value()?;
        scanner.end()?;
        Ok(Self(value))
    }

    /// The bytes of the value, without blanks around it.
    pub(crate) fn raw(self) -> &'t [u8] {
        self.0
    }

    pub(crate) fn is_null(self) -> bool {
        self.0 == b"null"
    }

    pub(crate) fn is_object(self) -> bool {
        self.0.first() == Some(&b'{')
    }

    /// The members of an object in the order of the text; of repeated ones Go takes the last.
    pub(crate) fn members(self) -> Option<Vec<(Zeroizing<String>, Self)>> {
        let mut scanner = Scanner::new(self.0);
        scanner.open(b'{')?;
        let mut members = Vec::new();
        while !scanner.close(b'}') {
            let name = scanner.member_name().ok()?;
            members.push((unquote(name), Self(scanner.value().ok()?)));
            scanner.comma();
        }
        Some(members)
    }

    /// The last member whose name is this, in whatever case; an exact one first.
    pub(crate) fn member(self, name: &str) -> Option<Self> {
        let members = self.members()?;
        let last = |same: &dyn Fn(&str) -> bool| {
            let found = members.iter().rev().find(|(key, _)| same(key));
            found.map(|(_, value)| *value)
        };
        last(&|key| key == name).or_else(|| last(&|key| key.eq_ignore_ascii_case(name)))
    }

    /// The elements of an array.
    pub(crate) fn elements(self) -> Option<Vec<Self>> {
        let mut scanner = Scanner::new(self.0);
        scanner.open(b'[')?;
        let mut elements = Vec::new();
        while !scanner.close(b']') {
            elements.push(Self(scanner.value().ok()?));
            scanner.comma();
        }
        Some(elements)
    }

    /// The text of a string. What is no Unicode in it becomes U+FFFD.
    pub(crate) fn text(self) -> Option<Zeroizing<String>> {
        (self.0.first() == Some(&b'"')).then(|| unquote(self.0))
    }

    /// The value without blanks between its tokens, byte for byte otherwise.
    pub(crate) fn compact(self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.0.len()));
        let (mut quoted, mut escaped) = (false, false);
        for byte in self.0 {
            if quoted || !scan::is_blank(*byte) {
                out.push(*byte);
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = quoted,
                b'"' => quoted = !quoted,
                _ => {}
            }
        }
        out
    }
}

/// The text of a string that was scanned, quotes included.
fn unquote(raw: &[u8]) -> Zeroizing<String> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    // Room for the worst case, so that no half of a secret stays behind in a buffer that was outgrown.
    let mut out = Zeroizing::new(String::with_capacity(inner.len() * 3));
    let mut rest = inner;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        push_lossy(&mut out, &rest[..at]);
        let (character, used) = escape(&rest[at..]);
        out.push(character);
        rest = rest.get(at + used..).unwrap_or_default();
    }
    push_lossy(&mut out, rest);
    out
}

fn push_lossy(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// What an escape stands for, and how many bytes it takes. Half a surrogate pair is U+FFFD.
fn escape(bytes: &[u8]) -> (char, usize) {
    let character = match bytes.get(1) {
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode(bytes),
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    };
    (character, 2)
}

fn unicode(bytes: &[u8]) -> (char, usize) {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(bytes.get(at + 2..at + 6)?).ok()?;
        bytes[at..].starts_with(b"\\u").then_some(())?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(0).unwrap_or(0xfffd);
    let lone = || char::decode_utf16([first]).next().and_then(Result::ok);
    if let Some(alone) = lone() {
        return (alone, 6);
    }
    let pair = unit(6).and_then(|second| char::decode_utf16([first, second]).next()?.ok());
    pair.map_or((char::REPLACEMENT_CHARACTER, 6), |both| (both, 12))
}

#[cfg(test)]
mod tests;
