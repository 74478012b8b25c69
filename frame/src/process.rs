//! What a program that holds secrets does to its own process before it serves.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// By default glibc gives each of a dozen threads an arena of its own, in which freed memory stays: a fifth more than is
/// used. And it takes blocks of up to 32 MiB from them once one of that size was given back, as tables are that grow.
const ALLOCATOR: [(&str, &str); 3] = [
    ("MALLOC_ARENA_MAX", "2"),
    ("MALLOC_MMAP_THRESHOLD_", "131072"),
    ("MALLOC_TRIM_THRESHOLD_", "131072"),
];

/// Starts the program once more, as the same process, with an allocator that keeps little: the C library reads its
/// settings before `main`. Whoever set the first of them is left alone.
pub fn with_few_arenas() {
    if std::env::var_os(ALLOCATOR[0].0).is_some() {
        return;
    }
    // By its path: the system would call a process `exe` that was started from /proc.
    let Ok(myself) = std::env::current_exe() else {
        return;
    };
    let mut arguments = std::env::args_os();
    let mut again = Command::new(myself);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    // It returns only when it failed: then there are more arenas.
    let _ = again.args(arguments).envs(ALLOCATOR).exec();
}

/// No core dump and no debugger of another process may see secrets.
pub fn harden() {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let limited = setrlimit(Resource::Core, nothing);
    let hidden = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Some(error) = limited.err().or(hidden.err()) {
        tracing::warn!(%error, "core dumps cannot be switched off");
    }
}
