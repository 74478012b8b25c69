//! The classes of a text with their parameters, for the commands that play a Mount.
//!
//! Read by the same eyes as the check's; what is wrong with the parameters themselves is the server's
//! parser to say.

use std::collections::BTreeMap;

use coffer_provider_core::problem::shown;

use super::Input;
use super::file::not_yaml;
use super::manifest::{self, Class};
use super::yaml::{self, Shape};

/// A class as a manifest holds it.
pub(in crate::cli) struct FoundClass {
    /// Its name; empty when it has none.
    pub(in crate::cli) name: String,
    /// Its namespace; none where the manifest leaves it open.
    pub(in crate::cli) namespace: Option<String>,
    /// Which provider it is for; empty when it names none.
    pub(in crate::cli) provider: String,
    /// What that provider is to do, or why the API server would not take it.
    pub(in crate::cli) parameters: Result<BTreeMap<String, String>, String>,
}

/// The classes of a text, in its order.
///
/// # Errors
/// Where and why the text is no YAML.
pub(in crate::cli) fn classes(input: &Input) -> Result<Vec<FoundClass>, String> {
    let loaded = yaml::load(&input.text);
    if let Some(broken) = not_yaml(&input.name, &loaded) {
        return Err(format!("{}:{}: {}", broken.file, broken.line, broken.what));
    }
    let contents = manifest::read(&input.name, &loaded.documents);
    Ok(contents.classes.iter().map(found).collect())
}

fn found(class: &Class<'_>) -> FoundClass {
    let provider = class.view.get_text(&["spec", "provider"]);
    FoundClass {
        name: class.id.name.to_owned(),
        namespace: class.id.namespace.map(str::to_owned),
        provider: provider.unwrap_or_default().to_owned(),
        parameters: parameters(class),
    }
}

/// Kubernetes takes texts alone; of equal keys the last one.
fn parameters(class: &Class<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut all = BTreeMap::new();
    for (name, source) in class.sources() {
        let text = source
            .value
            .text()
            .filter(|_| source.value.shape() == Shape::Text);
        let text = text.ok_or_else(|| {
            let (place, name) = (source.place, shown(name));
            format!(
                "{}:{}: spec.parameters.{name} is no text, and Kubernetes refuses it; put it in quotes",
                place.file, place.line
            )
        })?;
        all.insert(name.to_owned(), text.to_owned());
    }
    Ok(all)
}
