//! The name of a Secret: a DNS-1123 subdomain.

/// The most bytes a name may have.
pub const MAX_NAME_BYTES: usize = 253;

/// Why a name is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// No character at all.
    #[error("the name is empty")]
    Empty,
    /// More than 253 bytes.
    #[error("the name has {0} bytes, 253 are allowed")]
    TooLong(usize),
    /// Not a lowercase RFC 1123 subdomain.
    #[error(
        "the name is no lowercase RFC 1123 subdomain: lower-case letters, digits, '-' and '.', each part \
         between dots starting and ending with a letter or digit"
    )]
    NotSubdomain,
}

/// Whether the API server takes this as the name of a Secret.
///
/// # Errors
/// When it answers 422 to it, or 404 where a `/` stands in it.
pub fn check(name: &str) -> Result<(), NameFault> {
    if name.is_empty() {
        return Err(NameFault::Empty);
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameFault::TooLong(name.len()));
    }
    if name
        .split('.')
        .all(|label| edges_and_inside(label, "-", true))
    {
        Ok(())
    } else {
        Err(NameFault::NotSubdomain)
    }
}

/// The legal name nearest to this one, to be proposed, never to be used unasked. None where nothing of
/// the name is legal or the name is legal already.
#[must_use]
pub fn suggestion(name: &str) -> Option<String> {
    let lower: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let labels: Vec<&str> = lower
        .split('.')
        .map(|label| label.trim_matches('-'))
        .filter(|label| !label.is_empty())
        .collect();
    let mut proposed = labels.join(".");
    proposed.truncate(MAX_NAME_BYTES);
    let proposed = proposed.trim_end_matches(['-', '.']);
    (!proposed.is_empty() && proposed != name).then(|| proposed.to_owned())
}

/// First and last are ASCII letters or digits, and between stand those or one of `inside`.
pub(super) fn edges_and_inside(text: &str, inside: &str, lower: bool) -> bool {
    let plain =
        |b: u8| b.is_ascii_digit() || b.is_ascii_lowercase() || (!lower && b.is_ascii_uppercase());
    let bytes = text.as_bytes();
    bytes.first().copied().is_some_and(plain)
        && bytes.last().copied().is_some_and(plain)
        && bytes
            .iter()
            .all(|b| plain(*b) || inside.as_bytes().contains(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, prop_assert_eq, prop_oneof, proptest};
    use regex::Regex;

    use super::{NameFault, check, suggestion};

    /// Section 2, rows "name" and "name with `/`".
    #[test]
    fn names_are_taken_and_refused_as_by_the_api_server() {
        for taken in ["a.b", "1", &"a".repeat(253), "bootstrap-token-5emitj"] {
            assert_eq!(check(taken), Ok(()), "{taken}");
        }
        for refused in [
            "Upper", "a_b", "a..b", "-a", "a-", ".a", "a.", "a/b", "a-.b", "é",
        ] {
            assert_eq!(check(refused), Err(NameFault::NotSubdomain), "{refused}");
        }
        assert_eq!(check(&"a".repeat(254)), Err(NameFault::TooLong(254)));
        assert_eq!(check(""), Err(NameFault::Empty));
    }

    #[test]
    fn the_nearest_legal_name_is_proposed() {
        for (name, expected) in [
            ("Upper", Some("upper")),
            ("My_App", Some("my-app")),
            ("a/b", Some("a-b")),
            ("-a..b-", Some("a.b")),
            ("fine", None),
            ("___", None),
        ] {
            assert_eq!(suggestion(name).as_deref(), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_legal_exactly_when_the_api_servers_expression_says_so(
            name in prop_oneof!["[-.a-z0-9]{0,6}", "[-._A-Za-z0-9/]{0,6}", "a{250,256}", any::<String>()],
        ) {
            let expression =
                Regex::new(r"\A[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\z").unwrap();
            let expected = expression.is_match(&name) && name.len() <= 253;
            prop_assert_eq!(check(&name).is_ok(), expected);
        }

        #[test]
        fn whatever_is_proposed_is_legal(name in prop_oneof!["[-._A-Z/]{0,9}", any::<String>()]) {
            if let Some(proposed) = suggestion(&name) {
                prop_assert!(check(&proposed).is_ok(), "{proposed:?}");
            }
        }
    }
}
