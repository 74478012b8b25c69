//! PEM as Go's encoding/pem finds it, which is how the API server and most consumers of a TLS Secret read.
//!
//! What it does not find, they do not find: indented lines, joined `END` and `BEGIN` lines, a byte order
//! mark before the first line. Written blocks have 64 columns and end in a newline.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use zeroize::Zeroizing;

const START: &[u8] = b"\n-----BEGIN ";
const END: &[u8] = b"\n-----END ";
const DASHES: &[u8] = b"-----";
/// Go does not mind bits behind the last byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);
/// Base64 characters on a line that is written.
const COLUMNS: usize = 64;

/// One block. Its content is wiped; there is no Debug.
pub(crate) struct Block<'t> {
    /// The label, as in `BEGIN CERTIFICATE`.
    pub(crate) label: &'t [u8],
    /// Whether a header says that the content needs a passphrase.
    pub(crate) encrypted: bool,
    /// What stands in base64 between the lines.
    pub(crate) der: Zeroizing<Vec<u8>>,
    /// The block as it was written, from its first dash to the last; no line end.
    pub(crate) raw: &'t [u8],
}

impl Block<'_> {
    pub(crate) fn is_certificate(&self) -> bool {
        self.label == b"CERTIFICATE"
    }

    /// Whether Go would look for a private key in it.
    pub(crate) fn is_private_key(&self) -> bool {
        self.label == b"PRIVATE KEY" || self.label.ends_with(b" PRIVATE KEY")
    }
}

/// All blocks of a text in order; whatever stands between them is passed over.
pub(crate) fn blocks(text: &[u8]) -> Vec<Block<'_>> {
    let mut reader = Reader {
        text,
        at: 0,
        end: 0,
    };
    let mut blocks = Vec::new();
    while reader.next_start() {
        let start = reader.at;
        match reader.block() {
            Some(block) => blocks.push(block),
            // A start without its end: go on behind the line, as Go does.
            None if reader.at == start => break,
            None => {}
        }
    }
    blocks
}

/// The same for other readers than Go, who do not mind a CR at the very end: a file has one there whose last LF was
/// cut off.
pub(crate) fn lenient_blocks(text: &[u8]) -> Vec<Block<'_>> {
    blocks(text.strip_suffix(b"\r").unwrap_or(text))
}

/// A block in PEM.
pub(crate) fn write(label: &str, der: &[u8]) -> Zeroizing<Vec<u8>> {
    let encoded = Zeroizing::new(STANDARD.encode(der));
    let lines = encoded.as_bytes().chunks(COLUMNS);
    let mut out = Zeroizing::new(Vec::with_capacity(encoded.len() * 66 / 64 + 128));
    out.extend_from_slice(format!("-----BEGIN {label}-----\n").as_bytes());
    for line in lines {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    out
}

struct Reader<'t> {
    text: &'t [u8],
    at: usize,
    /// The next end line that was found, so that many starts before it cost one search; `usize::MAX`
    /// where no more follows.
    end: usize,
}

impl<'t> Reader<'t> {
    /// Goes to the next start line, behind `BEGIN `.
    fn next_start(&mut self) -> bool {
        let rest = self.rest();
        if rest.starts_with(&START[1..]) {
            self.at += START.len() - 1;
            return true;
        }
        match find(rest, START) {
            Some(at) => {
                self.at += at + START.len();
                true
            }
            None => false,
        }
    }

    /// Reads a block whose `BEGIN ` was passed. None leaves the place behind the lines that were read.
    fn block(&mut self) -> Option<Block<'t>> {
        let begin = self.at - (START.len() - 1);
        let label = self.line().strip_suffix(DASHES)?;
        let (headers, encrypted) = self.headers()?;
        let body = self.at;
        let (end, label_at) = self.end_line(headers)?;
        let trailer = self
            .text
            .get(label_at..label_at + label.len() + DASHES.len())?;
        trailer.strip_prefix(label)?.strip_prefix(DASHES)?;
        let done = label_at + trailer.len();
        let (blank, next) = line_at(self.text, done);
        if !blank.is_empty() {
            return None;
        }
        let der = decode(&self.text[body..end])?;
        self.at = next;
        Some(Block {
            label,
            encrypted,
            der,
            raw: &self.text[begin..done],
        })
    }

    /// Passes the lines with a colon. Whether there were some, and whether one says encrypted.
    fn headers(&mut self) -> Option<(bool, bool)> {
        let (mut any, mut encrypted) = (false, false);
        loop {
            if self.rest().is_empty() {
                return None;
            }
            let (line, next) = line_at(self.text, self.at);
            if !line.contains(&b':') {
                return Some((any, encrypted));
            }
            any = true;
            encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
            self.at = next;
        }
    }

    /// Where the content ends, and where the label of the end line starts.
    fn end_line(&mut self, headers: bool) -> Option<(usize, usize)> {
        if !headers && self.rest().starts_with(&END[1..]) {
            return Some((self.at, self.at + END.len() - 1));
        }
        if self.end < self.at || self.end == 0 {
            self.end = find(self.rest(), END).map_or(usize::MAX, |end| self.at + end);
        }
        (self.end != usize::MAX).then(|| (self.end, self.end + END.len()))
    }

    fn line(&mut self) -> &'t [u8] {
        let (line, next) = line_at(self.text, self.at);
        self.at = next;
        line
    }

    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }
}

/// The line that starts here without its end and the blanks before it, and where the next one starts.
fn line_at(text: &[u8], at: usize) -> (&[u8], usize) {
    let rest = text.get(at..).unwrap_or_default();
    let (line, next) = match rest.iter().position(|byte| *byte == b'\n') {
        // Only in front of its LF does a CR belong to the end of a line (`getLine` of encoding/pem).
        Some(end) => {
            let line = &rest[..end];
            (line.strip_suffix(b"\r").unwrap_or(line), at + end + 1)
        }
        None => (rest, text.len()),
    };
    let end = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t'));
    (&line[..end.map_or(0, |end| end + 1)], next)
}

/// Base64 with blanks and line ends anywhere. Gives up at the first other byte, however long the rest.
fn decode(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let strange = |byte: &u8| !(byte.is_ascii_alphanumeric() || b"+/= \t\r\n".contains(byte));
    if body.iter().any(strange) {
        return None;
    }
    let digits: Zeroizing<Vec<u8>> = Zeroizing::new(
        body.iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect(),
    );
    let mut der = Zeroizing::new(vec![0; digits.len() / 4 * 3 + 3]);
    let written = LENIENT.decode_slice(digits.as_slice(), &mut der).ok()?;
    der.truncate(written);
    Some(der)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len())
        .position(|window| window == wanted)
}

#[cfg(test)]
mod tests;
