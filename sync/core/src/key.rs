//! Which names the API server takes: keys of data, the name of a Secret, labels and annotations.
//!
//! The rules are the API server's, letter by letter; nothing is mended silently.

/// Keys and values of labels and annotations.
pub mod metadata;
/// Names of Secrets.
pub mod name;

/// The most bytes a key may have (`IsConfigMapKey` of apimachinery's validation).
pub const MAX_KEY_BYTES: usize = 253;

/// How much of a name a message repeats, in characters.
const SHOWN_CHARS: usize = 80;

/// Why a key of data is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// No character at all.
    #[error("the key is empty")]
    Empty,
    /// More than 253 bytes.
    #[error("the key has {0} bytes, 253 are allowed")]
    TooLong(usize),
    /// A character other than an ASCII letter, a digit, `-`, `_` or `.`.
    #[error("the key holds {0:?}; only ASCII letters, digits, '-', '_' and '.' are allowed")]
    Character(char),
    /// `.` or something that starts with `..`: it would be a path.
    #[error("the key is '.' or starts with '..'")]
    Dots,
}

/// Whether the API server takes this as a key of a Secret's data.
///
/// # Errors
/// When it answers 422 to it.
pub fn check(key: &str) -> Result<(), KeyFault> {
    if key.is_empty() {
        return Err(KeyFault::Empty);
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(KeyFault::TooLong(key.len()));
    }
    let strange = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if let Some(character) = key.chars().find(strange) {
        return Err(KeyFault::Character(character));
    }
    if key == "." || key.starts_with("..") {
        return Err(KeyFault::Dots);
    }
    Ok(())
}

/// A name for a message: on one line, and cut after 80 characters.
pub(crate) fn shown(name: &str) -> String {
    let mut out: String = name
        .chars()
        .take(SHOWN_CHARS)
        .flat_map(char::escape_debug)
        .collect();
    if name.chars().nth(SHOWN_CHARS).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, prop_oneof, proptest};
    use regex::Regex;

    use super::{KeyFault, check, shown};

    /// Section 2, row "key".
    #[test]
    fn keys_are_taken_and_refused_as_by_the_api_server() {
        let longest = "a".repeat(253);
        for taken in [
            ".foo", "._", "-", "_", "a_b", "foo__bar", "1badkey", "a.", "foo_", &longest,
        ] {
            assert_eq!(check(taken), Ok(()), "{taken}");
        }
        for (refused, fault) in [
            ("", KeyFault::Empty),
            ("a/b", KeyFault::Character('/')),
            ("a b", KeyFault::Character(' ')),
            ("é", KeyFault::Character('é')),
            ("a:b", KeyFault::Character(':')),
            ("a\n", KeyFault::Character('\n')),
            (".", KeyFault::Dots),
            ("..", KeyFault::Dots),
            ("..foo", KeyFault::Dots),
            ("...", KeyFault::Dots),
            (&"a".repeat(254), KeyFault::TooLong(254)),
        ] {
            assert_eq!(check(refused), Err(fault), "{refused:?}");
        }
    }

    /// Section 2.1: sets that differ between the schema of a SecretSync and a Secret.
    #[test]
    fn keys_follow_the_secret_where_the_schema_of_a_sync_differs() {
        for taken in ["a_b", "a.b", "_x", "foo_", "foo__bar", "-", "a."] {
            assert_eq!(check(taken), Ok(()), "{taken}");
        }
        for refused in ["foo/0", "db/0/1", "."] {
            assert!(check(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn every_key_that_a_built_in_type_knows_is_legal() {
        use crate::secret_type::{Required, SecretType};
        for secret_type in SecretType::BUILT_IN {
            let required: &[&str] = match secret_type.required() {
                Required::All(keys) | Required::Any(keys) => keys,
                Required::NotEmpty(key) | Required::JsonObject(key) => &[key],
                Required::Nothing | Required::Annotation(_) => &[],
            };
            for key in required.iter().chain(secret_type.conventional_keys()) {
                assert_eq!(check(key), Ok(()), "{secret_type:?} {key}");
            }
        }
    }

    #[test]
    fn a_shown_name_is_short_and_on_one_line() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"x".repeat(81)), format!("{}…", "x".repeat(80)));
    }

    proptest! {
        #[test]
        fn a_key_is_legal_exactly_when_the_api_servers_expression_says_so(
            key in prop_oneof!["[-._a-zA-Z0-9]{0,5}", "\\PC{0,4}", "[.]{0,4}[a-z/]{0,2}", "a{250,256}", any::<String>()],
        ) {
            let expression = Regex::new(r"\A[-._a-zA-Z0-9]+\z").unwrap();
            let expected = expression.is_match(&key)
                && key.len() <= 253
                && key != "."
                && key != ".."
                && !key.starts_with("..");
            prop_assert_eq!(check(&key).is_ok(), expected);
        }
    }
}
