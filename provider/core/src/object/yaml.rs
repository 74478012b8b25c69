//! From YAML text to a tree of nodes that keep what the peers' rules need: the source text of each
//! scalar, whether it was plain, its tag and its line.
//!
//! Serde's typed view loses these, so this stands on the event parser under serde-saphyr. The nodes
//! live in one vector and refer to each other by number: an alias costs nothing, a deep chain of
//! aliases cannot overflow the stack when dropped, and a cycle cannot exist.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag, options};

use crate::problem::{Problem, shown};

/// The longest text that is read, in bytes. A class that carries it cannot be larger: etcd refuses
/// requests above 1.5 MiB.
const MAX_TEXT: usize = 1 << 20;

/// How deep lists and maps may nest. Objects need three levels, arguments a few more.
const MAX_DEPTH: usize = 64;

/// The most nodes of one document: a full 1 MiB of ordinary objects has about half.
const MAX_NODES: usize = 200_000;

const TAG_PREFIX: &str = "tag:yaml.org,2002:";

/// A document, its nodes in the order in which they ended.
pub(super) struct Tree {
    nodes: Vec<Node>,
    root: NodeId,
}

/// The place of a node in its tree.
pub(super) type NodeId = usize;

/// A scalar, list or map with its origin.
pub(super) struct Node {
    /// The line where it starts, from 1.
    pub(super) line: usize,
    /// The explicit tag, the YAML namespace shortened to `!!`; none for the tag `!`.
    pub(super) tag: Option<String>,
    /// What it is.
    pub(super) kind: Kind,
}

/// The three shapes of YAML.
pub(super) enum Kind {
    /// A scalar with its text after unescaping and folding.
    Scalar {
        /// The text.
        text: String,
        /// Neither quoted nor a block scalar.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<NodeId>),
    /// A map, as pairs in the order of the text, duplicates included.
    Mapping(Vec<(NodeId, NodeId)>),
}

impl Tree {
    /// The node of the document itself.
    pub(super) const fn root(&self) -> NodeId {
        self.root
    }

    /// The node at a place. Places come from this tree only, so they exist.
    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The source text of a scalar.
    pub(super) fn text(&self, id: NodeId) -> Option<&str> {
        match &self.node(id).kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// Reads the first document; none when there is none.
///
/// # Errors
/// The one problem that stopped it: not YAML, too large, or an alias of its own content.
pub(super) fn load(text: &str) -> Result<Option<Tree>, Problem> {
    if text.len() > MAX_TEXT {
        return Err(too_large(format!("has {} bytes", text.len())));
    }
    let mut builder = Builder::default();
    let options = options! {
        emit_comments: false,
        // libyaml, on which the peers' reader is modelled, adds no line feed that is not there.
        block_scalar_eof_without_line_feed: true,
    };
    for item in Parser::new_from_str_with_options(text, options) {
        let (event, span) = item.map_err(|error| not_yaml(&error))?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        builder.event(event, span.start.line())?;
    }
    Ok(builder.root.map(|root| Tree {
        nodes: builder.nodes,
        root,
    }))
}

#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    /// The lists and maps that have begun and not ended, outermost first.
    open: Vec<Open>,
    /// Finished nodes by the parser's number for their anchor.
    anchors: HashMap<usize, NodeId>,
    root: Option<NodeId>,
}

/// A list or map in the making; a map's children alternate between keys and values.
struct Open {
    line: usize,
    tag: Option<String>,
    anchor: usize,
    children: Vec<NodeId>,
    is_map: bool,
}

impl Builder {
    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), Problem> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let kind = Kind::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                };
                let tag = short_tag(tag.as_deref());
                self.add(Node { line, tag, kind }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(line, short_tag(tag.as_deref()), anchor, false)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(line, short_tag(tag.as_deref()), anchor, true)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(anchor, line),
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        line: usize,
        tag: Option<String>,
        anchor: usize,
        is_map: bool,
    ) -> Result<(), Problem> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_large(format!(
                "nests deeper than {MAX_DEPTH} levels at line {line}"
            )));
        }
        self.open.push(Open {
            line,
            tag,
            anchor,
            children: Vec::new(),
            is_map,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Problem> {
        let Some(Open {
            line,
            tag,
            anchor,
            children,
            is_map,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let kind = if is_map {
            let (pairs, _) = children.as_chunks::<2>();
            Kind::Mapping(pairs.iter().map(|[key, value]| (*key, *value)).collect())
        } else {
            Kind::Sequence(children)
        };
        self.add(Node { line, tag, kind }, anchor)
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if self.nodes.len() >= MAX_NODES {
            return Err(too_large(format!("has more than {MAX_NODES} values")));
        }
        let id = self.nodes.len();
        self.nodes.push(node);
        // The parser numbers anchors from 1; 0 means none.
        if anchor != 0 {
            self.anchors.insert(anchor, id);
        }
        self.attach(id);
        Ok(())
    }

    fn alias(&mut self, anchor: usize, line: usize) -> Result<(), Problem> {
        // The parser refuses unknown names, so an anchor without a node has not ended yet.
        let Some(id) = self.anchors.get(&anchor).copied() else {
            return Err(Problem::new(
                "objects",
                format!("line {line}: an alias refers to the value it stands in"),
                "write the value out",
            ));
        };
        self.attach(id);
        Ok(())
    }

    fn attach(&mut self, id: NodeId) {
        match self.open.last_mut() {
            Some(parent) => parent.children.push(id),
            None => self.root = Some(id),
        }
    }
}

/// `!!int` for the YAML namespace, as written for others; none for `!`, which libyaml drops.
fn short_tag(tag: Option<&Tag>) -> Option<String> {
    let tag = tag?;
    if let Some(name) = tag.suffix_in_namespace(TAG_PREFIX) {
        return Some(format!("!!{name}"));
    }
    let (handle, suffix) = tag.parts();
    Some(format!("{handle}{suffix}")).filter(|tag| tag != "!" && !tag.is_empty())
}

fn not_yaml(error: &ScanError) -> Problem {
    let place = error.marker();
    let (line, column) = (place.line(), place.col() + 1);
    let why = shown(&error.kind().to_string());
    Problem::new(
        "objects",
        format!("line {line}, column {column}: not valid YAML ({why})"),
        "check indentation, quotes and brackets there",
    )
}

fn too_large(what: String) -> Problem {
    Problem::new("objects", what, "split the class into several")
}
