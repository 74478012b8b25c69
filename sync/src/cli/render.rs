//! `render`: the Secrets that would be written for manifests, without a cluster and without a provider.
//!
//! What is told is told by the code that the controller uses (`desired`), in the words that conditions have.

mod documents;
mod judge;
mod report;
mod text;
mod tree;

use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;

use self::documents::Documents;
use self::judge::Rules;
use self::report::Report;
use super::{Done, Failed, Outcome};
use crate::config::{Config, Form, RenderArguments};

/// A text with manifests.
struct Input {
    name: String,
    text: String,
}

pub(super) fn run(arguments: &RenderArguments, config: &Config) -> Outcome {
    let inputs: Result<Vec<Input>, Failed> =
        arguments.manifests.iter().map(|path| input(path)).collect();
    let files = arguments
        .files
        .as_deref()
        .map(|directory| tree::read(directory, config.max_response_bytes))
        .transpose()?;
    let rules = Rules {
        config,
        files: files.as_deref(),
        show_secrets: arguments.show_secrets,
        now: Timestamp::now(),
    };
    let report = report(&inputs?, &rules);
    Ok(Done {
        text: match arguments.output {
            Form::Text => report.to_text(),
            Form::Json => report.to_json(),
        },
        code: u8::from(report.has_problems()),
    })
}

fn report(inputs: &[Input], rules: &Rules<'_>) -> Report {
    judge::judge(&Documents::read(inputs), rules)
}

fn input(path: &Path) -> Result<Input, Failed> {
    let name = path.display().to_string();
    let read = if name == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    match read {
        Ok(text) => Ok(Input { name, text }),
        Err(error) => Err(Failed::new(3, format!("{name}: {error}"))),
    }
}

#[cfg(test)]
mod tests;
