//! `prepare`: the step before a provider that runs without root, which gives it the directories of the node.
//!
//! Needs to be root with CHOWN and FOWNER and nothing else. Safe to repeat.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _,
};
use std::os::unix::fs::{chown, lchown};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{Done, Environment, Failed, Outcome, configure};
use crate::config::Invocation;

/// The group may make sockets, and nobody removes those of a neighbour.
const SOCKETS: u32 = 0o1775;
/// Its group, and that of what is made there, is this step's, root's: without capabilities root would not get in
/// otherwise, neither here nor as a provider that runs as root again.
const STATE: u32 = 0o2770;

/// Prepares the directory of the endpoint and that of the state.
///
/// # Errors
/// 64 for a configuration that cannot be used, 3 where the system refuses.
pub fn run(group: u32, invocation: &Invocation, environment: Environment) -> Outcome {
    let config = configure(invocation, environment)?;
    let told =
        |path: &Path, error: io::Error| Failed::new(3, format!("{}: {error}", path.display()));
    let mut text = String::new();
    let endpoint = &config.endpoint;
    let directory = endpoint.parent().unwrap_or(Path::new("/"));
    share(directory, group).map_err(|error| told(directory, error))?;
    text.push_str(&format!("{}: for group {group}\n", directory.display()));
    if clear_way(endpoint, group).map_err(|error| told(endpoint, error))? {
        text.push_str(&format!("{}: was dead, removed\n", endpoint.display()));
    }
    if let Some(state) = &config.state_dir {
        hand_over(state, group).map_err(|error| told(state, error))?;
        text.push_str(&format!("{}: of user {group}\n", state.display()));
    }
    Ok(Done { text, code: 0 })
}

/// Lets the group make sockets in a directory that stays its owner's.
fn share(directory: &Path, group: u32) -> io::Result<()> {
    let found = fs::metadata(directory)?;
    if found.gid() != group {
        chown(directory, None, Some(group))?;
    }
    if found.mode() & 0o7777 != SOCKETS {
        fs::set_permissions(directory, Permissions::from_mode(SOCKETS))?;
    }
    Ok(())
}

/// Removes a socket on which nobody listens, and gives the user one that is served, because in this directory a name may
/// be taken over by its owner alone; whether one was removed.
fn clear_way(socket: &Path, user: u32) -> io::Result<bool> {
    let found = match fs::symlink_metadata(socket) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() || found.uid() == user {
        return Ok(false);
    }
    match UnixStream::connect(socket) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(socket)?;
            Ok(true)
        }
        _ => {
            lchown(socket, Some(user), None)?;
            // Whoever serves there as root looks after its own socket, and gets in through its group.
            fs::set_permissions(socket, Permissions::from_mode(0o660))?;
            Ok(false)
        }
    }
}

/// Makes a directory the user's, with the files that a provider which ran as root left there.
fn hand_over(directory: &Path, user: u32) -> io::Result<()> {
    if !directory.exists() {
        DirBuilder::new()
            .recursive(true)
            .mode(STATE)
            .create(directory)?;
    }
    let group = rustix::process::getegid().as_raw();
    chown(directory, Some(user), Some(group))?;
    // After that: a change of the owner takes the bit away that hands the group down.
    fs::set_permissions(directory, Permissions::from_mode(STATE))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        match lchown(entry.path(), Some(user), Some(group)) {
            // A provider that runs replaces its file.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_group_may_make_sockets_beside_those_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let group = rustix::process::getegid().as_raw();
        share(directory.path(), group).unwrap();
        share(directory.path(), group).unwrap();
        assert_eq!(mode(directory.path()), 0o1775);
    }

    #[test]
    fn only_a_dead_socket_of_another_user_is_removed_and_one_that_is_served_stays() {
        let directory = tempfile::tempdir().unwrap();
        let (dead, live, file) = ("dead", "live", "file");
        let path = |name: &str| directory.path().join(name);
        let (me, other) = (rustix::process::geteuid().as_raw(), u32::MAX);
        drop(UnixListener::bind(path(dead)).unwrap());
        let listener = UnixListener::bind(path(live)).unwrap();
        fs::write(path(file), "x").unwrap();
        assert!(!clear_way(&path(dead), me).unwrap());
        for (name, removed) in [(dead, true), (live, false), (file, false), ("none", false)] {
            assert_eq!(clear_way(&path(name), other).unwrap(), removed, "{name}");
        }
        assert!(!path(dead).exists() && path(live).exists() && path(file).exists());
        drop(listener);
    }

    /// As root, as the step runs: on other accounts nothing can be given away.
    #[test]
    fn a_state_is_handed_over_with_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let me = rustix::process::geteuid();
        let user = if me.is_root() { 65532 } else { me.as_raw() };
        fs::create_dir(&state).unwrap();
        fs::write(state.join("sealed"), "x").unwrap();
        hand_over(&state, user).unwrap();
        hand_over(&state, user).unwrap();
        assert_eq!(fs::metadata(&state).unwrap().uid(), user);
        assert_eq!(fs::metadata(state.join("sealed")).unwrap().uid(), user);
        hand_over(&directory.path().join("new/one"), me.as_raw()).unwrap();
        assert_eq!(mode(&directory.path().join("new/one")), 0o2770);
    }
}
