//! `secretArgs`: from YAML to the JSON that the peers send and hash.
//!
//! Values may be secret: a problem names the key and the line, never the value.

use std::collections::BTreeMap;

use super::fields::{MAX_VALUE_DEPTH, Reader};
use super::scalar::{Value, is_merge, is_null, resolve};
use super::yaml::{Kind, NodeId};
use crate::gojson::Json;
use crate::problem::shown;

impl Reader<'_> {
    /// The arguments as a JSON object; none for null. Keys of any scalar type become text here, and
    /// only here: `map[string]interface{}` is what the peers decode into.
    pub(super) fn args(&mut self, field: &str, id: NodeId) -> Option<Json> {
        match &self.tree.node(id).kind {
            Kind::Mapping(_) => Some(self.json_object(field, id, 0)),
            _ if is_null(self.tree.node(id)) => None,
            _ => {
                self.report(field, id, "is not a map", "write a map of arguments");
                None
            }
        }
    }

    fn json_object(&mut self, field: &str, id: NodeId, depth: usize) -> Json {
        let mut members = BTreeMap::new();
        for (key, value) in self.entries(field, id) {
            let field = format!("{field}.{}", shown(&key));
            members.insert(key, self.json(&field, value, depth + 1));
        }
        Json::Object(members)
    }

    /// Any value; null in the place of what was reported.
    fn json(&mut self, field: &str, id: NodeId, depth: usize) -> Json {
        if depth > MAX_VALUE_DEPTH {
            self.too_deep(field, id);
            return Json::Null;
        }
        let tree = self.tree;
        match &tree.node(id).kind {
            Kind::Scalar { .. } => self.json_scalar(field, id),
            Kind::Sequence(items) => {
                let mut elements = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    if !self.visit() {
                        break;
                    }
                    elements.push(self.json(&format!("{field}[{index}]"), *item, depth + 1));
                }
                Json::Array(elements)
            }
            Kind::Mapping(pairs) => {
                if let Some((key, _)) = pairs.iter().find(|(key, _)| !self.is_text_key(*key)) {
                    self.report(
                        field,
                        *key,
                        "a key of a nested map is not text",
                        "put the key in quotes",
                    );
                    return Json::Null;
                }
                self.json_object(field, id, depth)
            }
        }
    }

    /// Below the top, Go keeps keys of other types as they are, and its JSON cannot hold them.
    fn is_text_key(&self, id: NodeId) -> bool {
        let node = self.tree.node(id);
        is_merge(node) || matches!(resolve(node), Ok(Value::Text(_)))
    }

    fn json_scalar(&mut self, field: &str, id: NodeId) -> Json {
        match resolve(self.tree.node(id)) {
            Ok(Value::Null) => Json::Null,
            Ok(Value::Bool(value)) => Json::Bool(value),
            Ok(Value::Int(value)) => Json::Number(value.to_string()),
            Ok(Value::Float(value)) => Json::float(value).unwrap_or_else(|| {
                self.report(
                    field,
                    id,
                    "is infinite or not a number, which JSON cannot hold",
                    "write a finite number, or quotes around the text",
                );
                Json::Null
            }),
            Ok(Value::Time(text) | Value::Text(text) | Value::Binary(text)) => Json::String(text),
            Err(bad) => {
                self.bad_scalar(field, id, &bad);
                Json::Null
            }
        }
    }
}
