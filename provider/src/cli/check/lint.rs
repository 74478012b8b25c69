//! From parameters to findings, by the parser and the policy of the server.
//!
//! The same for a class alone and for a volume's attributes over its class.

use std::collections::BTreeSet;

use coffer_provider_core::encoding::Encoding;
use coffer_provider_core::fault::Reason;
use coffer_provider_core::file::DEFAULT_MODE;
use coffer_provider_core::object::parse_objects;
use coffer_provider_core::output::Output;
use coffer_provider_core::params::{
    ClassSpec, Dialect, Note, OBJECTS, ObjectSpec, Parameters, Refused,
};
use coffer_provider_core::policy::{Policy, Profile};
use coffer_provider_core::problem::{Problem, one_line};
use coffer_provider_core::target::Layer;

use super::place::{Sources, locate, parameter};
use super::report::{
    Finding, Findings, MANIFEST, MountedFile, NO_EFFECT, PITFALL, Place, UNKNOWN_KEY,
};
use super::yaml::{Shape, View};
use super::{Rules, pitfalls};

/// Where and about which object findings are made.
pub(super) struct Subject<'a> {
    pub(super) label: &'a str,
    /// Where findings go that have no line of their own.
    pub(super) fallback: Place<'a>,
    pub(super) sources: &'a Sources<'a>,
}

impl Subject<'_> {
    fn finding(&self, problem: &Problem, reason: &'static str) -> Finding {
        let (place, what) = locate(self.sources, &problem.field, &problem.what, self.fallback);
        let problem = Problem {
            what,
            ..problem.clone()
        };
        Finding::new(place, self.label, &problem, reason)
    }

    /// Whether the field belongs to a parameter that is not text: whatever else is said of it would
    /// only follow from that.
    fn is_told(&self, field: &str) -> bool {
        parameter(self.sources, field)
            .and_then(|(key, _)| self.sources.get(key))
            .is_some_and(|source| not_text(source.value).is_some())
    }

    fn texts(&self) -> Parameters {
        self.sources
            .iter()
            .filter_map(|(key, source)| Some(((*key).to_owned(), source.value.text()?.to_owned())))
            .collect()
    }

    /// Lints the parameters.
    pub(super) fn lint(&self, dialect: Dialect, rules: &Rules) -> Findings {
        let texts = self.texts();
        let mut found = Findings::default();
        let notes = match ClassSpec::parse(&texts, dialect) {
            Ok(spec) => {
                found.mounted = spec.objects.iter().map(mounted).collect();
                self.judge(&spec, rules, &mut found);
                let pitfalls = pitfalls::of_class(&spec);
                let pitfalls = pitfalls.iter().map(|it| self.finding(it, PITFALL));
                found.warnings.extend(pitfalls);
                spec.notes
            }
            Err(Refused { problems, notes }) => {
                let told = problems.iter().filter(|p| !self.is_told(&p.field));
                let reason = Reason::BadRequest.as_str();
                found.problems = told.map(|p| self.finding(p, reason)).collect();
                notes
            }
        };
        for note in notes {
            let (problem, reason) = read_note(note);
            found.warnings.push(self.finding(&problem, reason));
        }
        found
    }

    /// What the operator's policy refuses is a problem; without one, what `strict` would refuse is a warning.
    fn judge(&self, spec: &ClassSpec, rules: &Rules, found: &mut Findings) {
        let operators: Vec<&Layer> = rules.layers.iter().collect();
        let all = [&operators[..], &[&spec.layer]].concat();
        let (Ok(target), Ok(own)) = (Layer::resolve(&all), Layer::resolve(&operators)) else {
            return;
        };
        let reason = Reason::NotAllowed.as_str();
        if let Some(policy) = &rules.policy {
            let refused = policy.judge(spec, &target, &own).refused;
            let refused = refused.iter().map(|problem| self.finding(problem, reason));
            found.problems.extend(refused);
            return;
        }
        let strict = Policy {
            profile: Profile::Strict,
            ..Policy::default()
        };
        for mut problem in strict.judge(spec, &target, &own).refused {
            problem.what = format!("policy profile strict refuses: {}", problem.what);
            found.warnings.push(self.finding(&problem, reason));
        }
    }
}

fn read_note(note: Note) -> (Problem, &'static str) {
    match note {
        Note::UnknownKey { field, meant } => {
            let remedy = meant.map_or_else(
                || "remove it".to_owned(),
                |meant| format!("did you mean {meant}?"),
            );
            (
                Problem::new(field, "is not known and ignored", remedy),
                UNKNOWN_KEY,
            )
        }
        Note::Ignored { field, used } => {
            let what = format!("is ignored, because {used} is set");
            (Problem::new(field, what, "remove one of them"), NO_EFFECT)
        }
        Note::NoEffect(problem) => (problem, NO_EFFECT),
    }
}

fn mounted(object: &ObjectSpec) -> MountedFile {
    let key = &object.object.secret_key;
    MountedFile {
        path: one_line(object.path.as_str()),
        mode: format!("{:04o}", object.mode.unwrap_or(DEFAULT_MODE).bits()),
        encoding: match object.encoding {
            Encoding::Utf8 => "utf-8",
            Encoding::Base64 => "base64",
            Encoding::Hex => "hex",
        },
        method: object.request.method.as_str(),
        source: one_line(&object.object.secret_path),
        key: match object.output {
            _ if !key.is_empty() => one_line(key),
            Output::Full => "(whole reply)".to_owned(),
            Output::Data => "(data)".to_owned(),
        },
        optional: object.object.optional,
    }
}

/// What keeps a value from being the text that Kubernetes wants.
fn not_text(value: View<'_>) -> Option<(&'static str, &'static str)> {
    let in_quotes = "put it in quotes";
    let as_block = "write `|` behind the key and indent the value below it";
    match value.shape() {
        Shape::Text => None,
        Shape::Null => Some((
            "has no value, and Kubernetes takes only text here",
            "give it one or remove the key",
        )),
        Shape::Bool => Some((
            "is a boolean, and Kubernetes takes only text here",
            in_quotes,
        )),
        Shape::Number => Some((
            "is a number, and Kubernetes takes only text here",
            in_quotes,
        )),
        Shape::List => Some(("is a list, and Kubernetes takes only text here", as_block)),
        Shape::Map => Some(("is a map, and Kubernetes takes only text here", as_block)),
    }
}

/// What is wrong with a map of texts as such: values of other types (problems) and keys that stand
/// there twice (warnings).
pub(super) fn strings(map: View<'_>, file: &str, label: &str) -> Findings {
    let mut found = Findings::default();
    let mut seen = BTreeSet::new();
    for member in map.members() {
        let place = Place {
            file,
            line: member.line,
        };
        if let Some((what, remedy)) = not_text(member.value) {
            let problem = Problem::new(member.key, what, remedy);
            found
                .problems
                .push(Finding::new(place, label, &problem, MANIFEST));
        }
        if !seen.insert(member.key) {
            let what = "stands there twice, and only the last one counts";
            let problem = Problem::new(member.key, what, "remove one of them");
            found
                .warnings
                .push(Finding::new(place, label, &problem, PITFALL));
        }
    }
    found
}

/// The names of the objects, if the text can be read at all.
pub(super) fn object_names(sources: &Sources<'_>) -> Option<BTreeSet<String>> {
    let text = sources.get(OBJECTS)?.value.text()?;
    let objects = parse_objects(text).ok()?;
    Some(objects.into_iter().map(|object| object.name).collect())
}
