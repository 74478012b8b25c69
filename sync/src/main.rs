//! From what was typed to an exit code: 0 fine, 1 findings, 2 usage, 3 could not be done or checked, 64 bad
//! configuration. Everything else is in the library.

use std::io::Write;
use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use coffer_sync::cli;
use coffer_sync::config::{Command, parse_arguments};

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let invocation = match parse_arguments(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(2)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    if matches!(invocation.command, Command::Serve) {
        with_few_arenas();
    }
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    match cli::run(&invocation, environment) {
        Ok(done) => {
            let _ = std::io::stdout().write_all(done.text.as_bytes());
            ExitCode::from(done.code)
        }
        Err(failed) => {
            let _ = writeln!(std::io::stderr(), "{}", failed.text.trim_end());
            ExitCode::from(failed.code)
        }
    }
}

/// By default glibc gives each of a dozen threads an arena of its own, in which freed memory stays: a fifth more than is
/// used. The C library reads this before `main`, so whoever serves starts itself once more, as the same process.
const ARENAS: (&str, &str) = ("MALLOC_ARENA_MAX", "2");

fn with_few_arenas() {
    if std::env::var_os(ARENAS.0).is_some() {
        return;
    }
    // By its path: the system would call a process `exe` that was started from /proc.
    let Ok(myself) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = std::process::Command::new(myself);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It returns only when it failed: then there are more arenas.
    let _ = again.args(arguments).env(ARENAS.0, ARENAS.1).exec();
}
