//! Label selectors as kubectl reads them: equality and sets, joined by commas.
//!
//! Whose labels they are matched against is decided elsewhere.

use std::collections::BTreeMap;

use crate::key::metadata;

/// A selector that is not empty; all of its terms must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Exists(String),
    Missing(String),
    In(String, Vec<String>),
    /// Also holds where the label is missing, as in Kubernetes.
    NotIn(String, Vec<String>),
}

impl Selector {
    /// Reads `app=web,tier in (a, b),!canary`. None when it is not a selector, or selects everything.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let terms: Option<Vec<Term>> = terms(text)?.into_iter().map(term).collect();
        terms.filter(|terms| !terms.is_empty()).map(Self)
    }

    /// Whether these labels are selected.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|term| match term {
            Term::Exists(key) => labels.contains_key(key),
            Term::Missing(key) => !labels.contains_key(key),
            Term::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Term::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
        })
    }
}

/// Splits at commas outside parentheses.
fn terms(text: &str) -> Option<Vec<&str>> {
    let mut out = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' if inside => return None,
            ')' if !inside => return None,
            '(' => inside = true,
            ')' => inside = false,
            ',' if !inside => {
                out.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    out.push(text[start..].trim());
    (!inside).then_some(out)
}

fn term(text: &str) -> Option<Term> {
    if let Some(key) = text.strip_prefix('!') {
        return label_key(key.trim()).map(Term::Missing);
    }
    if let Some((head, set)) = text.split_once('(') {
        let values = set.strip_suffix(')')?.split(',').map(label_value);
        let values: Vec<String> = values.collect::<Option<_>>()?;
        let (key, operator) = head.trim().split_once(char::is_whitespace)?;
        let key = label_key(key)?;
        return match operator.trim() {
            "in" => Some(Term::In(key, values)),
            "notin" => Some(Term::NotIn(key, values)),
            _ => None,
        };
    }
    if let Some((key, value)) = text.split_once("!=") {
        return Some(Term::NotIn(
            label_key(key.trim())?,
            vec![label_value(value)?],
        ));
    }
    if let Some((key, value)) = text.split_once('=') {
        let value = value.strip_prefix('=').unwrap_or(value);
        return Some(Term::In(label_key(key.trim())?, vec![label_value(value)?]));
    }
    label_key(text).map(Term::Exists)
}

fn label_key(text: &str) -> Option<String> {
    metadata::check_key(text).is_ok().then(|| text.to_owned())
}

fn label_value(text: &str) -> Option<String> {
    let text = text.trim();
    metadata::check_label_value(text)
        .is_ok()
        .then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_select_as_kubectl_does() {
        let labels = BTreeMap::from([
            ("app".to_owned(), "web".to_owned()),
            ("example.com/tier".to_owned(), "a".to_owned()),
        ]);
        for (text, expected) in [
            ("app=web", Some(true)),
            ("app==web", Some(true)),
            ("app = web , example.com/tier", Some(true)),
            ("app!=web", Some(false)),
            ("other!=web", Some(true)),
            ("app in (db, web)", Some(true)),
            ("app notin (db,web)", Some(false)),
            ("!app", Some(false)),
            ("!other,app", Some(true)),
            ("other", Some(false)),
            ("", None),
            ("app=web,", None),
            ("app in web", None),
            ("app in (web", None),
            ("app like (web)", None),
            ("a b=c", None),
            ("app=a b", None),
        ] {
            let found = Selector::parse(text).map(|selector| selector.matches(&labels));
            assert_eq!(found, expected, "{text}");
        }
    }
}
