//! Shared by the tests: frames as a client writes them, and header lists as `httlib-hpack`, which has
//! nothing in common with h2 or with this filter, reads them.

mod random;
mod server;
mod stream;

use httlib_hpack::{Decoder, Encoder};

use super::rewriter::{MAX_HELD, Rewriter};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SOCKET_PATH: &str = "/var/run/secrets-store-csi-providers/vault.sock";
const REWRITTEN: &str = ".var.run.secrets-store-csi-providers.vault.sock";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

const PLAIN: u8 = 0;
const HUFFMAN: u8 = Encoder::HUFFMAN_NAME | Encoder::HUFFMAN_VALUE;
const INDEXED: u8 = Encoder::WITH_INDEXING | Encoder::BEST_FORMAT;

type Headers = Vec<(Vec<u8>, Vec<u8>)>;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The frames behind the preface: kind, flags, payload.
fn frames(stream: &[u8]) -> Vec<(u8, u8, Vec<u8>)> {
    let mut rest = stream.strip_prefix(PREFACE).expect("a preface");
    let mut frames = Vec::new();
    while let [high, middle, low, kind, flags, _, _, _, _, tail @ ..] = rest {
        let length = usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low);
        let (payload, next) = tail.split_at(length);
        frames.push((*kind, *flags, payload.to_vec()));
        rest = next;
    }
    assert!(rest.is_empty(), "the stream ends within a frame");
    frames
}

fn decode(decoder: &mut Decoder<'_>, block: &[u8]) -> Headers {
    let mut fields = Vec::new();
    decoder
        .decode(&mut block.to_vec(), &mut fields)
        .expect("a well-formed header block");
    fields
        .into_iter()
        .map(|(name, value, _)| (name, value))
        .collect()
}

/// All header lists of a stream without padding and priority, in order, on one decoder.
fn header_lists(stream: &[u8]) -> Vec<Headers> {
    let mut decoder = Decoder::default();
    let blocks = frames(stream)
        .into_iter()
        .filter(|(kind, ..)| *kind == HEADERS);
    blocks
        .map(|(_, _, block)| decode(&mut decoder, &block))
        .collect()
}

fn request(flags: u8, authority: &str) -> Vec<u8> {
    let mut block = Vec::new();
    let mut encoder = Encoder::default();
    for (name, value) in [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/v1alpha1.CSIDriverProvider/Version"),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        let (name, value): (Vec<u8>, Vec<u8>) = (name.into(), value.into());
        encoder.encode((name, value, flags), &mut block).unwrap();
    }
    block
}

fn connection(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE.to_vec(), frames.concat()].concat()
}

/// The first bytes of the driver's client code on this version of grpc-go: two Mount calls.
fn recorded(grpc_go: &str) -> Vec<u8> {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/wire/corpus");
    let path = format!("{directory}/authority-grpc-{grpc_go}.hex");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

/// Feeds the chunks and returns what came out, with what was held at the end behind it.
fn rewrite<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut rewriter = Rewriter::new();
    let (mut out, mut pending) = (Vec::new(), Vec::new());
    for chunk in chunks {
        pending.extend_from_slice(chunk);
        let released = rewriter.release(&mut pending);
        out.extend(pending.drain(..released));
        assert!(pending.len() < MAX_HELD, "{} bytes held", pending.len());
    }
    out.extend(pending);
    out
}

/// The authorities that the server finds in one request with this header block.
fn authorities(block: &[u8]) -> Vec<String> {
    let stream = connection(&[frame(HEADERS, END_HEADERS, 1, block)]);
    let out = rewrite([stream.as_slice()]);
    assert_eq!(out.len(), stream.len());
    authorities_in(&out)
}

fn authorities_in(stream: &[u8]) -> Vec<String> {
    let fields = header_lists(stream).concat();
    let authorities = fields.into_iter().filter(|(name, _)| name == b":authority");
    authorities
        .map(|(_, value)| String::from_utf8(value).unwrap())
        .collect()
}

