//! A class taken alone: whose it is, whether it has parameters, what they come to.

use coffer_provider_core::params::Dialect;
use coffer_provider_core::problem::{Problem, TYPO, nearest, one_line, shown};

use super::keys;
use super::lint::{self, Subject};
use super::manifest::Class;
use super::pitfalls;
use super::place::{Source, Sources};
use super::report::{
    ClassReport, Finding, Findings, MANIFEST, Origin, PITFALL, Place, UNKNOWN_KEY,
};
use super::yaml::{Member, Shape, View};
use super::{PROVIDERS, Rules};

/// Reports on a class of any provider.
pub(super) fn check_class(class: &Class<'_>, rules: &Rules) -> ClassReport {
    let provider = class.view.get_text(&["spec", "provider"]);
    let mut report = ClassReport {
        object: class.id.label.clone(),
        line: class.id.place.line,
        provider: provider.map(one_line),
        ..ClassReport::default()
    };
    match provider {
        None => {
            let problem = Problem::new("spec.provider", "is missing", "write vault or openbao");
            report.findings.problems.push(class.finding(&problem));
            report.findings.warnings.extend(unknown_keys(class));
        }
        Some(name) if rules.is_ours(name) => {
            report.findings = lint_class(class, name, rules);
            report.findings.warnings.extend(unknown_keys(class));
            report.findings.sort();
        }
        Some(name) => {
            report.skipped = Some(foreign(name));
            report.findings.warnings.extend(misspelt(class, name));
        }
    }
    report
}

fn unknown_keys(class: &Class<'_>) -> Vec<Finding> {
    class.tell(keys::unknown(class.view), UNKNOWN_KEY)
}

/// Why a class of that provider is not looked at.
pub(super) fn foreign(provider: &str) -> String {
    format!("provider \"{}\" is not this one", shown(provider))
}

fn misspelt(class: &Class<'_>, provider: &str) -> Option<Finding> {
    let meant = nearest(provider, PROVIDERS.into_iter(), TYPO)?;
    let problem = Problem::new(
        "spec.provider",
        format!("\"{}\" is not this provider", shown(provider)),
        format!("did you mean {meant}?"),
    );
    let finding = class.finding(&problem);
    Some(Finding {
        reason: PITFALL,
        ..finding
    })
}

impl<'a> Class<'a> {
    /// About a part of the manifest, at its line if it is there.
    fn finding(&self, problem: &Problem) -> Finding {
        let path: Vec<&str> = problem.field.split('.').collect();
        let place = Place {
            line: self.view.get(&path).map_or(self.id.place.line, View::line),
            ..self.id.place
        };
        Finding::new(place, &self.id.label, problem, MANIFEST)
    }

    /// About parts of the manifest whose lines are known.
    fn tell(&self, problems: Vec<(usize, Problem)>, reason: &'static str) -> Vec<Finding> {
        problems
            .into_iter()
            .map(|(line, problem)| {
                let place = Place {
                    line,
                    ..self.id.place
                };
                Finding::new(place, &self.id.label, &problem, reason)
            })
            .collect()
    }

    fn parameters(&self) -> Option<View<'a>> {
        self.view.get(&["spec", "parameters"])
    }

    /// Its parameters by name, of equal ones the last.
    pub(super) fn sources(&self) -> Sources<'a> {
        let members = self.parameters().map(View::members).unwrap_or_default();
        let file = self.id.place.file;
        let source = |member: Member<'a>| Source {
            place: Place {
                file,
                line: member.line,
            },
            value: member.value,
            from: Origin::Class,
        };
        members
            .into_iter()
            .map(|member| (member.key, source(member)))
            .collect()
    }
}

/// Lints a class of ours, taken alone.
pub(super) fn lint_class(class: &Class<'_>, provider: &str, rules: &Rules) -> Findings {
    let map = match class.parameters() {
        Some(map) if map.shape() == Shape::Map && !map.members().is_empty() => map,
        other => {
            let mut found = Findings::default();
            found.problems.push(class.finding(&no_parameters(other)));
            return found;
        }
    };
    let (label, file) = (&class.id.label, class.id.place.file);
    let sources = class.sources();
    let subject = Subject {
        label,
        fallback: Place {
            file,
            line: map.line(),
        },
        sources: &sources,
    };
    let mut found = lint::strings(map, file, label);
    found.extend(subject.lint(Dialect::of_provider(provider), rules));
    found.warnings.extend(unsynced(class, &sources));
    found.sort();
    found
}

fn no_parameters(view: Option<View<'_>>) -> Problem {
    let what = match view.map(View::shape) {
        None => "is missing",
        Some(Shape::Map | Shape::Null) => "is empty",
        Some(_) => "is not a map",
    };
    Problem::new("spec.parameters", what, "add roleName and objects")
}

fn unsynced(class: &Class<'_>, sources: &Sources<'_>) -> Vec<Finding> {
    let (Some(secrets), Some(names)) = (
        class.view.get(&["spec", "secretObjects"]),
        lint::object_names(sources),
    ) else {
        return Vec::new();
    };
    class.tell(pitfalls::of_secret_objects(secrets, &names), PITFALL)
}
