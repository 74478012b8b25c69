//! From a node to an `Object`: its fields, merge keys, duplicate keys, and the problems on the way.
//!
//! A map is checked and merged as yaml.v3 decodes into a Go struct: an explicit key beats a merged
//! one, an earlier merged map beats a later one, null keys are passed over, equal keys are a fault.

use std::collections::{HashMap, HashSet};

use super::Object;
use super::mode;
use super::scalar::{BadScalar, Value, is_merge, resolve, text_of};
use super::yaml::{Kind, Node, NodeId, Tree};
use crate::problem::{Problem, shown};

/// How many list items and map entries are visited in all, aliases followed: a bound on the time
/// that aliases of aliases can cost. A full-sized document without aliases stays below.
const MAX_VISITS: usize = 200_000;

/// How deep values may nest once aliases are followed: below the depth that JSON is read with.
pub(super) const MAX_VALUE_DEPTH: usize = 64;

/// The most problems that are kept. A reader mends a dozen at a time; the rest would only cost memory.
const MAX_PROBLEMS: usize = 100;

/// Reads objects out of a tree and keeps what is wrong with them.
pub(super) struct Reader<'t> {
    pub(super) tree: &'t Tree,
    pub(super) problems: Vec<Problem>,
    visits: usize,
}

/// The entries of one map while merge keys are followed.
#[derive(Default)]
struct Merged {
    seen: HashSet<String>,
    entries: Vec<(String, NodeId)>,
}

