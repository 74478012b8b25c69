//! `--version`: what this is, in the forms that the peers print.

use serde::Serialize;

use super::{Done, Failed, Outcome};
use crate::metrics::BuildInfo;

/// The oldest driver that is served.
const MIN_DRIVER_VERSION: &str = "1.3.0";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    revision: &'static str,
    rustc: &'static str,
    min_driver_version: &'static str,
}

/// What this build is.
#[must_use]
pub const fn build() -> BuildInfo {
    BuildInfo {
        version: env!("CARGO_PKG_VERSION"),
        revision: match option_env!("COFFER_REVISION") {
            Some(revision) => revision,
            None => "unknown",
        },
        rustc: env!("CARGO_PKG_RUST_VERSION"),
    }
}

/// Prints the version: json (default), json-pretty or yaml, as the peers' `-output`; text in addition.
///
/// # Errors
/// For every other form.
pub fn print(output: &str) -> Outcome {
    let BuildInfo {
        version,
        revision,
        rustc,
    } = build();
    let this = Version {
        version,
        revision,
        rustc,
        min_driver_version: MIN_DRIVER_VERSION,
    };
    let text = match output {
        "" | "json" => serde_json::to_string(&this).unwrap_or_default(),
        "json-pretty" => serde_json::to_string_pretty(&this).unwrap_or_default(),
        "yaml" => format!(
            "version: {version}\nrevision: {revision}\nrustc: {rustc}\nminDriverVersion: {MIN_DRIVER_VERSION}"
        ),
        "text" => format!(
            "coffer-provider {version} ({revision}, rustc {rustc}, drivers from {MIN_DRIVER_VERSION})"
        ),
        _ => {
            return Err(Failed::new(
                2,
                "--output: write text, json, json-pretty or yaml",
            ));
        }
    };
    Ok(Done {
        text: format!("{text}\n"),
        code: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::print;

    #[test]
    fn every_form_of_the_peers_is_printed_and_others_are_refused() {
        for form in ["", "json", "json-pretty", "yaml", "text"] {
            let printed = print(form).ok().unwrap().text;
            assert!(printed.contains(env!("CARGO_PKG_VERSION")), "{form}");
        }
        assert_eq!(print("xml").err().unwrap().code, 2);
    }
}
