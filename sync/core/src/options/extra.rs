//! The `extra-data` option: a JSON list of mapped files, each with what is done to its bytes.
//!
//! All problems of all entries are found in one go. How entries act on files is decided in `mapping`.

use serde_json::{Map, Value};

use super::names::Name;
use crate::key;
use crate::mapping::{Decode, Entry, Pointer};
use crate::problem::{Problem, nearest, shown};

const FIELDS: [&str; 5] = ["sourcePath", "targetKey", "optional", "decode", "pointer"];
const DECODES: [(&str, Decode); 4] = [
    ("none", Decode::None),
    ("base64", Decode::Base64),
    ("hex", Decode::Hex),
    ("gzip", Decode::Gzip),
];

/// Reads the whole list; an entry with a problem is left out of it.
pub(super) fn extra_data(text: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let items = match serde_json::from_str::<Value>(text) {
        Ok(Value::Array(items)) => items,
        Ok(_) => {
            problems.push(whole("it is JSON, but no list".to_owned()));
            return Vec::new();
        }
        Err(error) => {
            let at = format!("line {} column {}", error.line(), error.column());
            problems.push(whole(format!("it is no JSON at {at}")));
            return Vec::new();
        }
    };
    let mut entries: Vec<Entry> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let mut reader = Reader {
            field: format!("{}[{index}]", Name::ExtraData.as_str()),
            problems,
        };
        let Some(entry) = reader.entry(item) else {
            continue;
        };
        if entries
            .iter()
            .any(|other| other.target_key == entry.target_key)
        {
            let what = format!("targetKey `{}` stands twice", shown(&entry.target_key));
            reader.wrong("targetKey", what, "leave one of them");
            continue;
        }
        entries.push(entry);
    }
    entries
}

fn whole(what: String) -> Problem {
    let remedy = r#"write [{"sourcePath": "a/b", "targetKey": "b"}]"#;
    Problem::new(Name::ExtraData.as_str(), what, remedy)
}

struct Reader<'p> {
    field: String,
    problems: &'p mut Vec<Problem>,
}

impl Reader<'_> {
    fn entry(&mut self, item: &Value) -> Option<Entry> {
        let Value::Object(item) = item else {
            let remedy = "write an object with sourcePath and targetKey";
            self.problems
                .push(Problem::new(&self.field, "it is no object", remedy));
            return None;
        };
        let before = self.problems.len();
        self.unknown(item);
        let source_path = self.text(item, "sourcePath", true);
        let target_key = self.text(item, "targetKey", true);
        let entry = Entry {
            optional: self.optional(item),
            decode: self.decode(item),
            pointer: self.pointer(item),
            source_path: source_path.unwrap_or_default(),
            target_key: target_key.unwrap_or_default(),
        };
        if !entry.target_key.is_empty() && key::check(&entry.target_key).is_err() {
            let what = format!("`{}` is no key of a Secret", shown(&entry.target_key));
            self.wrong(
                "targetKey",
                what,
                "use letters, digits, `-`, `_` and `.`, not starting with `..`",
            );
        }
        (self.problems.len() == before).then_some(entry)
    }

    fn unknown(&mut self, item: &Map<String, Value>) {
        for key in item.keys().filter(|key| !FIELDS.contains(&key.as_str())) {
            let remedy = match nearest(key, FIELDS) {
                Some(meant) => format!("did you mean {meant}?"),
                None => format!("known are {}", FIELDS.join(", ")),
            };
            self.wrong(&shown(key), "there is no such field".to_owned(), &remedy);
        }
    }

    fn text(&mut self, item: &Map<String, Value>, field: &str, required: bool) -> Option<String> {
        match item.get(field) {
            Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
            None | Some(Value::Null) if !required => None,
            None | Some(Value::Null) => {
                self.wrong(field, "it is missing".to_owned(), "add it");
                None
            }
            Some(_) => {
                self.wrong(field, "it is no text, or empty".to_owned(), "write a text");
                None
            }
        }
    }

    fn optional(&mut self, item: &Map<String, Value>) -> bool {
        match item.get("optional") {
            Some(Value::Bool(optional)) => *optional,
            None | Some(Value::Null) => false,
            Some(_) => {
                self.wrong(
                    "optional",
                    "it is neither".to_owned(),
                    "write true or false",
                );
                false
            }
        }
    }

    fn decode(&mut self, item: &Map<String, Value>) -> Decode {
        let Some(text) = self.text(item, "decode", false) else {
            return Decode::None;
        };
        let found = DECODES.iter().find(|(word, _)| *word == text);
        found.map_or_else(
            || {
                let what = format!("`{}` is no value of it", shown(&text));
                self.wrong("decode", what, "write one of none, base64, hex, gzip");
                Decode::None
            },
            |(_, decode)| *decode,
        )
    }

    fn pointer(&mut self, item: &Map<String, Value>) -> Option<Pointer> {
        let text = self.text(item, "pointer", false)?;
        let pointer = Pointer::parse(&text);
        if pointer.is_none() {
            let what = format!("`{}` is no JSON pointer", shown(&text));
            self.wrong(
                "pointer",
                what,
                "write one like /data/password, `~1` for a slash and `~0` for a tilde",
            );
        }
        pointer
    }

    fn wrong(&mut self, field: &str, what: String, remedy: &str) {
        let field = format!("{}.{field}", self.field);
        self.problems.push(Problem::new(field, what, remedy));
    }
}
