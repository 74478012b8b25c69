//! Keys of labels and annotations, values of labels, and how much annotations may hold.

use std::collections::BTreeMap;

use super::name;

/// The most bytes a label's value may have.
pub const MAX_LABEL_VALUE_BYTES: usize = 63;
/// The most bytes that keys and values of all annotations may have together.
pub const MAX_ANNOTATIONS_BYTES: usize = 262_144;
/// The most bytes of the part behind the `/`.
const MAX_NAME_PART_BYTES: usize = 63;

/// Why a label or annotation is refused. No variant holds a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataFault {
    /// The part behind the `/` is missing, longer than 63 bytes, or has other characters.
    #[error(
        "the name part of the key must be 1 to 63 characters, alphanumeric at both ends, with '-', '_' \
         or '.' between"
    )]
    NamePart,
    /// The part before the `/` is no DNS subdomain, or there is more than one `/`.
    #[error("the part of the key before '/' must be a lowercase RFC 1123 subdomain")]
    Prefix,
    /// More than 63 bytes in a label's value.
    #[error("the value has {0} bytes, 63 are allowed")]
    ValueTooLong(usize),
    /// A label's value with other characters.
    #[error("the value must be alphanumeric at both ends, with '-', '_' or '.' between")]
    Value,
}

/// Whether the API server takes this as the key of a label (a *qualified name*).
///
/// # Errors
/// When it answers 422 to it.
pub fn check_key(key: &str) -> Result<(), MetadataFault> {
    let (prefix, name_part) = match key.split_once('/') {
        Some((prefix, name_part)) => (Some(prefix), name_part),
        None => (None, key),
    };
    if prefix.is_some_and(|prefix| name::check(prefix).is_err()) {
        return Err(MetadataFault::Prefix);
    }
    let sound = name::edges_and_inside(name_part, "-_.", false);
    if sound && name_part.len() <= MAX_NAME_PART_BYTES {
        Ok(())
    } else {
        Err(MetadataFault::NamePart)
    }
}

/// Whether the API server takes this as the key of an annotation: a qualified name in whatever case. It lowers
/// the key as Go's `strings.ToLower` does, one character for one: of `İ` there remains a plain `i`.
///
/// # Errors
/// When it answers 422 to it.
pub fn check_annotation_key(key: &str) -> Result<(), MetadataFault> {
    let lower: String = key
        .chars()
        .filter_map(|character| character.to_lowercase().next())
        .collect();
    check_key(&lower)
}

/// Whether the API server takes this as the value of a label.
///
/// # Errors
/// When it answers 422 to it.
pub fn check_label_value(value: &str) -> Result<(), MetadataFault> {
    if value.len() > MAX_LABEL_VALUE_BYTES {
        return Err(MetadataFault::ValueTooLong(value.len()));
    }
    if value.is_empty() || name::edges_and_inside(value, "-_.", false) {
        Ok(())
    } else {
        Err(MetadataFault::Value)
    }
}

/// How many bytes the API server counts for annotations: keys and values.
#[must_use]
pub fn annotations_bytes(annotations: &BTreeMap<String, String>) -> usize {
    annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::{MetadataFault, check_annotation_key, check_key, check_label_value};

    /// Section 2, row "annotations and labels": key syntax.
    #[test]
    fn keys_of_labels_and_annotations_are_qualified_names() {
        let longest = "a".repeat(63);
        let longest_prefix = format!("{}/x", "a".repeat(253));
        for taken in [
            "a",
            "A.b_c-d",
            "coffer.rs/sync",
            "1",
            &longest,
            &longest_prefix,
        ] {
            assert_eq!(check_key(taken), Ok(()), "{taken}");
        }
        for (refused, fault) in [
            ("", MetadataFault::NamePart),
            ("a b!", MetadataFault::NamePart),
            ("-a", MetadataFault::NamePart),
            ("coffer.rs/", MetadataFault::NamePart),
            ("a/b/c", MetadataFault::NamePart),
            ("/x", MetadataFault::Prefix),
            ("Upper.rs/x", MetadataFault::Prefix),
            (&"a".repeat(64), MetadataFault::NamePart),
            (&format!("{}/x", "a".repeat(254)), MetadataFault::Prefix),
        ] {
            assert_eq!(check_key(refused), Err(fault), "{refused}");
        }
    }

    /// Section 2, row "annotations and labels": the server lowers keys of annotations first, as Go does.
    #[test]
    fn keys_of_annotations_may_be_in_upper_case() {
        for taken in [
            "Upper.RS/x",
            "\u{130}",
            "\u{130}.rs/a\u{130}",
            "\u{212a}.rs/x",
        ] {
            assert_eq!(check_annotation_key(taken), Ok(()), "{taken}");
        }
        for refused in ["A B", "\u{c9}", "UPPER_RS/x"] {
            assert!(check_annotation_key(refused).is_err(), "{refused}");
        }
    }

    /// Section 2, row "annotations and labels": value of a label.
    #[test]
    fn values_of_labels_have_at_most_63_plain_characters() {
        for taken in ["", "true", "a_b.c-D", &"a".repeat(63)] {
            assert_eq!(check_label_value(taken), Ok(()), "{taken}");
        }
        for (refused, fault) in [
            ("a b", MetadataFault::Value),
            ("-a", MetadataFault::Value),
            ("é", MetadataFault::Value),
            (&"a".repeat(64), MetadataFault::ValueTooLong(64)),
        ] {
            assert_eq!(check_label_value(refused), Err(fault), "{refused}");
        }
    }
}
