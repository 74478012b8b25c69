//! What a line looks like: time, level, message, target, the fields of the event, then those of the
//! spans around it, inner first.
//!
//! Text in a line can neither end it nor disguise it: control characters are escaped in both formats.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::writer::Queue;

/// Longest text of one field, in bytes: four times what an error text may be.
const MAX_VALUE: usize = 4096;

/// Shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object.
    Json,
    /// `ts LEVEL target: msg key=value ..`
    Text,
}

impl LogFormat {
    /// Reads the word for it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Json),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Turns events into lines and queues them.
pub(super) struct Lines {
    format: LogFormat,
    queue: Arc<Queue>,
    now: fn() -> Timestamp,
}

impl Lines {
    pub(super) fn new(format: LogFormat, queue: Arc<Queue>) -> Self {
        Self {
            format,
            queue,
            now: Timestamp::now,
        }
    }
}

impl<S> Layer<S> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in ctx.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.surround(outer);
            }
        }
        let metadata = event.metadata();
        let line = Line {
            time: (self.now)(),
            level: metadata.level().as_str(),
            target: metadata.target(),
            fields,
        };
        self.queue.offer(line.render(self.format));
    }
}

/// One event with all that is known about it.
struct Line<'a> {
    time: Timestamp,
    level: &'a str,
    target: &'a str,
    fields: Fields,
}

impl Line<'_> {
    fn render(&self, format: LogFormat) -> Vec<u8> {
        let mut line = match format {
            LogFormat::Json => self.json(),
            LogFormat::Text => self.text(),
        };
        line.push('\n');
        line.into_bytes()
    }

    fn json(&self) -> String {
        let mut out = String::with_capacity(512);
        let _ = write!(out, "{{\"ts\":\"{:.3}\",\"level\":\"", self.time);
        out.extend(self.level.chars().map(|c| c.to_ascii_lowercase()));
        let _ = write!(out, "\",\"msg\":{}", quoted(&self.fields.message));
        let _ = write!(out, ",\"target\":{}", quoted(self.target));
        for (key, value) in &self.fields.named {
            let _ = write!(out, ",{}:", quoted(&free_key(key)));
            let _ = match value {
                Value::Bare(text) => write!(out, "{text}"),
                Value::Text(text) => write!(out, "{}", quoted(text)),
            };
        }
        out.push('}');
        out
    }

    fn text(&self) -> String {
        let mut out = String::with_capacity(512);
        let (level, target) = (self.level, self.target);
        let _ = write!(
            out,
            "{:.3} {level:5} {target}: {}",
            self.time, self.fields.message
        );
        for (key, value) in &self.fields.named {
            let _ = match value {
                Value::Text(text) if needs_quotes(text) => write!(out, " {key}={}", quoted(text)),
                Value::Bare(text) | Value::Text(text) => write!(out, " {key}={text}"),
            };
        }
        out
    }
}

/// The name of a field in JSON, where the first four names are taken.
fn free_key(key: &str) -> String {
    if matches!(key, "ts" | "level" | "msg" | "target") {
        format!("{key}_")
    } else {
        key.to_owned()
    }
}

/// A text as a JSON string. Escaping of control characters is done before ([`Capped`]).
fn quoted(text: &str) -> serde_json::Value {
    serde_json::Value::from(text)
}

/// Whether a text beside `key=` would be read as more than one value.
fn needs_quotes(text: &str) -> bool {
    text.is_empty() || text.contains(|c: char| c.is_whitespace() || matches!(c, '"' | '=' | '\\'))
}

/// The fields of an event or a span, escaped, in the order in which they were written.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    named: Vec<(&'static str, Value)>,
}

#[derive(Clone, Debug)]
enum Value {
    /// A number or boolean, which JSON takes as it is.
    Bare(String),
    /// Anything else.
    Text(String),
}

impl Fields {
    /// Adds the fields of an outer span, but for those that something further in has said.
    fn surround(&mut self, outer: &Self) {
        for (key, value) in &outer.named {
            if !self.named.iter().any(|(known, _)| known == key) {
                self.named.push((key, value.clone()));
            }
        }
    }

    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::Bare(text) | Value::Text(text)) => self.message = text,
            // A span may record a field again: the last value counts.
            (key, value) => match self.named.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => self.named.push((key, value)),
            },
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = Capped::default();
        // The error is our own stop sign at the longest text.
        let _ = write!(text, "{value:?}");
        self.put(field, Value::Text(text.finish()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let mut text = Capped::default();
        let _ = text.write_str(value);
        self.put(field, Value::Text(text.finish()));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::Bare(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::Bare(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::Bare(value.to_string()));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.put(field, Value::Bare(value.to_string()));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.put(field, Value::Bare(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        let text = value.to_string();
        // JSON has neither infinity nor NaN.
        self.put(
            field,
            if value.is_finite() {
                Value::Bare(text)
            } else {
                Value::Text(text)
            },
        );
    }
}

/// Text with everything escaped that could end a line, or make it read differently from what it says: control
/// characters, line separators, and those that are invisible or change the direction.
fn escaped(text: &str) -> String {
    let disguises = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() || disguises(c) {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// Text that stops growing at its longest.
#[derive(Default)]
struct Capped {
    text: String,
    cut: bool,
}

impl Capped {
    /// The text on one line.
    fn finish(self) -> String {
        let mut line = escaped(&self.text);
        if self.cut {
            line.push('…');
        }
        line
    }
}

impl fmt::Write for Capped {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = MAX_VALUE - self.text.len();
        let end = more.floor_char_boundary(room);
        self.text.push_str(&more[..end]);
        if end < more.len() {
            self.cut = true;
            return Err(fmt::Error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
