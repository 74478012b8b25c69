//! What a check found, as data: per file its classes and the volumes that use them.
//!
//! This is the versioned schema of `--output json`; a person's form is in `text.rs`. Nothing of
//! `secretArgs` is in here; of a parameter at most the short scalar that a problem repeats.

use serde::Serialize;

use coffer_provider_core::problem::{Problem, one_line};

/// Name and version of the schema. A field may be added under the same version, never taken away.
pub const SCHEMA: &str = "coffer.check/v1";

/// Reason of a text that is not YAML.
pub const NOT_YAML: &str = "not_yaml";
/// Reason of what Kubernetes or the driver would refuse before a provider is asked.
pub const MANIFEST: &str = "manifest";
/// Reason of a key that means nothing: a warning, under `--strict` a problem.
pub const UNKNOWN_KEY: &str = "unknown_key";
/// Reason of a key that loses against another, or does nothing where it stands.
pub const NO_EFFECT: &str = "no_effect";
/// Reason of what is allowed and yet often a mistake.
pub const PITFALL: &str = "pitfall";
/// Reason of a class that a pod names and no file holds.
pub const MISSING_CLASS: &str = "missing_class";
/// Reason of a file in which nothing is looked at.
pub const NO_CLASS: &str = "no_class";

/// All that was found, in the order of the inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// One entry per input.
    pub files: Vec<FileReport>,
}

/// What one file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileReport {
    /// The name of the input.
    pub name: String,
    /// What is wrong with the file itself.
    pub problems: Vec<Finding>,
    /// Its SecretProviderClasses.
    pub classes: Vec<ClassReport>,
    /// The volumes of its pods and workloads that belong to the driver.
    pub volumes: Vec<VolumeReport>,
    /// How many objects were of kinds that are not looked at.
    pub ignored: usize,
}

/// What was found in a class, taken alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClassReport {
    /// Kind, namespace and name.
    pub object: String,
    /// Where it starts, from 1.
    pub line: usize,
    /// Its `spec.provider`.
    pub provider: Option<String>,
    /// Why it was not looked at.
    pub skipped: Option<String>,
    /// What was found.
    #[serde(flatten)]
    pub findings: Findings,
}

/// What was found in a volume: the class it names with its own attributes over it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VolumeReport {
    /// Kind, namespace and name of the pod or workload.
    pub object: String,
    /// Where the volume starts, from 1.
    pub line: usize,
    /// Name of the volume.
    pub volume: String,
    /// Name of the class.
    pub class: Option<String>,
    /// Why it was not looked at.
    pub skipped: Option<String>,
    /// Where each parameter comes from; empty when the volume changes none.
    pub parameters: Vec<MergedParameter>,
    /// What was found beyond what the class alone shows; the files only when the volume changes a
    /// parameter.
    #[serde(flatten)]
    pub findings: Findings,
}

/// A parameter after merging. Its value is not told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MergedParameter {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub from: Origin,
}

/// Where the value of a merged parameter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// From the class alone.
    Class,
    /// From the volume alone.
    Volume,
    /// From both: that of the volume counts.
    VolumeOverClass,
}

/// Problems, warnings and files of a class or volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// What must be mended.
    pub problems: Vec<Finding>,
    /// What should be looked at.
    pub warnings: Vec<Finding>,
    /// What would be mounted; empty when the parser refuses the parameters.
    pub mounted: Vec<MountedFile>,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The input in which it stands.
    pub file: String,
    /// The line, from 1: of the key, or of the nearest thing around it.
    pub line: usize,
    /// Kind, namespace and name; empty when it is about the file.
    pub object: String,
    /// Where it stands in the object; empty when it is about the file.
    pub field: String,
    /// What is wrong, as a lowercase fragment.
    pub what: String,
    /// What to do, as a lowercase fragment.
    pub remedy: String,
    /// For machines: the reason of the server, or one of this module.
    pub reason: &'static str,
}

/// A file of the volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MountedFile {
    /// Its path in the volume.
    pub path: String,
    /// Its mode in octal, `0644`.
    pub mode: String,
    /// How its value is encoded in the store.
    pub encoding: &'static str,
    /// Method of the store request.
    pub method: &'static str,
    /// The path in the store as the class has it.
    pub source: String,
    /// The key in the reply, or `(whole reply)` or `(data)`.
    pub key: String,
    /// Whether the file may be missing.
    pub optional: bool,
}

impl Finding {
    /// A finding from a problem, with everything on one line.
    pub(super) fn new(
        place: Place<'_>,
        object: &str,
        problem: &Problem,
        reason: &'static str,
    ) -> Self {
        Self {
            file: one_line(place.file),
            line: place.line,
            object: object.to_owned(),
            field: one_line(&problem.field),
            what: one_line(&problem.what),
            remedy: one_line(&problem.remedy),
            reason,
        }
    }
}

/// A line of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
}

impl Findings {
    /// Takes away what `known` tells already.
    pub(super) fn without(mut self, known: &Self) -> Self {
        let new = |finding: &Finding, known: &[Finding]| {
            !known
                .iter()
                .any(|k| (&k.field, &k.what) == (&finding.field, &finding.what))
        };
        self.problems
            .retain(|finding| new(finding, &known.problems));
        self.warnings
            .retain(|finding| new(finding, &known.warnings));
        self
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.problems.extend(other.problems);
        self.warnings.extend(other.warnings);
        self.mounted.extend(other.mounted);
    }

    fn promote(&mut self) {
        let unknown = |finding: &mut Finding| finding.reason == UNKNOWN_KEY;
        self.problems.extend(self.warnings.extract_if(.., unknown));
        self.sort();
    }

    pub(super) fn sort(&mut self) {
        self.problems.sort_by_key(|finding| finding.line);
        self.warnings.sort_by_key(|finding| finding.line);
    }
}

impl FileReport {
    /// All problems, those of the file first.
    pub fn problems(&self) -> impl Iterator<Item = &Finding> {
        let inner = self.findings().flat_map(|found| &found.problems);
        self.problems.iter().chain(inner)
    }

    /// All warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings().flat_map(|found| &found.warnings)
    }

    fn findings(&self) -> impl Iterator<Item = &Findings> {
        let classes = self.classes.iter().map(|class| &class.findings);
        classes.chain(self.volumes.iter().map(|volume| &volume.findings))
    }
}

impl Report {
    /// The report under `--strict`: unknown keys are problems.
    #[must_use]
    pub fn strict(mut self) -> Self {
        for file in &mut self.files {
            let classes = file.classes.iter_mut().map(|class| &mut class.findings);
            let volumes = file.volumes.iter_mut().map(|volume| &mut volume.findings);
            classes.chain(volumes).for_each(Findings::promote);
        }
        self
    }

    /// Whether something must be mended.
    #[must_use]
    pub fn has_problems(&self) -> bool {
        self.files
            .iter()
            .any(|file| file.problems().next().is_some())
    }

    /// The report for machines, indented, with a line feed at its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings and numbers alone: there is nothing that could fail to be written.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}
