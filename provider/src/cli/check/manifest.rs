//! From documents to what is looked at: classes, and the volumes of pods and workloads.
//!
//! Knows where Kubernetes keeps things; nothing is judged here.

use coffer_proto::attributes;
use coffer_provider_core::problem::shown;

use super::report::Place;
use super::yaml::{Document, Shape, View};

/// The API group of the classes, with the slash before its version.
pub(super) const CLASS_GROUP: &str = "secrets-store.csi.x-k8s.io/";
pub(super) const CLASS_KIND: &str = "SecretProviderClass";
const DRIVER: &str = "secrets-store.csi.k8s.io";

/// A SecretProviderClass.
pub(super) struct Class<'a> {
    pub(super) id: Identity<'a>,
    /// The whole object.
    pub(super) view: View<'a>,
}

/// A volume of the driver.
pub(super) struct Volume<'a> {
    /// Of the pod or workload; the place is that of the volume.
    pub(super) id: Identity<'a>,
    pub(super) name: &'a str,
    pub(super) attributes: Option<View<'a>>,
}

/// Which object it is and where it starts.
#[derive(Clone)]
pub(super) struct Identity<'a> {
    pub(super) place: Place<'a>,
    pub(super) name: &'a str,
    pub(super) namespace: Option<&'a str>,
    /// Kind, namespace and name for people.
    pub(super) label: String,
}

/// What a file holds.
#[derive(Default)]
pub(super) struct Contents<'a> {
    pub(super) classes: Vec<Class<'a>>,
    pub(super) volumes: Vec<Volume<'a>>,
    pub(super) others: Vec<Other<'a>>,
}

/// An object of a kind that is not looked at.
pub(super) struct Other<'a> {
    pub(super) id: Identity<'a>,
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
}

impl Volume<'_> {
    /// Whether the key is a parameter: neither kubelet's nor the driver's own.
    pub(super) fn is_parameter(key: &str) -> bool {
        !key.starts_with(attributes::KUBELET_PREFIX)
            && ![attributes::CLASS, attributes::PROVIDER_NAME].contains(&key)
    }

    /// The name of the class.
    pub(super) fn class(&self) -> Option<&str> {
        self.attributes?.get_text(&[attributes::CLASS])
    }
}

/// An object with its type, which items of a typed list take from the list.
struct Typed<'a> {
    api_version: &'a str,
    kind: &'a str,
    view: View<'a>,
}

/// Sorts the objects of a file.
pub(super) fn read<'a>(file: &'a str, documents: &'a [Document]) -> Contents<'a> {
    let mut contents = Contents::default();
    for object in documents
        .iter()
        .flat_map(|document| objects(document.root()))
    {
        contents.add(file, &object);
    }
    contents
}

/// The object itself, or the items of a list. A list inside a list stays one object.
fn objects(view: View<'_>) -> Vec<Typed<'_>> {
    let outer = Typed {
        api_version: view.get_text(&["apiVersion"]).unwrap_or_default(),
        kind: view.get_text(&["kind"]).unwrap_or_default(),
        view,
    };
    let (Some(kind), Some(items)) = (outer.kind.strip_suffix("List"), view.get(&["items"])) else {
        return vec![outer];
    };
    items
        .items()
        .into_iter()
        .map(|item| Typed {
            api_version: item.get_text(&["apiVersion"]).unwrap_or(outer.api_version),
            kind: item.get_text(&["kind"]).unwrap_or(kind),
            view: item,
        })
        .collect()
}

/// Where a kind keeps its pod; none for other kinds.
fn pod_spec(kind: &str) -> Option<&'static [&'static str]> {
    match kind {
        "Pod" => Some(&["spec"]),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => {
            Some(&["spec", "template", "spec"])
        }
        "CronJob" => Some(&["spec", "jobTemplate", "spec", "template", "spec"]),
        _ => None,
    }
}

impl<'a> Contents<'a> {
    /// Whether nothing in it is looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.classes.is_empty() && self.volumes.is_empty()
    }

    fn add(&mut self, file: &'a str, object: &Typed<'a>) {
        let id = identity(file, object);
        if object.kind == CLASS_KIND && object.api_version.starts_with(CLASS_GROUP) {
            let view = object.view;
            self.classes.push(Class { id, view });
        } else if let Some(path) = pod_spec(object.kind) {
            let volumes = object
                .view
                .get(path)
                .and_then(|spec| spec.get(&["volumes"]));
            let volumes = volumes.map(View::items).unwrap_or_default();
            self.volumes
                .extend(volumes.into_iter().filter_map(|view| volume(&id, view)));
        } else if object.view.shape() == Shape::Map {
            let Typed {
                api_version, kind, ..
            } = *object;
            self.others.push(Other {
                id,
                api_version,
                kind,
            });
        }
    }
}

fn identity<'a>(file: &'a str, object: &Typed<'a>) -> Identity<'a> {
    let name = object
        .view
        .get_text(&["metadata", "name"])
        .unwrap_or_default();
    let namespace = object.view.get_text(&["metadata", "namespace"]);
    let line = object.view.line();
    let told = if name.is_empty() { "(unnamed)" } else { name };
    Identity {
        place: Place { file, line },
        name,
        namespace,
        label: match namespace {
            Some(namespace) => format!("{} {}/{}", object.kind, shown(namespace), shown(told)),
            None => format!("{} {}", object.kind, shown(told)),
        },
    }
}

fn volume<'a>(pod: &Identity<'a>, view: View<'a>) -> Option<Volume<'a>> {
    let csi = view.get(&["csi"])?;
    (csi.get_text(&["driver"]) == Some(DRIVER)).then(|| Volume {
        id: Identity {
            place: Place {
                line: view.line(),
                ..pod.place
            },
            ..pod.clone()
        },
        name: view.get_text(&["name"]).unwrap_or_default(),
        attributes: csi.get(&["volumeAttributes"]),
    })
}
