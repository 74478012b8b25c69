//! Blocks that Go finds, and texts in which it finds none.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::{blocks, lenient_blocks, write};

const ONE: &str = "-----BEGIN X-----\nAQID\n-----END X-----";

fn found(text: &str) -> Vec<String> {
    let label = |block: &super::Block<'_>| {
        format!(
            "{} {:?}",
            String::from_utf8_lossy(block.label),
            block.der.as_slice()
        )
    };
    blocks(text.as_bytes()).iter().map(label).collect()
}

#[test]
fn blocks_are_found_where_go_finds_them() {
    let x = "X [1, 2, 3]";
    for (text, expected) in [
        (ONE.to_owned(), vec![x]),
        (format!("some text\n{ONE}\nmore"), vec![x]),
        (ONE.replace('\n', "\r\n"), vec![x]),
        (ONE.replace('\n', " \t\n"), vec![x]),
        (format!("{ONE}\n{ONE}\n"), vec![x, x]),
        (
            "-----BEGIN X-----\n-----END X-----".to_owned(),
            vec!["X []"],
        ),
        (format!("-----BEGIN Y-----\n{ONE}"), vec![x]),
        (ONE.replace("X-----\nA", "X-----\nA: b\n\nA"), vec![x]),
    ] {
        assert_eq!(found(&text), expected, "{text}");
    }
}

/// Section 4.7, row "both empty; DER; ...": what is no PEM to the API server.
#[test]
fn what_is_no_pem_to_go_is_none_here() {
    for text in [
        String::new(),
        ONE.replace('\n', "\\n"),
        ONE.replace('\n', " "),
        ONE.replace('\n', "\n  ").replacen("-----", "  -----", 1),
        ONE.replace('\n', "\r"),
        format!("\u{feff}{ONE}"),
        format!("{ONE}\r"),
        format!("{ONE}{ONE}"),
        ONE.replace("END X", "END Y"),
        ONE.replace("AQID", "AQ*D"),
        ONE.replace("AQID", "AQI"),
        "-----BEGIN X-----".to_owned(),
        "-----BEGIN X-----\nAQID\n".to_owned(),
    ] {
        assert_eq!(found(&text), Vec::<String>::new(), "{text:?}");
    }
}

#[test]
fn a_file_that_lost_its_last_line_feed_has_blocks_for_others_than_go() {
    let text = format!("{}\r", ONE.replace('\n', "\r\n"));
    assert_eq!(blocks(text.as_bytes()).len(), 0);
    assert_eq!(lenient_blocks(text.as_bytes()).len(), 1);
}

#[test]
fn a_header_tells_that_a_passphrase_is_needed() {
    let text = ONE.replace(
        "X-----\nA",
        "X-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES\n\nA",
    );
    let found = blocks(text.as_bytes());
    assert!(found.iter().all(|block| block.encrypted) && found.len() == 1);
}

#[test]
fn a_megabyte_of_starts_without_ends_takes_no_time() {
    for line in [
        "-----BEGIN X-----\n",
        "-----BEGIN \n",
        "-----BEGIN X-----\nA: b\n",
    ] {
        let starts = line.repeat(50_000);
        assert_eq!(blocks(starts.as_bytes()).len(), 0);
        assert_eq!(blocks(format!("{starts}{ONE}").as_bytes()).len(), 1);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_found(der in proptest::collection::vec(any::<u8>(), 1..200)) {
        let text = [write("A", &der).as_slice(), write("B KEY", &der).as_slice()].concat();
        let found = blocks(&text);
        prop_assert_eq!(found.len(), 2);
        for block in &found {
            prop_assert_eq!(block.der.as_slice(), der.as_slice());
        }
        let raw: Vec<&[u8]> = found.iter().map(|block| block.raw).collect();
        let mut joined = raw.join(&b'\n');
        joined.push(b'\n');
        prop_assert_eq!(joined, text);
    }

    #[test]
    fn no_bytes_make_it_panic(text in "(-----(BEGIN|END) [XY]{0,2}-----|\n|A|:| |\r|-){0,12}") {
        for block in blocks(text.as_bytes()) {
            prop_assert!(text.as_bytes().windows(block.raw.len()).any(|w| w == block.raw));
        }
    }
}
