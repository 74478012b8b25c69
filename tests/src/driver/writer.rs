//! Puts files into a volume as the driver's atomic writer does (`pkg/util/fileutil/atomic_writer.go`).
//!
//! The files live in `..<time>.<random>/`, `..data` points there and is swapped by rename, each first
//! path component is a link through `..data`. Equal bytes and an equal set of files touch nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use coffer_proto::v1alpha1::File;

use crate::fixture::random_hex;

const DATA: &str = "..data";
const SWAP: &str = "..data_tmp";

/// Makes `volume` hold exactly these files; whether anything had to be written.
///
/// # Errors
/// When a path cannot be written below the volume, as with a NUL or a file in a directory's place.
pub fn write(volume: &Path, files: &[File]) -> Result<bool> {
    // The last file of a path wins.
    let files: BTreeMap<&str, &File> = files
        .iter()
        .map(|file| (file.path.as_str(), file))
        .collect();
    files.keys().try_for_each(|path| stays_below(path))?;
    let tops = tops(files.keys().copied());
    remove_what_is_not_ours(volume, &tops)?;
    let wanted: BTreeMap<String, Bytes> = files
        .values()
        .map(|file| (file.path.clone(), file.contents.clone()))
        .collect();
    let old = fs::read_link(volume.join(DATA)).ok();
    if old.is_some() && read(volume)? == wanted {
        return Ok(false);
    }
    let name = format!(
        "..{}.{}",
        jiff::Timestamp::now().strftime("%Y_%m_%d_%H_%M_%S"),
        random_hex(4)?
    );
    for file in files.values() {
        write_one(&volume.join(&name), file)?;
    }
    swap(volume, &name, &tops)?;
    // By its name alone: the link is read back from disk, and what is removed must stand in the volume.
    if let Some(old) = old.as_deref().and_then(Path::file_name) {
        fs::remove_dir_all(volume.join(old))?;
    }
    Ok(true)
}

/// The files that a pod sees in the volume: contents by path. Empty while nothing was written.
///
/// # Errors
/// When they cannot be read.
pub fn read(volume: &Path) -> Result<BTreeMap<String, Bytes>> {
    let mut found = BTreeMap::new();
    collect(&volume.join(DATA), "", &mut found)?;
    Ok(found)
}

/// The mode of a file of the volume.
///
/// # Errors
/// When it is not there.
pub fn mode(volume: &Path, path: &str) -> Result<u32> {
    let metadata = fs::metadata(volume.join(path)).with_context(|| format!("no file {path:?}"))?;
    Ok(metadata.permissions().mode() & 0o7777)
}

fn tops<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    paths
        .map(|path| path.split('/').next().unwrap_or(path))
        .collect()
}

