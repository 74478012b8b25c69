//! From the text of a manifest to trees of nodes that keep the line of every value, several documents
//! per text.
//!
//! Read as kubectl reads: YAML 1.1 words for booleans, `<<` merges, the last of equal keys counts.
//! What the values mean to Kubernetes is not decided here.

use std::collections::{HashMap, HashSet};

use coffer_provider_core::problem::shown;
use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag, options};

/// How many `<<` are followed one inside the other: a bound on recursion.
const MAX_MERGES: usize = 64;

const YAML_TAGS: &str = "tag:yaml.org,2002:";

/// What could be read of a text.
pub(super) struct Loaded {
    /// The documents, in their order; those before the fault when there is one.
    pub(super) documents: Vec<Document>,
    /// What stopped the reading.
    pub(super) broken: Option<Broken>,
}

/// The place where a text stops being YAML.
pub(super) struct Broken {
    pub(super) line: usize,
    pub(super) what: String,
}

/// One document. Its nodes refer to each other by number, so an alias costs nothing and a cycle
/// cannot exist.
#[derive(Default)]
pub(super) struct Document {
    nodes: Vec<Node>,
    root: usize,
}

struct Node {
    line: usize,
    kind: Kind,
}

enum Kind {
    Scalar { text: String, style: Style },
    Sequence(Vec<usize>),
    Mapping(Vec<(usize, usize)>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Quoted,
    /// A block behind `|`: its lines are lines of the file.
    Literal,
}

/// What a value is to Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    Null,
    Bool,
    Number,
    List,
    Map,
}

/// A value in a document.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    document: &'a Document,
    id: usize,
}

/// A member of a map.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    pub(super) key: &'a str,
    /// Where the key stands.
    pub(super) line: usize,
    pub(super) value: View<'a>,
}

impl Document {
    pub(super) const fn root(&self) -> View<'_> {
        View {
            document: self,
            id: self.root,
        }
    }
}

impl<'a> View<'a> {
    const fn at(self, id: usize) -> Self {
        Self {
            document: self.document,
            id,
        }
    }

    fn node(self) -> &'a Node {
        &self.document.nodes[self.id]
    }

    /// Where the value starts, from 1; of a block the line of its `|`.
    pub(super) fn line(self) -> usize {
        self.node().line
    }

    /// The text of a scalar of any type.
    pub(super) fn text(self) -> Option<&'a str> {
        match &self.node().kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Whether the lines of the text are lines of the file.
    pub(super) fn is_literal(self) -> bool {
        matches!(
            self.node().kind,
            Kind::Scalar {
                style: Style::Literal,
                ..
            }
        )
    }

    pub(super) fn shape(self) -> Shape {
        match &self.node().kind {
            Kind::Sequence(_) => Shape::List,
            Kind::Mapping(_) => Shape::Map,
            Kind::Scalar {
                text,
                style: Style::Plain,
            } => plain_shape(text),
            Kind::Scalar { .. } => Shape::Text,
        }
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(self) -> Vec<Self> {
        match &self.node().kind {
            Kind::Sequence(ids) => ids.iter().map(|id| self.at(*id)).collect(),
            _ => Vec::new(),
        }
    }

    /// The members of a map in the order of the text, equal keys included, merged ones last.
    pub(super) fn members(self) -> Vec<Member<'a>> {
        let mut merge = Merge::default();
        merge.collect(self, 0);
        merge.members
    }

    pub(super) fn member(self, key: &str) -> Option<Member<'a>> {
        self.members().into_iter().rfind(|member| member.key == key)
    }

    /// The value below the given keys, one map inside the other.
    pub(super) fn get(self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self, |view, key| {
            view.member(key).map(|member| member.value)
        })
    }

    /// The text below the given keys; none for what is empty or no scalar.
    pub(super) fn get_text(self, path: &[&str]) -> Option<&'a str> {
        let view = self.get(path)?;
        view.text()
            .filter(|text| !text.is_empty() && view.shape() != Shape::Null)
    }
}

/// The members of a map while its `<<` are followed. An explicit key beats a merged one, an earlier
/// merged map a later one, so no map needs to be visited twice.
#[derive(Default)]
struct Merge<'a> {
    members: Vec<Member<'a>>,
    keys: HashSet<&'a str>,
    visited: HashSet<usize>,
}

impl<'a> Merge<'a> {
    fn collect(&mut self, map: View<'a>, merges: usize) {
        let Kind::Mapping(pairs) = &map.node().kind else {
            return;
        };
        if merges > MAX_MERGES || !self.visited.insert(map.id) {
            return;
        }
        let mut merged = Vec::new();
        for (key, value) in pairs {
            let (key, value) = (map.at(*key), map.at(*value));
            match key.text() {
                Some("<<") if value.shape() == Shape::List => merged.extend(value.items()),
                Some("<<") => merged.push(value),
                Some(text) => self.add(text, key.line(), value, merges),
                None => {}
            }
        }
        for map in merged {
            self.collect(map, merges + 1);
        }
    }

