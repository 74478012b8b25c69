//! What a run says: a section a scene, each with the command that repeats it.

use std::fmt::Write as _;

use anyhow::Result;

use super::machine::processor;
use super::plot::Plot;
use super::table::Table;

/// What one scene measured.
pub(super) struct Section {
    pub(super) scene: &'static str,
    pub(super) title: String,
    /// What was done, in a few sentences: conditions without which the figures say nothing.
    pub(super) about: String,
    pub(super) tables: Vec<Table>,
    pub(super) plots: Vec<Plot>,
}

/// A whole run.
pub struct Report {
    /// Markdown.
    pub text: String,
    /// Name and content of each picture that the text links below `benchmarks/`.
    pub pictures: Vec<(String, String)>,
    /// Whether every scene ended in time.
    pub is_complete: bool,
}

/// How the run went.
pub(super) struct Run {
    pub(super) quick: bool,
    /// Seconds.
    pub(super) took: u64,
    /// Scenes that did not end in time.
    pub(super) unfinished: Vec<&'static str>,
}

impl Report {
    pub(super) fn of(sections: &[Section], run: &Run) -> Result<Self> {
        let mut report = Self {
            text: head(run),
            pictures: Vec::new(),
            is_complete: run.unfinished.is_empty(),
        };
        for section in sections {
            report.add(section)?;
        }
        Ok(report)
    }

    fn add(&mut self, section: &Section) -> Result<()> {
        let Section {
            scene,
            title,
            about,
            tables,
            plots,
        } = section;
        write!(
            self.text,
            "\n## {title}\n\n`make bench ARGS='--only {scene}'`. {about}\n"
        )?;
        for table in tables {
            write!(self.text, "\n{table}")?;
        }
        for plot in plots {
            let file = format!("{}.svg", plot.name);
            write!(self.text, "\n![{}](benchmarks/{file})\n", plot.title)?;
            self.pictures.push((file, plot.svg()?));
        }
        Ok(())
    }
}

fn head(run: &Run) -> String {
    let Run {
        quick,
        took,
        unfinished,
    } = run;
    let mut remarks = String::new();
    if cfg!(debug_assertions) {
        remarks.push_str(" **Not a release build.**");
    }
    if *quick {
        remarks.push_str(" **Smoke test: counts are divided.**");
    }
    if !unfinished.is_empty() {
        let names = unfinished.join(", ");
        let _ = write!(remarks, " **Did not end in time: {names}.**");
    }
    format!(
        "# Benchmarks\n\n\
         Measured by `make bench` on {}, everything on loopback, one run of {took} s.{remarks}\n\n\
         The load generator and the store run on the same machine and take their share of it. *Store* is a counting\n\
         server of the harness that answers at once, unless a real one is named: the figures are those of the provider,\n\
         and in the scene `sync` those of the controller.\n\
         A *first mount* has a pod UID that was not seen before, a *republish* repeats the UID and the volume of an\n\
         earlier mount. Requests are counted where they arrive. Processor time is utime + stime of `/proc`, in steps of\n\
         10 ms; p50, p99 and max are measured times.\n",
        processor()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(quick: bool, unfinished: &[&'static str]) -> Run {
        Run {
            quick,
            took: 3,
            unfinished: unfinished.to_vec(),
        }
    }

    #[test]
    fn scenes_that_did_not_end_are_named_and_make_the_report_incomplete() {
        let report = Report::of(&[], &run(false, &["memory", "hour"])).unwrap();
        assert!(report.text.contains("Did not end in time: memory, hour."));
        assert!(!report.is_complete);
    }

    #[test]
    fn a_section_names_its_command_and_links_its_pictures() {
        let mut table = Table::new(&["pods", "MiB"]);
        table.row(["10".to_owned(), "9.1".to_owned()]);
        let plot = Plot {
            name: "memory",
            title: "Memory".to_owned(),
            x: "pods",
            y: "MiB",
            points: vec![(10.0, 9.1)],
        };
        let section = Section {
            scene: "growth",
            title: "Growth".to_owned(),
            about: "One provider.".to_owned(),
            tables: vec![table],
            plots: vec![plot],
        };
        let report = Report::of(&[section], &run(false, &[])).unwrap();
        for text in [
            "one run of 3 s",
            "## Growth\n\n`make bench ARGS='--only growth'`. One provider.\n\n| pods | MiB |",
            "\n\n![Memory](benchmarks/memory.svg)\n",
        ] {
            assert!(
                report.text.contains(text),
                "no {text:?} in\n{}",
                report.text
            );
        }
        assert_eq!(report.pictures.len(), 1);
        assert_eq!(report.pictures[0].0, "memory.svg");
        assert!(!report.text.contains("divided"));
    }

    #[test]
    fn a_smoke_test_says_that_it_is_one() {
        let report = Report::of(&[], &run(true, &[])).unwrap();
        assert!(report.text.contains("counts are divided") && report.is_complete);
    }
}
