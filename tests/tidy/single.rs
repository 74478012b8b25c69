//! What may stand in one file only: names on the wire, the environment, gRPC codes that are not final,
//! and the places where a secret leaves its wrapper.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, ensure};

use crate::tree::{file, none, product, product_lines};

/// Where secrets leave their wrappers, and how often. A new place is a decision: say in the commit why
/// it is needed and where the bytes go.
const EXPOSED: &str = "\
1 provider/core/src/auth.rs
2 provider/core/src/encoding.rs
1 provider/core/src/mount.rs
1 provider/core/src/secret.rs
1 provider/src/cli/mount.rs
1 provider/src/cli/mount/files.rs
1 provider/src/mounter.rs
3 provider/src/proof.rs
1 provider/src/proof/seen.rs
3 provider/src/state/record.rs
2 provider/src/vault/endpoint.rs
1 provider/src/vault/reads/answer.rs
1 provider/src/volumes.rs
1 sync/core/src/build.rs
1 sync/core/src/build/docker.rs
1 sync/core/src/build/ssh.rs
5 sync/core/src/build/tls.rs
1 sync/core/src/bytes.rs
2 sync/core/src/validate.rs
1 sync/src/cli/render/judge.rs
1 sync/src/cluster/secret.rs
";

#[test]
fn names_of_attributes_stand_in_one_file() -> Result<()> {
    let home = "proto/src/attributes.rs";
    let key = "\"csi.storage.k8s.io/";
    ensure!(
        file(home)?.text.contains(key),
        "{home} has no names of attributes"
    );
    let found = product_lines(|path, line| path != home && line.contains(key))?;
    none("a name of an attribute", &found)
}

#[test]
fn parameters_are_looked_up_by_names_of_one_file() -> Result<()> {
    let home = "provider/core/src/params/names.rs";
    let names = file(home)?;
    let suffixes = suffixes(&names.text);
    ensure!(
        suffixes.len() > 8,
        "{home} has only the suffixes {suffixes:?}"
    );
    let found = product_lines(|path, line| path != home && looks_up(line, &suffixes))?;
    none("a parameter by a name of its own", &found)
}

/// `Self::Address => "Address"` gives `Address`.
fn suffixes(names: &str) -> Vec<&str> {
    names
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Self::")?.split_once(" => \""))
        .filter_map(|(variant, text)| {
            let suffix = text.strip_suffix("\",")?;
            let named_alike = suffix.eq_ignore_ascii_case(variant);
            (named_alike && suffix.starts_with(char::is_uppercase)).then_some(suffix)
        })
        .collect()
}

/// A message may name a parameter. What is not allowed is to find one by a text of one's own: a bare
/// suffix, a constant, or a full name as key of a lookup.
fn looks_up(line: &str, suffixes: &[&str]) -> bool {
    let bare = |suffix: &&str| {
        *suffix != "Address" && *suffix != "Namespace" && line.contains(&format!("\"{suffix}\""))
    };
    if suffixes.iter().any(bare) {
        return true;
    }
    let prefixes = ["vault", "bao", "openbao"];
    let prefixed = suffixes.iter().flat_map(|suffix| {
        prefixes
            .iter()
            .map(move |prefix| format!("{prefix}{suffix}"))
    });
    prefixed.chain(["roleName".to_owned()]).any(|name| {
        [
            "get(",
            "get_mut(",
            "remove(",
            "contains_key(",
            "[",
            "= ",
            "== ",
        ]
        .iter()
        .any(|before| line.contains(&format!("{before}\"{name}\"")))
    })
}

#[test]
fn the_environment_is_read_in_main_only() -> Result<()> {
    // The last has the process started again with more of it, and is called by the two.
    let homes = [
        "provider/src/main.rs",
        "sync/src/main.rs",
        "frame/src/process.rs",
    ];
    for home in homes {
        ensure!(
            file(home)?.text.contains("env::var"),
            "{home} reads no environment"
        );
    }
    let found = product_lines(|path, line| {
        let allowed = homes.contains(&path);
        let reads = ["env::var", "env::args", "env::current_dir", "env = \""];
        !allowed && reads.iter().any(|read| line.contains(read))
    })?;
    none("reads the environment", &found)
}

