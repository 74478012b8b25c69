//! From what was typed to an exit code: 0 fine, 1 findings, 2 usage, 3 could not be checked, 64 bad
//! configuration. Everything else is in the library.

use std::io::Write;
use std::process::ExitCode;

use coffer_provider::cli;
use coffer_provider::config::{Command, parse_arguments};

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
        coffer_frame::process::with_few_arenas();
    }
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let outcome = match invocation.command {
        Command::Version => cli::version::print(&invocation.output),
        Command::Check { ref files, strict } => cli::check_files(files, strict, &invocation),
        Command::Completions(shell) => Ok(cli::completions(shell)),
        Command::Prepare { group } => cli::prepare::run(group, &invocation, environment),
        Command::Serve => cli::serve::run(&invocation, environment),
        Command::Mount(ref arguments) => cli::mount::run(arguments, &invocation, environment),
        Command::Doctor(ref arguments) => cli::doctor::run(arguments, &invocation, environment),
    };
    match outcome {
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