#[test]
fn a_path_as_authority_becomes_a_host_name_in_every_encoding() {
    for index in [
        PLAIN,
        INDEXED,
        Encoder::WITH_INDEXING,
        Encoder::NEVER_INDEXED,
        Encoder::BEST_FORMAT,
    ] {
        for code in [PLAIN, HUFFMAN] {
            let block = request(index | code, SOCKET_PATH);
            assert_eq!(
                authorities(&block),
                [REWRITTEN],
                "flags {index:#x} {code:#x}"
            );
        }
    }
}

#[test]
fn percent_signs_are_replaced_too() {
    for code in [PLAIN, HUFFMAN] {
        let block = request(code, "%2Fvar%2Frun%2Fvault.sock");
        assert_eq!(authorities(&block), ["-2Fvar-2Frun-2Fvault.sock"]);
    }
}

#[test]
fn a_valid_authority_passes_untouched() {
    for authority in ["localhost", "127.0.0.1:8080", "vault-0.vault_internal", ""] {
        for code in [PLAIN, HUFFMAN, INDEXED | HUFFMAN] {
            let stream = connection(&[frame(HEADERS, END_HEADERS, 1, &request(code, authority))]);
            let mut rewriter = Rewriter::new();
            let mut bytes = stream.clone();
            assert_eq!(rewriter.release(&mut bytes), stream.len());
            assert!(bytes == stream && !rewriter.rewrote(), "{authority}");
        }
    }
}

#[test]
fn only_the_authority_is_touched() {
    let block = request(HUFFMAN, SOCKET_PATH);
    let before = decode(&mut Decoder::default(), &block);
    let out = rewrite([connection(&[frame(HEADERS, END_HEADERS, 1, &block)]).as_slice()]);
    let after = header_lists(&out).concat();
    for (before, after) in before
        .iter()
        .zip(&after)
        .filter(|(field, _)| field.0 != b":authority")
    {
        assert_eq!(before, after);
    }
    assert_eq!(before.len(), after.len());
}

#[test]
fn padding_and_priority_are_stepped_over() {
    let block = request(INDEXED | HUFFMAN, SOCKET_PATH);
    let padding = [0; 7];
    // The weight 0x41 would begin a literal `:authority` if it were taken for a field.
    let priority = [0x80, 0, 0, 3, 0x41];
    for (flags, before, after) in [
        (PADDED, vec![7], padding.as_slice()),
        (PRIORITY, priority.to_vec(), &[]),
        (
            PADDED | PRIORITY,
            [[7].as_slice(), &priority].concat(),
            &padding,
        ),
    ] {
        let payload = [&before, block.as_slice(), after].concat();
        let out =
            rewrite([connection(&[frame(HEADERS, flags | END_HEADERS, 1, &payload)]).as_slice()]);
        let (_, _, rewritten) = frames(&out).remove(0);
        let rewritten = &rewritten[before.len()..before.len() + block.len()];
        let fields = decode(&mut Decoder::default(), rewritten);
        assert!(
            fields.contains(&(b":authority".to_vec(), REWRITTEN.into())),
            "flags {flags:#x}"
        );
    }
}

#[test]
fn padding_longer_than_the_frame_passes_unchanged() {
    for payload in [&[][..], &[200, b'/', b'/'], &[0], &[3, 0x01, 0x01, b'/']] {
        let stream = connection(&[frame(HEADERS, PADDED | PRIORITY, 1, payload)]);
        assert_eq!(rewrite([stream.as_slice()]), stream);
    }
}

#[test]
fn a_character_with_a_long_huffman_code_leaves_the_whole_authority_alone() {
    for authority in ["/run/kubernetes.io~csi/vault.sock", "/a+b", "user@/x"] {
        assert_eq!(authorities(&request(HUFFMAN, authority)), [authority]);
    }
    assert_eq!(authorities(&request(PLAIN, "/a~b")), [".a~b"]);
}