    fn add(&mut self, key: &'a str, line: usize, value: View<'a>, merges: usize) {
        if self.keys.insert(key) || merges == 0 {
            self.members.push(Member { key, line, value });
        }
    }
}

/// Reads all documents of a text; empty ones are left out.
pub(super) fn load(text: &str) -> Loaded {
    let mut loaded = Loaded {
        documents: Vec::new(),
        broken: None,
    };
    let mut builder = Builder::default();
    let options = options! { emit_comments: false };
    for item in Parser::new_from_str_with_options(text, options) {
        let step = item.map_err(|error| not_yaml(&error));
        match step.and_then(|(event, span)| builder.event(event, span.start.line())) {
            Ok(ended) => loaded.documents.extend(ended),
            Err(broken) => {
                loaded.broken = Some(broken);
                break;
            }
        }
    }
    loaded
}

fn not_yaml(error: &ScanError) -> Broken {
    Broken {
        line: error.marker().line(),
        what: format!(
            "column {}: not valid YAML ({})",
            error.marker().col() + 1,
            shown(&error.kind().to_string())
        ),
    }
}

#[derive(Default)]
struct Builder {
    document: Document,
    /// Whether the document has a value at all.
    has_root: bool,
    open: Vec<Open>,
    /// Finished nodes by the parser's number for their anchor.
    anchors: HashMap<usize, usize>,
}

/// A list or map in the making; a map's children alternate between keys and values.
struct Open {
    line: usize,
    anchor: usize,
    children: Vec<usize>,
    is_map: bool,
}

impl Builder {
    /// Takes one event; the document that it ends.
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<Option<Document>, Broken> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = style_of(style, tag.as_deref());
                let line = match style {
                    Style::Literal => line_of_bar(line, &text),
                    Style::Plain | Style::Quoted => line,
                };
                let kind = Kind::Scalar {
                    text: text.into_owned(),
                    style,
                };
                self.add(Node { line, kind }, anchor);
            }
            Event::SequenceStart(_, anchor, _) => self.open(line, anchor, false),
            Event::MappingStart(_, anchor, _) => self.open(line, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, line)?,
            Event::DocumentEnd => {
                let ended = std::mem::take(self);
                return Ok(ended.has_root.then_some(ended.document));
            }
            _ => {}
        }
        Ok(None)
    }

    fn open(&mut self, line: usize, anchor: usize, is_map: bool) {
        self.open.push(Open {
            line,
            anchor,
            children: Vec::new(),
            is_map,
        });
    }

    fn close(&mut self) {
        let Some(open) = self.open.pop() else {
            return;
        };
        let kind = if open.is_map {
            let (pairs, _) = open.children.as_chunks::<2>();
            Kind::Mapping(pairs.iter().map(|[key, value]| (*key, *value)).collect())
        } else {
            Kind::Sequence(open.children)
        };
        let line = open.line;
        self.add(Node { line, kind }, open.anchor);
    }

    fn add(&mut self, node: Node, anchor: usize) {
        let id = self.document.nodes.len();
        self.document.nodes.push(node);
        // The parser numbers anchors from 1; 0 means none.
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        self.attach(id);
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), Broken> {
        // The parser refuses unknown names, so an anchor without a node has not ended yet.
        let id = self.anchors.get(&anchor).copied().ok_or_else(|| Broken {
            line,
            what: "an alias refers to the value it stands in".to_owned(),
        })?;
        self.attach(id);
        Ok(())
    }

    fn attach(&mut self, id: usize) {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(id),
            None => {
                self.document.root = id;
                self.has_root = true;
            }
        }
    }
}

/// The parser starts a block at its first line that is not blank; blank ones before it are in the text.
fn line_of_bar(first: usize, text: &str) -> usize {
    let blank = text.bytes().take_while(|byte| *byte == b'\n').count();
    first.saturating_sub(1 + blank)
}

fn style_of(style: ScalarStyle, tag: Option<&Tag>) -> Style {
    match style {
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Plain if !tag.is_some_and(is_string_tag) => Style::Plain,
        _ => Style::Quoted,
    }
}

fn is_string_tag(tag: &Tag) -> bool {
    tag.suffix_in_namespace(YAML_TAGS).as_deref() == Some("str")
}

/// The type of an unquoted scalar as kubectl's reader resolves it (sigs.k8s.io/yaml, goyaml.v2).
fn plain_shape(text: &str) -> Shape {
    match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" => Shape::Null,
        "true" | "false" | "yes" | "no" | "on" | "off" => Shape::Bool,
        ".inf" | "+.inf" | "-.inf" | ".nan" => Shape::Number,
        lower if is_number(lower) => Shape::Number,
        _ => Shape::Text,
    }
}

fn is_number(text: &str) -> bool {
    let digits = text.replace('_', "");
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(rest) = unsigned.strip_prefix(prefix) {
            return !rest.is_empty() && rest.chars().all(|c| c.is_digit(radix));
        }
    }
    unsigned.starts_with(|c: char| c == '.' || c.is_ascii_digit())
        && unsigned.parse::<f64>().is_ok()
}
