//! A volume of a pod or workload: the class that it names, with its own attributes over it.

use coffer_provider_core::params::Dialect;
use coffer_provider_core::problem::{Problem, TYPO, nearest, one_line, shown};

use super::Rules;
use super::class::{foreign, lint_class};
use super::lint::{self, Subject};
use super::manifest::{Class, Volume};
use super::place::{Source, Sources};
use super::report::{
    Finding, MANIFEST, MISSING_CLASS, MergedParameter, Origin, Place, VolumeReport,
};

/// Reports on a volume; `classes` are those of all inputs.
pub(super) fn check_volume(
    volume: &Volume<'_>,
    classes: &[&Class<'_>],
    rules: &Rules,
) -> VolumeReport {
    let mut report = VolumeReport {
        object: volume.id.label.clone(),
        line: volume.id.place.line,
        volume: one_line(volume.name),
        class: volume.class().map(one_line),
        ..VolumeReport::default()
    };
    if let Some(map) = volume.attributes {
        report.findings = lint::strings(map, volume.id.place.file, &volume.id.label);
    }
    let Some(name) = volume.class() else {
        let what = "names no class";
        let problem = Problem::new("secretProviderClass", what, "add it to volumeAttributes");
        report
            .findings
            .problems
            .push(volume.finding(&problem, MANIFEST));
        return report;
    };
    match find(volume, name, classes) {
        Ok(class) => match class.view.get_text(&["spec", "provider"]) {
            Some(provider) if rules.is_ours(provider) => {
                lint_volume(&mut report, volume, class, provider, rules);
            }
            Some(provider) => report.skipped = Some(foreign(provider)),
            None => report.skipped = Some("its class names no provider".to_owned()),
        },
        Err(problem) => {
            let warning = volume.finding(&problem, MISSING_CLASS);
            report.findings.warnings.push(warning);
        }
    }
    report
}

/// A namespace that a manifest leaves open fits every other: it is often filled in on applying.
fn find<'c, 'a>(
    volume: &Volume<'_>,
    name: &str,
    classes: &[&'c Class<'a>],
) -> Result<&'c Class<'a>, Problem> {
    let named = || classes.iter().filter(|class| class.id.name == name);
    let own = volume.id.namespace;
    let found = named()
        .find(|class| class.id.namespace == own)
        .or_else(|| named().find(|class| own.is_none() || class.id.namespace.is_none()));
    let what = match (found, named().next()) {
        (Some(class), _) => return Ok(class),
        (None, Some(_)) => format!("\"{}\" is in another namespace than the pod", shown(name)),
        (None, None) => format!("\"{}\" is not in the files", shown(name)),
    };
    let known = classes.iter().map(|class| class.id.name);
    let remedy = nearest(name, known.filter(|known| *known != name), TYPO).map_or_else(
        || "check that it is in the namespace of the pod, or give its file too".to_owned(),
        |meant| format!("did you mean {}?", shown(meant)),
    );
    Err(Problem::new("secretProviderClass", what, remedy))
}

impl Volume<'_> {
    /// At the line of the attribute, or else of the volume.
    fn finding(&self, problem: &Problem, reason: &'static str) -> Finding {
        let member = self.attributes.and_then(|map| map.member(&problem.field));
        let place = Place {
            line: member.map_or(self.id.place.line, |member| member.line),
            ..self.id.place
        };
        Finding::new(place, &self.id.label, problem, reason)
    }
}

/// A volume without parameters of its own mounts what its class says, and that is told there.
fn lint_volume<'a>(
    report: &mut VolumeReport,
    volume: &Volume<'a>,
    class: &Class<'a>,
    provider: &str,
    rules: &Rules,
) {
    let Some((sources, place)) = merge(volume, class) else {
        return;
    };
    report.parameters = sources
        .iter()
        .map(|(name, source)| MergedParameter {
            name: one_line(name),
            from: source.from,
        })
        .collect();
    let subject = Subject {
        label: &volume.id.label,
        fallback: place,
        sources: &sources,
    };
    let merged = subject.lint(Dialect::of_provider(provider), rules);
    report
        .findings
        .extend(merged.without(&lint_class(class, provider, rules)));
    report.findings.sort();
}

/// The parameters of a volume over those of its class, and where the former stand; none if it has none.
fn merge<'a>(volume: &Volume<'a>, class: &Class<'a>) -> Option<(Sources<'a>, Place<'a>)> {
    let map = volume.attributes?;
    let file = volume.id.place.file;
    let mut sources = class.sources();
    let mut any = false;
    for member in map.members() {
        if !Volume::is_parameter(member.key) {
            continue;
        }
        any = true;
        let known = sources.get(member.key).map(|source| source.from);
        let from = match known {
            Some(Origin::Class | Origin::VolumeOverClass) => Origin::VolumeOverClass,
            Some(Origin::Volume) | None => Origin::Volume,
        };
        let place = Place {
            file,
            line: member.line,
        };
        let value = member.value;
        sources.insert(member.key, Source { place, value, from });
    }
    let place = Place {
        file,
        line: map.line(),
    };
    any.then_some((sources, place))
}