/// Entries that a provider once wrote itself make room for links.
///
/// Goes by what is listed in the volume and never by joining a path of the reply, so that no reply can
/// remove anything outside of the volume.
fn remove_what_is_not_ours(volume: &Path, tops: &BTreeSet<&str>) -> Result<()> {
    for entry in fs::read_dir(volume)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_symlink()
            || !entry
                .file_name()
                .to_str()
                .is_some_and(|name| tops.contains(name))
        {
            continue;
        }
        if kind.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Refuses a path that does not stay below the volume, before any file is touched.
fn stays_below(path: &str) -> Result<()> {
    let mut components = Path::new(path).components();
    let plain = components.all(|component| matches!(component, Component::Normal(_)));
    ensure!(
        plain && !path.is_empty() && !path.starts_with(".."),
        "path {path:?} leaves the volume"
    );
    Ok(())
}

fn write_one(directory: &Path, file: &File) -> Result<()> {
    let path = directory.join(&file.path);
    let parent = path.parent().context("a file stands in a directory")?;
    fs::create_dir_all(parent).with_context(|| format!("directory of {:?}", file.path))?;
    fs::write(&path, &file.contents).with_context(|| format!("file {:?}", file.path))?;
    let mode = u32::try_from(file.mode).map_err(|_| anyhow!("mode of {:?}", file.path))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    Ok(())
}

fn swap(volume: &Path, name: &str, tops: &BTreeSet<&str>) -> Result<()> {
    symlink(name, volume.join(SWAP))?;
    fs::rename(volume.join(SWAP), volume.join(DATA))?;
    for top in tops {
        match symlink(Path::new(DATA).join(top), volume.join(top)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.into()),
            _ => {}
        }
    }
    for entry in fs::read_dir(volume)? {
        let entry = entry?;
        let stale = entry
            .file_name()
            .to_str()
            .is_some_and(|top| !top.starts_with("..") && !tops.contains(top));
        if stale {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn collect(directory: &Path, prefix: &str, found: &mut BTreeMap<String, Bytes>) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{path}/"), found)?;
        } else {
            found.insert(path, fs::read(entry.path())?.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::directory;

    fn file(path: &str, mode: i32, contents: &'static str) -> File {
        File {
            path: path.to_owned(),
            mode,
            contents: Bytes::from_static(contents.as_bytes()),
        }
    }

    #[test]
    fn files_appear_behind_links_with_their_modes() {
        let volume = directory("volume").unwrap();
        let files = [file("a", 0o600, "1"), file("b/c", 0o444, "2")];
        assert!(write(volume.path(), &files).unwrap());
        assert_eq!(fs::read_to_string(volume.path().join("b/c")).unwrap(), "2");
        assert_eq!(
            fs::read_link(volume.path().join("b")).unwrap(),
            Path::new("..data/b")
        );
        assert_eq!(mode(volume.path(), "a").unwrap(), 0o600);
        let seen: Vec<String> = read(volume.path()).unwrap().into_keys().collect();
        assert_eq!(seen, ["a", "b/c"]);
    }

    #[test]
    fn equal_bytes_touch_nothing_even_with_another_mode() {
        let volume = directory("volume").unwrap();
        write(volume.path(), &[file("a", 0o600, "1")]).unwrap();
        assert!(!write(volume.path(), &[file("a", 0o644, "1")]).unwrap());
        assert_eq!(mode(volume.path(), "a").unwrap(), 0o600);
    }

    #[test]
    fn names_no_longer_sent_disappear_with_the_old_directory() {
        let volume = directory("volume").unwrap();
        write(
            volume.path(),
            &[file("a", 0o600, "1"), file("b/c", 0o600, "1")],
        )
        .unwrap();
        assert!(write(volume.path(), &[file("a", 0o600, "2")]).unwrap());
        let mut left: Vec<_> = fs::read_dir(volume.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left.len(), 3, "{left:?}");
        assert!(left[0] == DATA || left[1] == DATA);
        assert_eq!(read(volume.path()).unwrap()["a"], "2");
    }

    #[test]
    fn a_file_in_a_directorys_place_cannot_be_written() {
        let volume = directory("volume").unwrap();
        assert!(
            write(
                volume.path(),
                &[file("a", 0o600, ""), file("a/b", 0o600, "")]
            )
            .is_err()
        );
    }

    #[test]
    fn a_path_out_of_the_volume_is_refused_before_anything_is_touched() {
        let parent = directory("volume").unwrap();
        let volume = parent.path().join("inner/mount");
        fs::create_dir_all(&volume).unwrap();
        let bystander = parent.path().join("inner/bystander");
        fs::write(&bystander, "here").unwrap();
        let absolute = bystander.to_str().unwrap();
        for path in [
            "../bystander",
            "..",
            "",
            "/",
            ".",
            "./..",
            "a/../../bystander",
            "..data",
            absolute,
        ] {
            assert!(
                write(&volume, &[file(path, 0o600, "")]).is_err(),
                "{path:?}"
            );
        }
        assert_eq!(fs::read_to_string(&bystander).unwrap(), "here");
        assert!(read(&volume).unwrap().is_empty());
    }

    #[test]
    fn what_a_provider_once_wrote_itself_makes_room() {
        let volume = directory("volume").unwrap();
        fs::create_dir(volume.path().join("b")).unwrap();
        fs::write(volume.path().join("a"), "old").unwrap();
        write(
            volume.path(),
            &[file("a", 0o600, "1"), file("b/c", 0o600, "2")],
        )
        .unwrap();
        assert_eq!(fs::read_to_string(volume.path().join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(volume.path().join("b/c")).unwrap(), "2");
    }
}
