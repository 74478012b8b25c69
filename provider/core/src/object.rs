//! The `objects` parameter: a YAML list of objects, read to the same values as the Go peers read it.
//!
//! What the YAML says becomes `Object`; whether a path, a mode or a name can be used is decided
//! elsewhere, except that a mode above 0777 never leaves this module. All problems of all objects are
//! reported together. Nothing here is trusted: text of any kind ends in bounded time.

mod args;
mod fields;
mod mode;
mod scalar;
mod timestamp;
mod yaml;

#[cfg(test)]
mod tests;

use crate::gojson::Json;
use crate::problem::{Problem, shown};

use self::fields::Reader;
use self::yaml::{Kind, NodeId, Tree};

/// One object of a class, with its values as they were written: no `/v1/` added, no case folded, no
/// default filled in, because the object version is made from them.
///
/// No Debug: `secretArgs` may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Object {
    /// `objectName`: the path of the file in the volume.
    pub name: String,
    /// `secretPath`: the path in the store, perhaps with a query.
    pub secret_path: String,
    /// `secretKey`: the key in the data; empty for the whole reply as JSON.
    pub secret_key: String,
    /// `method`: the HTTP method; empty for GET.
    pub method: String,
    /// `secretArgs`: always a JSON object; none when absent or null.
    pub secret_args: Option<Json>,
    /// `filePermission`: mode bits up to 0o777; 0 when unset.
    pub file_permission: u32,
    /// `encoding`, as written.
    pub encoding: String,
    /// `optional`: whether the file may be missing.
    pub optional: bool,
    /// `output`, as written.
    pub output: String,
    /// Keys that mean nothing to us, in the order of the text.
    pub unknown_keys: Vec<String>,
}

/// What the text of the `objects` parameter says, and what is wrong with it.
#[derive(Default)]
pub struct Objects {
    /// The objects with their places in the list. One whose name or path cannot be read is left out;
    /// any other attribute that cannot be read stands at its default.
    pub objects: Vec<(usize, Object)>,
    /// All problems of all objects; a single one when the text is not YAML at all.
    pub problems: Vec<Problem>,
}

/// Reads the text of the `objects` parameter as far as it can be read. Empty text and `null` are an
/// empty list; null items are dropped; only the first document counts.
#[must_use]
pub fn read_objects(text: &str) -> Objects {
    read(text).unwrap_or_else(|problem| Objects {
        objects: Vec::new(),
        problems: vec![problem],
    })
}

/// Reads the text of the `objects` parameter, all or nothing.
///
/// # Errors
/// All problems of all objects.
pub fn parse_objects(text: &str) -> Result<Vec<Object>, Vec<Problem>> {
    let Objects { objects, problems } = read_objects(text);
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(objects.into_iter().map(|(_, object)| object).collect())
}

fn read(text: &str) -> Result<Objects, Problem> {
    let Some(tree) = yaml::load(text)? else {
        return Ok(Objects::default());
    };
    let items = match &tree.node(tree.root()).kind {
        Kind::Sequence(items) => items.as_slice(),
        Kind::Scalar { .. } if scalar::is_null(tree.node(tree.root())) => &[],
        _ => return Err(not_a_list(&tree)),
    };
    Ok(read_items(&tree, items))
}

fn read_items(tree: &Tree, items: &[NodeId]) -> Objects {
    let mut reader = Reader::new(tree);
    let mut objects = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        if !scalar::is_null(tree.node(*item)) {
            objects.extend(reader.object(index, *item).map(|object| (index, object)));
        }
    }
    Objects {
        objects,
        problems: reader.problems,
    }
}

/// Why the document is no list, with the two mistakes people make named.
fn not_a_list(tree: &Tree) -> Problem {
    let root = tree.node(tree.root());
    let remedy = "write a list: each object starts with `- objectName:`";
    match &root.kind {
        Kind::Mapping(pairs)
            if pairs
                .iter()
                .any(|(key, _)| tree.text(*key) == Some("array")) =>
        {
            Problem::new(
                "objects",
                "is wrapped in `array:`, a form of other providers",
                "remove `array:` and write each object as a list item, not as quoted text",
            )
        }
        Kind::Mapping(_) => Problem::new("objects", "is a map, not a list of objects", remedy),
        Kind::Scalar { text, .. } => Problem::new(
            "objects",
            format!("is the text \"{}\", not a list of objects", shown(text)),
            remedy,
        ),
        Kind::Sequence(_) => Problem::new("objects", "is not a list of objects", remedy),
    }
}
