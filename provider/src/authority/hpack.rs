//! Finds the `:authority` literal in a header block (RFC 7541) and swaps characters inside it.
//!
//! There is no header table and no Huffman table here: fields are only stepped over, and the four
//! characters that matter have neighbouring codes of equal length. Whatever is not understood is
//! left as it is. Frames belong to `rewriter`.

use std::ops::Range;

/// The index of `:authority` in the static table (RFC 7541, appendix A).
const AUTHORITY_INDEX: usize = 1;
const AUTHORITY_PLAIN: &[u8] = b":authority";
const AUTHORITY_HUFFMAN: &[u8] = &[0xb8, 0x3b, 0x53, 0x39, 0xec, 0x32, 0x7d, 0x7f];

/// The 6-bit Huffman codes that are replaced, and the bits that turn each into its replacement:
/// `%` 0x15 becomes `-` 0x16, `/` 0x18 becomes `.` 0x17.
const PERCENT: (u8, u8) = (0x15, 0x15 ^ 0x16);
const SLASH: (u8, u8) = (0x18, 0x18 ^ 0x17);

/// Replaces `/` by `.` and `%` by `-` in the first `:authority` literal of `block`, and says whether
/// there was anything to replace. The lengths of the block, of the literal, and of the decoded value
/// stay the same.
pub(super) fn rewrite_authority(block: &mut [u8]) -> bool {
    let Some(Literal { huffman, bytes }) = find_authority(block) else {
        return false;
    };
    match block.get_mut(bytes) {
        Some(value) if huffman => swap_huffman(value),
        Some(value) => swap_plain(value),
        None => false,
    }
}

/// A string literal: where its bytes are, and whether they are Huffman-coded.
struct Literal {
    huffman: bool,
    bytes: Range<usize>,
}

impl Literal {
    fn is_authority(&self, block: &[u8]) -> bool {
        let name = if self.huffman {
            AUTHORITY_HUFFMAN
        } else {
            AUTHORITY_PLAIN
        };
        block.get(self.bytes.clone()) == Some(name)
    }
}

/// `None` also when the block is malformed, or ends before the value does.
fn find_authority(block: &[u8]) -> Option<Literal> {
    let mut cursor = Cursor { block, at: 0 };
    loop {
        let first = cursor.peek()?;
        if first >= 0x80 {
            cursor.integer(7)?; // a whole field from a table
            continue;
        }
        if (0x20..0x40).contains(&first) {
            cursor.integer(5)?; // a new size of the dynamic table
            continue;
        }
        let named = match cursor.integer(if first >= 0x40 { 6 } else { 4 })? {
            0 => cursor.string()?.is_authority(block),
            index => index == AUTHORITY_INDEX,
        };
        let value = cursor.string()?;
        if named {
            return Some(value);
        }
    }
}

struct Cursor<'a> {
    block: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.block.get(self.at).copied()
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// An integer with a prefix of so many bits (RFC 7541, 5.1). Four more bytes are far beyond any
    /// length in a frame of 16,384 bytes; longer forms are not understood.
    fn integer(&mut self, prefix_bits: u32) -> Option<usize> {
        let mask = u8::MAX >> (8 - prefix_bits);
        let prefix = self.byte()? & mask;
        let mut value = usize::from(prefix);
        if prefix < mask {
            return Some(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A string literal that lies within the block (RFC 7541, 5.2).
    fn string(&mut self) -> Option<Literal> {
        let huffman = self.peek()? & 0x80 != 0;
        let length = self.integer(7)?;
        let start = self.at;
        let end = start.checked_add(length)?;
        self.block.get(start..end)?;
        self.at = end;
        Some(Literal {
            huffman,
            bytes: start..end,
        })
    }
}

fn swap_plain(value: &mut [u8]) -> bool {
    let mut swapped = false;
    for byte in value {
        let replacement = match *byte {
            b'/' => b'.',
            b'%' => b'-',
            _ => continue,
        };
        *byte = replacement;
        swapped = true;
    }
    swapped
}

fn swap_huffman(value: &mut [u8]) -> bool {
    let changes = huffman_changes(value).unwrap_or_default();
    for &(bit, flip) in &changes {
        let [high, low] = (u16::from(flip) << (10 - bit % 8)).to_be_bytes();
        for (byte, bits) in value.iter_mut().skip(bit / 8).zip([high, low]) {
            *byte ^= bits;
        }
    }
    !changes.is_empty()
}

/// The bit positions of the 6-bit codes to replace, each with the bits to flip. `None` when the value
/// holds a character with a code above 8 bits (none that a path or a host name needs, but `~`, `@`
/// and `+` are among them): without a table its length is unknown.
fn huffman_changes(value: &[u8]) -> Option<Vec<(usize, u8)>> {
    let mut changes = Vec::new();
    let end = value.len() * 8;
    let mut bit = 0;
    while bit < end {
        let window = next_eight_bits(value, bit)?;
        let length = match window {
            ..=0x4f => 5,
            0x50..=0xb7 => 6,
            0xb8..=0xf7 => 7,
            0xf8..=0xfd => 8,
            0xff if end - bit < 8 => break, // the padding
            _ => return None,
        };
        if length == 6 {
            let found = [PERCENT, SLASH]
                .into_iter()
                .find(|&(code, _)| code == window >> 2);
            changes.extend(found.map(|(_, flip)| (bit, flip)));
        }
        bit += length;
    }
    (bit <= end).then_some(changes)
}

/// Past the end of `value` there are ones, as in the padding of a Huffman-coded string.
fn next_eight_bits(value: &[u8], bit: usize) -> Option<u8> {
    let high = *value.get(bit / 8)?;
    let low = value.get(bit / 8 + 1).copied().unwrap_or(0xff);
    let [_, window] = (u16::from_be_bytes([high, low]) >> (8 - bit % 8)).to_be_bytes();
    Some(window)
}
