//! Random connections: against the other decoder, cut anywhere, and plain garbage.

use std::ops::Range;

use httlib_hpack::Encoder;
use http::uri::Authority;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{
    DATA, END_HEADERS, HEADERS, HUFFMAN, INDEXED, MAX_HELD, PREFACE, SETTINGS, authorities,
    connection, frame, header_lists, request, rewrite,
};

/// One request: its fields around the authority, and the frames that follow it.
#[derive(Debug, Clone)]
struct Request {
    before: Vec<Field>,
    authority: Field,
    after: Vec<Field>,
    body: Vec<u8>,
    table_size: Option<u32>,
}

#[derive(Debug, Clone)]
struct Field {
    name: String,
    value: String,
    flags: u8,
}

fn flags() -> impl Strategy<Value = u8> {
    let index = prop_oneof![
        Just(0),
        Just(INDEXED),
        Just(Encoder::BEST_FORMAT),
        Just(Encoder::NEVER_INDEXED)
    ];
    (index, 0..=HUFFMAN).prop_map(|(index, code)| index | code)
}

/// Few names and short values, so that the dynamic table finds them again.
fn field() -> impl Strategy<Value = Field> {
    let value = prop_oneof!["[/%a-c~]{0,3}", "[ -~]{0,200}"];
    (":path|x-[ab]|user-agent|:authoritx", value, flags()).prop_map(|(name, value, flags)| Field {
        name,
        value,
        flags,
    })
}

/// Characters whose Huffman codes have up to eight bits.
fn authority() -> impl Strategy<Value = Field> {
    let value = prop_oneof!["[/%ab]{0,2}", "[-/%.:_0-9a-zA-Z&*,;]{0,120}"];
    (value, flags()).prop_map(|(value, flags)| Field {
        name: ":authority".into(),
        value,
        flags,
    })
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let table_size = prop_oneof![4 => Just(None), 1 => (0_u32..=4096).prop_map(Some)];
    let parts = (
        vec(field(), 0..4),
        authority(),
        vec(field(), 0..4),
        vec(any::<u8>(), 0..40),
        table_size,
    );
    let request = parts.prop_map(|(before, authority, after, body, table_size)| Request {
        before,
        authority,
        after,
        body,
        table_size,
    });
    vec(request, 1..30)
}

fn encode(requests: &[Request]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut frames = vec![frame(SETTINGS, 0, 0, &[])];
    for (request, stream) in requests.iter().zip((1..).step_by(2)) {
        let mut block = Vec::new();
        if let Some(size) = request.table_size {
            encoder.update_max_dynamic_size(size, &mut block).unwrap();
        }
        for Field { name, value, flags } in request
            .before
            .iter()
            .chain([&request.authority])
            .chain(&request.after)
        {
            encoder
                .encode(
                    (name.as_bytes().to_vec(), value.as_bytes().to_vec(), *flags),
                    &mut block,
                )
                .unwrap();
        }
        frames.push(frame(HEADERS, END_HEADERS, stream, &block));
        frames.push(frame(DATA, 0, stream, &request.body));
    }
    connection(&frames)
}

/// What the server must find: every field as it was sent, but for the authority.
fn expected(requests: &[Request]) -> Vec<super::Headers> {
    let field = |field: &Field| {
        let value = match field.name.as_str() {
            ":authority" => field.value.replace('/', ".").replace('%', "-"),
            _ => field.value.clone(),
        };
        (field.name.clone().into_bytes(), value.into_bytes())
    };
    let list = |request: &Request| {
        request
            .before
            .iter()
            .chain([&request.authority])
            .chain(&request.after)
            .map(field)
            .collect()
    };
    requests.iter().map(list).collect()
}

/// Cuts `stream` at the given places, in whatever order they come.
fn cut(stream: &[u8], mut places: Vec<prop::sample::Index>) -> Vec<&[u8]> {
    places.sort_by_key(|place| place.index(stream.len() + 1));
    let ends = places
        .iter()
        .map(|place| place.index(stream.len() + 1))
        .chain([stream.len()]);
    let mut start = 0;
    ends.map(|end| {
        let range: Range<usize> = start..end;
        start = end;
        &stream[range]
    })
    .collect()
}

proptest! {
    #[test]
    fn the_other_decoder_finds_every_field_and_no_path(requests in requests()) {
        let stream = encode(&requests);
        let out = rewrite([stream.as_slice()]);
        prop_assert_eq!(out.len(), stream.len());
        prop_assert_eq!(header_lists(&out), expected(&requests));
    }

    #[test]
    fn where_the_stream_is_cut_makes_no_difference(
        requests in requests(),
        places in vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let stream = encode(&requests);
        prop_assert_eq!(rewrite(cut(&stream, places)), rewrite([stream.as_slice()]));
    }

    #[test]
    fn garbage_loses_no_byte(
        preface in any::<bool>(),
        garbage in vec(any::<u8>(), 0..2000),
        places in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let start = if preface { PREFACE } else { &[] };
        let stream = [start, &garbage].concat();
        let out = rewrite(cut(&stream, places));
        prop_assert_eq!(out.len(), stream.len());
    }

    #[test]
    fn garbage_in_headers_frames_loses_no_byte(
        payloads in vec((any::<u8>(), vec(any::<u8>(), 0..60)), 1..20),
        places in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let frames: Vec<_> =
            payloads.iter().map(|(flags, payload)| frame(HEADERS, *flags, 1, payload)).collect();
        let stream = connection(&frames);
        let out = rewrite(cut(&stream, places));
        prop_assert_eq!(out.len(), stream.len());
        prop_assert_eq!(out, rewrite([stream.as_slice()]));
    }

    #[test]
    fn the_largest_held_frame_is_rewritten(at in 0..MAX_HELD - 4) {
        // `:scheme http` from the static table, one byte each, fills the frame to the limit.
        let filler = vec![0x86; at];
        let rest = vec![0x86; MAX_HELD - 4 - at];
        let block = [filler.as_slice(), &[0x01, 0x02, b'/', b'%'], &rest].concat();
        let stream = connection(&[frame(HEADERS, END_HEADERS, 1, &block)]);
        let out = rewrite(stream.chunks(1000));
        let found = PREFACE.len() + 9 + at + 2;
        prop_assert_eq!(&out[found..found + 2], b".-");
    }

    #[test]
    fn a_valid_authority_stays_valid(authority in "[!-~]{1,12}", code in 0..=HUFFMAN) {
        prop_assume!(authority.parse::<Authority>().is_ok());
        let [after] = <[String; 1]>::try_from(authorities(&request(code, &authority))).unwrap();
        prop_assert!(after.parse::<Authority>().is_ok(), "{} became {}", authority, after);
    }
}
