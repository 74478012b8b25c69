//! `coffer-provider check`: everything that can be said of manifests without a cluster and a store.
//!
//! Texts in, report out: reading files, printing and exit codes are the caller's. What is wrong with a
//! class is decided by the parser of the server; only what the server never sees is judged here.

mod class;
mod file;
mod keys;
mod lint;
mod lookup;
mod manifest;
mod pitfalls;
mod place;
mod report;
mod text;
mod volume;
mod yaml;

#[cfg(test)]
mod tests;

use coffer_provider_core::policy::Policy;
use coffer_provider_core::problem::one_line;
use coffer_provider_core::target::Layer;

use self::class::check_class;
use self::manifest::{Class, Contents};
use self::volume::check_volume;
use self::yaml::Loaded;

pub(super) use self::lookup::{FoundClass, classes};

pub use self::report::{
    ClassReport, FileReport, Finding, Findings, MANIFEST, MISSING_CLASS, MergedParameter,
    MountedFile, NO_CLASS, NO_EFFECT, NOT_YAML, Origin, PITFALL, Report, SCHEMA, UNKNOWN_KEY,
    VolumeReport,
};

/// The `spec.provider` names that reach this provider.
const PROVIDERS: [&str; 2] = ["vault", "openbao"];

/// What an operator says that decides about classes; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Refuses what it does not allow. Where there is none, what `strict` would refuse is a warning.
    pub policy: Option<Policy>,
    /// The operator's connection settings, the weakest first.
    pub layers: Vec<Layer>,
    /// Another name that reaches this provider.
    pub provider_name: Option<String>,
}

impl Rules {
    /// Whether classes of this `spec.provider` are looked at.
    fn is_ours(&self, provider: &str) -> bool {
        PROVIDERS.contains(&provider) || self.provider_name.as_deref() == Some(provider)
    }
}

/// A manifest to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// What the report calls it.
    pub name: String,
    /// YAML of any number of documents, or JSON.
    pub text: String,
}

/// Checks manifests together: a pod may name a class of another input.
#[must_use]
pub fn check(inputs: &[Input], rules: &Rules) -> Report {
    let loaded: Vec<Loaded> = inputs.iter().map(|input| yaml::load(&input.text)).collect();
    let contents: Vec<Contents<'_>> = inputs
        .iter()
        .zip(&loaded)
        .map(|(input, loaded)| manifest::read(&input.name, &loaded.documents))
        .collect();
    let classes: Vec<&Class<'_>> = contents.iter().flat_map(|c| &c.classes).collect();
    let any = contents.iter().any(|contents| !contents.is_empty());
    let files = inputs.iter().zip(&loaded).zip(&contents);
    Report {
        schema: SCHEMA,
        files: files
            .map(|((input, loaded), contents)| FileReport {
                name: one_line(&input.name),
                problems: file::problems(&input.name, loaded, contents, any),
                classes: contents
                    .classes
                    .iter()
                    .map(|class| check_class(class, rules))
                    .collect(),
                volumes: contents
                    .volumes
                    .iter()
                    .map(|volume| check_volume(volume, &classes, rules))
                    .collect(),
                ignored: contents.others.len(),
            })
            .collect(),
    }
}
