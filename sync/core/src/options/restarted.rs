//! The `restart` option: nobody, whoever refers to the Secret, a selector, or workloads by name.
//!
//! Which workloads that means at a given moment is decided in `restart`.

use std::collections::BTreeSet;
use std::fmt;

use super::selector::Selector;
use super::value::{Wrong, list};
use crate::key;
use crate::problem::{nearest, shown};

/// Which workloads restart when the content changes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Restart {
    /// None.
    #[default]
    Never,
    /// Those whose Pod template reads the Secret in a way that does not update by itself.
    Auto,
    /// Those with such labels.
    Selected(Selector),
    /// Those named, whether they refer to the Secret or not.
    Named(BTreeSet<Target>),
}

/// A workload of the object's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

/// Workloads whose Pod template can be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// apps/v1 Deployment.
    Deployment,
    /// apps/v1 StatefulSet.
    StatefulSet,
    /// apps/v1 DaemonSet.
    DaemonSet,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet];

    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
        }
    }
}

const FORMS: &str = "write Never, Auto, selector:<label selector> or a comma list of Deployment/x, StatefulSet/y, DaemonSet/z";

pub(super) fn restart(text: &str) -> Result<Restart, Wrong> {
    match text {
        "Never" => return Ok(Restart::Never),
        "Auto" => return Ok(Restart::Auto),
        _ => {}
    }
    if let Some(selector) = text.strip_prefix("selector:") {
        return Selector::parse(selector)
            .map(Restart::Selected)
            .ok_or_else(|| {
                let what = format!("`{}` is no label selector", shown(selector));
                Wrong::new(what, "write one as kubectl reads it: app=web,tier in (a,b)")
            });
    }
    let targets: Result<BTreeSet<Target>, Wrong> = list(text)?.into_iter().map(target).collect();
    targets.map(Restart::Named)
}

fn target(text: &str) -> Result<Target, Wrong> {
    let Some((kind, name)) = text.split_once('/') else {
        return Err(Wrong::new(
            format!("`{}` names no workload", shown(text)),
            FORMS,
        ));
    };
    let Some(kind) = Kind::ALL.into_iter().find(|known| known.as_str() == kind) else {
        let what = format!("`{}` cannot be restarted", shown(kind));
        let meant = nearest(kind, Kind::ALL.map(Kind::as_str));
        let remedy = meant.map_or_else(|| FORMS.to_owned(), |kind| format!("did you mean {kind}?"));
        return Err(Wrong::new(what, remedy));
    };
    if key::name::check(name).is_err() {
        let what = format!("`{}` is no name of a workload", shown(name));
        return Err(Wrong::new(what, FORMS));
    }
    Ok(Target {
        kind,
        name: name.to_owned(),
    })
}