#[test]
fn an_authority_cut_by_continuation_passes_unchanged() {
    let block = request(PLAIN, SOCKET_PATH);
    let cut = block.windows(4).position(|bytes| bytes == b"/run").unwrap();
    let (first, second) = block.split_at(cut);
    let stream = connection(&[
        frame(HEADERS, 0, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, second),
    ]);
    assert_eq!(rewrite([stream.as_slice()]), stream);
}

#[test]
fn an_authority_before_a_continuation_is_rewritten() {
    let block = request(PLAIN, SOCKET_PATH);
    let (first, second) = block.split_at(block.len() - 3);
    let stream = connection(&[
        frame(HEADERS, 0, 1, first),
        frame(CONTINUATION, END_HEADERS, 1, second),
    ]);
    let out = rewrite([stream.as_slice()]);
    let whole: Vec<u8> = frames(&out)
        .into_iter()
        .flat_map(|(_, _, payload)| payload)
        .collect();
    let fields = decode(&mut Decoder::default(), &whole);
    assert!(fields.contains(&(b":authority".to_vec(), REWRITTEN.into())));
}

#[test]
fn frames_other_than_headers_are_released_byte_by_byte() {
    let path = b"\x01\x05/////";
    let stream = connection(&[
        frame(SETTINGS, 0, 0, &[]),
        frame(DATA, END_STREAM, 1, path),
        frame(0xee, 0xff, 7, path),
        frame(HEADERS, END_HEADERS, 1, &vec![b'/'; MAX_HELD + 1]),
    ]);
    let mut rewriter = Rewriter::new();
    for byte in &stream {
        let mut pending = [*byte];
        assert_eq!((rewriter.release(&mut pending), pending[0]), (1, *byte));
    }
}

#[test]
fn a_connection_without_the_http2_preface_passes_unchanged() {
    let headers = frame(HEADERS, END_HEADERS, 1, &request(PLAIN, SOCKET_PATH));
    for start in [
        "GET / HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r_",
        "\0",
    ] {
        let stream = [start.as_bytes(), &headers].concat();
        assert_eq!(rewrite(stream.chunks(5)), stream);
    }
}

#[test]
fn an_authority_behind_a_new_table_size_is_rewritten() {
    for size in 0..31 {
        let block = [0x20 | size, 0x01, 0x02, b'/', b'%'];
        let out = rewrite([connection(&[frame(HEADERS, END_HEADERS, 1, &block)]).as_slice()]);
        assert!(out.ends_with(b"\x01\x02.-"), "size {size}");
    }
}

#[test]
fn malformed_header_blocks_are_left_alone() {
    for block in [
        &[0x41, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'/'][..],
        &[0x41, 0x05, b'/', b'/'],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x41, 0x01, b'/'],
        &[0x3f, 0x80],
        &[0x41, 0x81, 0b0110_0010], // a Huffman `/` and the first two bits of another character
        &[0x40],
        &[0x41],
    ] {
        let stream = connection(&[frame(HEADERS, END_HEADERS, 1, block)]);
        assert_eq!(rewrite([stream.as_slice()]), stream, "{block:x?}");
    }
}

#[test]
fn a_recorded_old_driver_sends_a_path_and_the_server_finds_none() {
    let stream = recorded("1.56.3");
    let before = authorities_in(&stream);
    assert!(
        before.len() == 2 && before.iter().all(|sent| sent.starts_with('/')),
        "{before:?}"
    );

    let after = authorities_in(&rewrite(stream.chunks(3)));
    let expected: Vec<_> = before.iter().map(|sent| sent.replace('/', ".")).collect();
    assert_eq!(after, expected);
    assert!(!after.concat().contains(['/', '%']));
}

#[test]
fn a_recorded_new_driver_passes_unchanged() {
    let stream = recorded("1.79.3");
    assert_eq!(authorities_in(&stream), ["localhost", "localhost"]);
    assert_eq!(rewrite(stream.chunks(3)), stream);
}
