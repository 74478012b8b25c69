//! Texts of others, before they go into a condition: short, on one line, and without any piece of a value.
//!
//! Texts of our own name keys and sizes only and need no mask.

use std::collections::HashSet;

/// What is kept of a text of others, in bytes.
const KEPT: usize = 512;
/// Pieces of a value shorter than this are words of everybody; a value that short is masked where it stands whole.
const PIECE: usize = 8;
/// A value of one or two bytes would mask half of every text, and hides nothing.
const SHORTEST: usize = 3;
const MASK: char = '*';

/// The text, cut to 512 bytes, with every piece of these values masked and line breaks escaped.
#[must_use]
pub fn masked<'v>(text: &str, values: impl IntoIterator<Item = &'v [u8]>) -> String {
    let bytes = text.as_bytes();
    let mut hidden = vec![false; bytes.len()];
    let pieces: HashSet<&[u8]> = bytes.windows(PIECE).collect();
    for value in values {
        for found in value.windows(PIECE).filter(|piece| pieces.contains(piece)) {
            hide(bytes, found, &mut hidden);
        }
        let value = value.trim_ascii();
        if (SHORTEST..PIECE).contains(&value.len()) {
            hide(bytes, value, &mut hidden);
        }
    }
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        let is_hidden = hidden[at..at + c.len_utf8()].contains(&true);
        match c {
            _ if is_hidden => out.push(MASK),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
        if out.len() > KEPT {
            out.truncate(out.floor_char_boundary(KEPT));
            out.push('…');
            break;
        }
    }
    out
}

fn hide(text: &[u8], piece: &[u8], hidden: &mut [bool]) {
    for (at, window) in text.windows(piece.len()).enumerate() {
        if window == piece {
            hidden[at..at + piece.len()].fill(true);
        }
    }
}