impl<'t> Reader<'t> {
    pub(super) const fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            problems: Vec::new(),
            visits: 0,
        }
    }

    /// Reads the list item `index`; what cannot be read is left at its default and reported. None
    /// without a readable name and path: whatever else is said of it would only follow from that.
    pub(super) fn object(&mut self, index: usize, id: NodeId) -> Option<Object> {
        let field = format!("objects[{index}]");
        if !matches!(self.tree.node(id).kind, Kind::Mapping(_)) {
            self.report(
                &field,
                id,
                "is not a map of attributes",
                "write `- objectName: ...` without quotes or `|`",
            );
            return None;
        }
        let mut object = Object {
            name: String::new(),
            secret_path: String::new(),
            secret_key: String::new(),
            method: String::new(),
            secret_args: None,
            file_permission: 0,
            encoding: String::new(),
            optional: false,
            output: String::new(),
            unknown_keys: Vec::new(),
        };
        let mut identified = true;
        for (key, value) in self.entries(&field, id) {
            let before = self.problems.len();
            let identifies = matches!(key.as_str(), "objectName" | "secretPath");
            self.attribute(&mut object, &field, key, value);
            identified &= !identifies || self.problems.len() == before;
        }
        identified.then_some(object)
    }

    fn attribute(&mut self, object: &mut Object, field: &str, key: String, value: NodeId) {
        let field = format!("{field}.{}", shown(&key));
        match key.as_str() {
            "objectName" => object.name = self.text(&field, value),
            "secretPath" => object.secret_path = self.text(&field, value),
            "secretKey" => object.secret_key = self.text(&field, value),
            "method" => object.method = self.text(&field, value),
            "secretArgs" => object.secret_args = self.args(&field, value),
            "filePermission" => object.file_permission = self.mode(&field, value),
            "encoding" => object.encoding = self.text(&field, value),
            "optional" => object.optional = self.flag(&field, value),
            "output" => object.output = self.text(&field, value),
            _ => object.unknown_keys.push(key),
        }
    }

    fn text(&mut self, field: &str, id: NodeId) -> String {
        match text_of(self.tree.node(id)) {
            Ok(text) => text.unwrap_or_default(),
            Err(bad) => {
                self.bad_scalar(field, id, &bad);
                String::new()
            }
        }
    }

    fn mode(&mut self, field: &str, id: NodeId) -> u32 {
        match mode::read(self.tree.node(id)) {
            Ok(mode) => mode,
            Err(bad) => {
                self.report(field, id, &bad.what, &bad.remedy);
                0
            }
        }
    }

    /// `true` or `false`; null is unset. No peer has such an attribute, so nothing else needs to be
    /// guessed at: neither `yes` nor text in quotes.
    fn flag(&mut self, field: &str, id: NodeId) -> bool {
        let node = self.tree.node(id);
        let what = match (resolve(node), &node.kind) {
            (Ok(Value::Bool(value)), _) => return value,
            (Ok(Value::Null), _) => return false,
            (_, Kind::Scalar { text, .. }) => format!("\"{}\" is not a boolean", shown(text)),
            (_, Kind::Sequence(_) | Kind::Mapping(_)) => {
                format!("is {}, not a boolean", kind_name(node))
            }
        };
        self.report(field, id, &what, "write true or false, without quotes");
        false
    }

    /// The entries of a map with merged maps resolved, explicit keys first.
    pub(super) fn entries(&mut self, field: &str, id: NodeId) -> Vec<(String, NodeId)> {
        let mut merged = Merged::default();
        self.collect(field, id, &mut merged, 0);
        merged.entries
    }

    fn collect(&mut self, field: &str, id: NodeId, merged: &mut Merged, depth: usize) {
        let Kind::Mapping(pairs) = &self.tree.node(id).kind else {
            self.report(
                field,
                id,
                "`<<` needs a map or a list of maps",
                "merge maps only",
            );
            return;
        };
        if depth > MAX_VALUE_DEPTH {
            self.too_deep(field, id);
            return;
        }
        self.refuse_duplicates(field, pairs);
        let mut merge = None;
        for (key, value) in pairs {
            if !self.visit() {
                return;
            }
            if is_merge(self.tree.node(*key)) {
                merge = Some(*value);
                continue;
            }
            match text_of(self.tree.node(*key)) {
                Ok(Some(text)) if merged.seen.insert(text.clone()) => {
                    merged.entries.push((text, *value));
                }
                Ok(_) => {}
                Err(bad) => self.bad_scalar(&format!("{field} (a key)"), *key, &bad),
            }
        }
        match merge.map(|id| (id, &self.tree.node(id).kind)) {
            Some((_, Kind::Sequence(maps))) => {
                for map in maps {
                    self.collect(field, *map, merged, depth + 1);
                }
            }
            Some((map, _)) => self.collect(field, map, merged, depth + 1),
            None => {}
        }
    }

    /// Equal keys by their text, as yaml.v3 compares them: `1` and `"1"` are equal.
    fn refuse_duplicates(&mut self, field: &str, pairs: &[(NodeId, NodeId)]) {
        let mut first: HashMap<&str, usize> = HashMap::with_capacity(pairs.len());
        for (key, _) in pairs {
            let Some(text) = self.tree.text(*key) else {
                continue;
            };
            let line = self.tree.node(*key).line;
            let earlier = *first.entry(text).or_insert(*key);
            if earlier != *key {
                let first_line = self.tree.node(earlier).line;
                self.push(Problem::new(
                    field,
                    format!(
                        "line {line}: the key \"{}\" is already there at line {first_line}",
                        shown(text)
                    ),
                    "remove one of them",
                ));
            }
        }
    }

    pub(super) fn bad_scalar(&mut self, field: &str, id: NodeId, bad: &BadScalar) {
        let (what, remedy) = match bad {
            BadScalar::Tag(tag) => (
                format!("cannot be read as {}", shown(tag)),
                "remove the tag or mend the value",
            ),
            BadScalar::Base64 => (
                "is not valid base64".to_owned(),
                "mend the `!!binary` value",
            ),
            BadScalar::NotText => (
                "holds bytes that are not UTF-8 text".to_owned(),
                "write it as text",
            ),
            BadScalar::NotScalar => (
                format!("is {}, not text", kind_name(self.tree.node(id))),
                "write one value",
            ),
        };
        self.report(field, id, &what, remedy);
    }

    pub(super) fn too_deep(&mut self, field: &str, id: NodeId) {
        let what = format!("nests deeper than {MAX_VALUE_DEPTH} levels once aliases are followed");
        self.report(field, id, &what, "write it flatter");
    }

    /// Reports a problem of the node at `id`, with its line.
    pub(super) fn report(&mut self, field: &str, id: NodeId, what: &str, remedy: &str) {
        let line = self.tree.node(id).line;
        self.push(Problem::new(field, format!("line {line}: {what}"), remedy));
    }

    /// Counts one visited entry; false once the bound is passed, which is reported once.
    pub(super) fn visit(&mut self) -> bool {
        self.visits += 1;
        if self.visits == MAX_VISITS + 1 {
            self.problems.truncate(MAX_PROBLEMS - 1);
            self.push(Problem::new(
                "objects",
                format!("has more than {MAX_VISITS} values once aliases are followed"),
                "use fewer aliases or split the class",
            ));
        }
        self.visits <= MAX_VISITS
    }

    fn push(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }
}

const fn kind_name(node: &Node) -> &'static str {
    match node.kind {
        Kind::Scalar { .. } => "a scalar",
        Kind::Sequence(_) => "a list",
        Kind::Mapping(_) => "a map",
    }
}