/// Whoever runs the binary knows flags and no chart: a text names the flag first, the chart's value in brackets.
#[test]
fn a_value_of_the_chart_is_named_behind_its_flag_only() -> Result<()> {
    let options = file("provider/src/config/options.rs")?;
    let mut named = 0;
    let mut found = Vec::new();
    for source in product()? {
        for (number, line) in source.code() {
            for (before, value) in chart_values(line) {
                named += 1;
                let flag = kebab(value);
                let known = options.text.contains(&format!("\"{flag}\""));
                if !known || !before.ends_with(&format!("--{flag} (")) {
                    found.push(format!("{}:{number}: {}", source.path, line.trim()));
                }
            }
        }
    }
    ensure!(named > 4, "only {named} values of the chart are named");
    none("a value of the chart without its flag", &found)
}

/// What stands before each `policy.allowedAddresses`, and `allowedAddresses`. Fields are in snake case.
fn chart_values(line: &str) -> impl Iterator<Item = (&str, &str)> {
    ["policy.", "limits."].into_iter().flat_map(move |group| {
        line.match_indices(group).filter_map(move |(at, _)| {
            let rest = &line[at + group.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let value = &rest[..end.unwrap_or(rest.len())];
            value
                .contains(char::is_uppercase)
                .then_some((&line[..at], value))
        })
    })
}

/// `allowedTLSDirs` gives `allowed-tls-dirs`.
fn kebab(value: &str) -> String {
    let letters: Vec<char> = value.chars().collect();
    let mut out = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let lower = |at: usize| letters.get(at).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && at > 0 && (lower(at - 1) || lower(at + 1)) {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

#[test]
fn codes_that_are_not_final_stand_in_the_table_only() -> Result<()> {
    // Kubelet would keep the volume's directory, and the driver would start the pod without its files.
    let open = [
        "Unavailable",
        "DeadlineExceeded",
        "ResourceExhausted",
        "Cancelled",
        "Aborted",
    ];
    let shortcuts = [
        "unavailable",
        "deadline_exceeded",
        "resource_exhausted",
        "cancelled",
        "aborted",
    ];
    let names: Vec<String> = open
        .iter()
        .map(|code| format!("Code::{code}"))
        .chain(shortcuts.iter().map(|call| format!("Status::{call}(")))
        .collect();
    let named = |line: &str| names.iter().any(|name| line.contains(name.as_str()));

    let table = file("provider/src/status.rs")?;
    ensure!(
        table.code().any(|(_, line)| named(line)),
        "{} names no such code",
        table.path
    );
    let homes = ["provider/src/status.rs", "provider/src/metrics/labels.rs"];
    // The controller gives no answers to kubelet: it asks, and names what it may be answered.
    let answers = |path: &str| !path.starts_with("sync/") && !homes.contains(&path);
    let found = product_lines(|path, line| answers(path) && named(line))?;
    none("a gRPC code that is not final", &found)
}

#[test]
fn secrets_leave_their_wrappers_at_counted_places() -> Result<()> {
    let mut counted = BTreeMap::new();
    for source in product()? {
        let exposed: usize = source.code().map(|(_, line)| exposures(line)).sum();
        if exposed > 0 {
            counted.insert(source.path, exposed);
        }
    }
    let mut found = String::new();
    for (path, count) in counted {
        writeln!(found, "{count} {path}")?;
    }
    ensure!(
        found == EXPOSED,
        "the list in {} should be:\n{found}",
        file!()
    );
    Ok(())
}

fn exposures(line: &str) -> usize {
    [
        ".expose_secret",
        "::expose_secret",
        ".expose()",
        "::expose)",
    ]
    .iter()
    .map(|call| line.matches(call).count())
    .sum()
}
