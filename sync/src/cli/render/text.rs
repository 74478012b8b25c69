//! The report for people: what is wrong with the whole, then each Secret, then a sum.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use coffer_sync_core::problem::shown;

use super::report::{Key, Mapped, Report, SecretReport, Told};

impl Report {
    /// The report for people, with a line feed at its end.
    pub(super) fn to_text(&self) -> String {
        let mut out = String::new();
        found(&mut out, "", &self.problems, &self.warnings);
        for secret in &self.secrets {
            separate(&mut out);
            secret.write(&mut out);
        }
        separate(&mut out);
        out.push_str(&self.sum());
        out
    }

    fn sum(&self) -> String {
        let refused = self.secrets.iter().filter(|secret| secret.is_refused());
        let refused = refused.count();
        let written = self.secrets.len() - refused;
        let of_secrets: usize = self.secrets.iter().map(|s| s.warnings.len()).sum();
        let warnings = self.warnings.len() + of_secrets;
        let mut parts = vec![
            format!("{} would be written", counted(written, "Secret", "Secrets")),
            format!("{refused} would not"),
            counted(warnings, "warning", "warnings"),
        ];
        if self.ignored > 0 {
            let objects = counted(self.ignored, "object", "objects");
            parts.push(format!("{objects} of other kinds ignored"));
        }
        format!("{}\n", parts.join(", "))
    }
}

impl SecretReport {
    fn write(&self, out: &mut String) {
        let Self {
            file,
            source,
            class,
            provider,
            namespace,
            name,
            type_,
            owner,
            immutable,
            labels,
            annotations,
            mapped,
            all_keys,
            keys,
            absent,
            problems,
            warnings,
        } = self;
        let refused = if self.is_refused() {
            ": would not be written"
        } else {
            ""
        };
        line(
            out,
            format!(
                "Secret {}/{}, type {}{refused}",
                shown(namespace),
                shown(name),
                shown(type_)
            ),
        );
        let provider = match provider {
            Some(provider) => format!(", provider {}", shown(provider)),
            None => " (not in these files)".to_owned(),
        };
        let (source, class) = (shown(source), shown(class));
        line(
            out,
            format!("  from {source} ({file}), class {class}{provider}"),
        );
        // Labels of our own are always there once it is known what would be written.
        if !labels.is_empty() {
            line(
                out,
                match owner {
                    Some(owner) => format!("  owner: {}", shown(owner)),
                    None => "  no owner: it stays when its source goes".to_owned(),
                },
            );
            if *immutable {
                line(out, "  immutable".to_owned());
            }
            texts(out, "labels", labels);
            texts(out, "annotations", annotations);
            line(out, "  keys:".to_owned());
            match keys {
                Some(keys) => keys.iter().for_each(|key| out.push_str(&value(key))),
                None => mapped.iter().for_each(|row| line(out, mapping(row))),
            }
            if *all_keys && keys.is_none() {
                line(out, "    every other file, `/` as `.`".to_owned());
            }
            for key in absent {
                line(out, format!("    {}: absent", shown(key)));
            }
        }
        found(out, "  ", problems, warnings);
    }
}

fn line(out: &mut String, text: String) {
    out.push_str(&text);
    out.push('\n');
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn found(out: &mut String, indent: &str, problems: &[Told], warnings: &[Told]) {
    for (word, list) in [("problem", problems), ("warning", warnings)] {
        for Told { reason, text } in list {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{indent}{word}: {text} [{reason}]");
        }
    }
}

fn texts(out: &mut String, what: &str, map: &BTreeMap<String, String>) {
    if map.is_empty() {
        return;
    }
    line(out, format!("  {what}:"));
    for (key, text) in map {
        let text = if text.is_empty() {
            "\"\"".to_owned()
        } else {
            shown(text)
        };
        line(out, format!("    {}: {text}", shown(key)));
    }
}

fn mapping(row: &Mapped) -> String {
    let Mapped {
        key,
        source,
        optional,
        decode,
        pointer,
    } = row;
    let mut parts = vec![format!("file {}", shown(source))];
    parts.extend(decode.map(str::to_owned));
    if *pointer {
        parts.push("a part of its JSON".to_owned());
    }
    if *optional {
        parts.push("optional".to_owned());
    }
    format!("    {}: {}", shown(key), parts.join(", "))
}

/// A key with its value, or what stands for it. Values are shown uncut.
fn value(key: &Key) -> String {
    let Key {
        key,
        bytes,
        value,
        base64,
    } = key;
    let key = shown(key);
    match (value, base64) {
        (Some(text), _) if text.contains('\n') => {
            let lines: String = text
                .lines()
                .map(|line| format!("      | {line}\n"))
                .collect();
            format!("    {key}: ({bytes} bytes)\n{lines}")
        }
        (Some(text), _) => format!("    {key}: {text} ({bytes} bytes)\n"),
        (None, Some(base64)) => format!("    {key}: base64 {base64} ({bytes} bytes)\n"),
        (None, None) => format!("    {key}: *** ({bytes} bytes)\n"),
    }
}
