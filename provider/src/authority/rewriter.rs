//! Follows the frames of one HTTP/2 connection, from the client's first byte, and rewrites HEADERS.
//!
//! A state machine over byte slices without any I/O: bytes are changed in place and released from
//! the front, so nothing is lost, added or reordered whatever arrives. The fields inside a header
//! block belong to `hpack`, the stream to the parent module.

use super::hpack;

/// The payload that can be held back: the largest frame that a server accepts unless it announces
/// more (RFC 9113, 4.2), which ours does not.
pub(super) const MAX_HELD: usize = 16_384;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_LENGTH: usize = 9;
const HEADERS: u8 = 0x1;
const FLAG_PADDED: u8 = 0x8;
const FLAG_PRIORITY: u8 = 0x20;
/// The stream dependency and the weight of a HEADERS frame with PRIORITY (RFC 9113, 6.2).
const PRIORITY_LENGTH: usize = 5;

/// Where a connection is between two bytes.
pub(super) struct Rewriter {
    state: State,
    rewrote: bool,
}

enum State {
    Preface {
        seen: usize,
    },
    Head {
        head: [u8; HEAD_LENGTH],
        seen: usize,
    },
    Payload {
        left: usize,
    },
    Headers {
        flags: u8,
        length: usize,
    },
    NotHttp2,
}

impl Rewriter {
    pub(super) fn new() -> Self {
        Self {
            state: State::Preface { seen: 0 },
            rewrote: false,
        }
    }

    /// Takes all bytes not yet released, rewrites among them, and returns how many of them, from the
    /// front, are released. The caller presents the others again, followed by what arrives next; they
    /// are the incomplete payload of one HEADERS frame, fewer than [`MAX_HELD`].
    pub(super) fn release(&mut self, pending: &mut [u8]) -> usize {
        let mut released = 0;
        while let Some(rest) = pending.get_mut(released..).filter(|rest| !rest.is_empty()) {
            let Some(step) = self.step(rest) else { break };
            released += step;
        }
        released
    }

    /// Whether any `:authority` of this connection was rewritten so far.
    pub(super) fn rewrote(&self) -> bool {
        self.rewrote
    }

    /// Advances over the front of `bytes` and returns by how much; `None` asks for more bytes.
    fn step(&mut self, bytes: &mut [u8]) -> Option<usize> {
        match &mut self.state {
            State::Preface { seen } => {
                let expected = &PREFACE[*seen..];
                let length = expected.len().min(bytes.len());
                if bytes[..length] != expected[..length] {
                    self.state = State::NotHttp2;
                } else if length == expected.len() {
                    self.state = State::next_frame();
                } else {
                    *seen += length;
                }
                Some(length)
            }
            State::Head { head, seen } => {
                let length = (HEAD_LENGTH - *seen).min(bytes.len());
                head[*seen..*seen + length].copy_from_slice(&bytes[..length]);
                *seen += length;
                if *seen == HEAD_LENGTH {
                    self.state = State::after_head(*head);
                }
                Some(length)
            }
            State::Payload { left } => {
                let length = (*left).min(bytes.len());
                *left -= length;
                if *left == 0 {
                    self.state = State::next_frame();
                }
                Some(length)
            }
            State::Headers { flags, length } => {
                let (flags, length) = (*flags, *length);
                let payload = bytes.get_mut(..length)?;
                self.rewrote |= header_block(flags, payload).is_some_and(hpack::rewrite_authority);
                self.state = State::next_frame();
                Some(length)
            }
            State::NotHttp2 => Some(bytes.len()),
        }
    }
}

impl State {
    fn next_frame() -> Self {
        Self::Head {
            head: [0; HEAD_LENGTH],
            seen: 0,
        }
    }

    fn after_head([high, middle, low, kind, flags, ..]: [u8; HEAD_LENGTH]) -> Self {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        if kind == HEADERS && length <= MAX_HELD {
            Self::Headers { flags, length }
        } else {
            Self::Payload { left: length }
        }
    }
}

/// The header block in the payload of a HEADERS frame; `None` when padding and priority do not fit.
fn header_block(flags: u8, payload: &mut [u8]) -> Option<&mut [u8]> {
    let mut start = 0;
    let mut end = payload.len();
    if flags & FLAG_PADDED != 0 {
        start += 1;
        end = end.checked_sub(usize::from(*payload.first()?))?;
    }
    if flags & FLAG_PRIORITY != 0 {
        start += PRIORITY_LENGTH;
    }
    payload.get_mut(start..end)
}
