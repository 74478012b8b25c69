//! The report for people: one line per finding, in the form that editors jump to, then the files of
//! each class and how volumes change it, then a sum.

use std::fmt::Write as _;

use super::report::{
    ClassReport, FileReport, Finding, MergedParameter, MountedFile, Origin, Report, VolumeReport,
};

impl Report {
    /// The report for people, with a line feed at its end.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        for file in &self.files {
            file.write_findings(&mut out);
        }
        for file in &self.files {
            let classes = file.classes.iter().map(|class| class.section(&file.name));
            let volumes = file.volumes.iter().map(|volume| volume.section(&file.name));
            for section in classes.chain(volumes) {
                separate(&mut out);
                out.push_str(&section);
            }
        }
        separate(&mut out);
        out.push_str(&self.sum());
        out
    }

    fn sum(&self) -> String {
        let count = |of: fn(&FileReport) -> usize| self.files.iter().map(of).sum::<usize>();
        let mut parts = vec![
            counted(count(|f| f.problems().count()), "problem", "problems"),
            counted(count(|f| f.warnings().count()), "warning", "warnings"),
            counted(count(|f| f.classes.len()), "class", "classes"),
        ];
        let ignored = count(|f| f.ignored);
        if ignored > 0 {
            let objects = counted(ignored, "object", "objects");
            parts.push(format!("{objects} of other kinds ignored"));
        }
        format!("{}\n", parts.join(", "))
    }
}

fn separate(out: &mut String) {
    if !out.is_empty() {
        out.push('\n');
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl FileReport {
    fn write_findings(&self, out: &mut String) {
        for (kind, finding) in self
            .problems()
            .map(|finding| ("problem", finding))
            .chain(self.warnings().map(|finding| ("warning", finding)))
        {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{}", line(kind, finding));
        }
    }
}

fn line(kind: &str, finding: &Finding) -> String {
    let Finding {
        file,
        line,
        object,
        field,
        what,
        remedy,
        reason,
    } = finding;
    let subject: String = [object, field]
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| format!("{part}: "))
        .collect();
    format!("{file}:{line}: {kind}: {subject}{what}; {remedy} [{reason}]")
}

impl ClassReport {
    fn section(&self, file: &str) -> String {
        let Self {
            object,
            line,
            provider,
            skipped,
            findings,
        } = self;
        let provider = provider.as_deref().unwrap_or("(none)");
        let mut out = format!("{object} ({file}:{line}), provider {provider}\n");
        out.push_str(&body(skipped.as_deref(), &findings.mounted));
        out
    }
}

impl VolumeReport {
    fn section(&self, file: &str) -> String {
        let Self {
            object,
            line,
            volume,
            class,
            skipped,
            parameters,
            findings,
        } = self;
        let class = class.as_deref().unwrap_or("(none)");
        let mut out = format!("{object} ({file}:{line}), volume {volume}, class {class}\n");
        if !parameters.is_empty() {
            out.push_str(&merged(parameters));
        }
        out.push_str(&body(skipped.as_deref(), &findings.mounted));
        out
    }
}

fn body(skipped: Option<&str>, mounted: &[MountedFile]) -> String {
    match skipped {
        Some(why) => format!("  skipped: {why}\n"),
        None if mounted.is_empty() => String::new(),
        None => files(mounted),
    }
}

fn merged(parameters: &[MergedParameter]) -> String {
    let head = [["PARAMETER", "FROM"].map(str::to_owned)];
    let rows = parameters.iter().map(|parameter| {
        let from = match parameter.from {
            Origin::Class => "class",
            Origin::Volume => "volume",
            Origin::VolumeOverClass => "volume over class",
        };
        [parameter.name.clone(), from.to_owned()]
    });
    table(&head.into_iter().chain(rows).collect::<Vec<_>>())
}

fn files(mounted: &[MountedFile]) -> String {
    let head = [
        "FILE", "MODE", "ENCODING", "METHOD", "SOURCE", "KEY", "OPTIONAL",
    ];
    let rows = mounted.iter().map(|file| {
        let MountedFile {
            path,
            mode,
            encoding,
            method,
            source,
            key,
            optional,
        } = file;
        let optional = if *optional { "yes" } else { "no" };
        [path.as_str(), mode, encoding, method, source, key, optional]
    });
    let rows = std::iter::once(head).chain(rows);
    table(&rows.map(|row| row.map(str::to_owned)).collect::<Vec<_>>())
}

/// Left-aligned columns, two spaces apart and in front.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "  {cell:width$}");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
