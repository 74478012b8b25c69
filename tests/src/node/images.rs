//! Images: that of Coffer, as `make image` wrote it, and one of a static busybox for everything else.
//!
//! Nothing is pulled.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::ground::command;
use super::kubelet::ctr;
use crate::fixture::{directory, repository};

/// What keeps a sandbox alive.
pub(super) const PAUSE: &str = "coffer.test/pause:1";
const COFFER: &str = "target/image/coffer.tar";

/// The image of sandboxes. Its name is known to the configuration of containerd.
pub(super) fn pause() -> Result<()> {
    busybox(PAUSE, &["/bin/sleep", "infinity"])
}

/// A busybox under the name that a pod gives it.
pub(super) fn shell(name: &str) -> Result<()> {
    busybox(name, &["/bin/sh"])
}

/// The image of Coffer, and its size in bytes.
pub(super) fn coffer() -> Result<u64> {
    let archive = repository().join(COFFER);
    ensure!(
        archive.is_file(),
        "{COFFER} is missing: `make image` writes it"
    );
    ctr(&["images", "import", &archive.display().to_string()])?;
    Ok(fs::metadata(archive)?.len())
}

/// Makes and imports an archive of one layer with Debian's static busybox.
fn busybox(name: &str, start: &[&str]) -> Result<()> {
    let place = directory("node")?;
    let (root, image) = (place.path().join("root"), place.path().join("image"));
    for directory in ["bin", "etc", "tmp"] {
        fs::create_dir_all(root.join(directory))?;
    }
    fs::create_dir(&image)?;
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("tools/install.sh node")?;
    for applet in command("/bin/busybox", &["--list"])?.lines() {
        if applet != "busybox" {
            symlink("busybox", root.join("bin").join(applet))?;
        }
    }
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0::/:/bin/sh\nuser:x:65532:65532::/:/bin/sh\n",
    )?;
    let layer = image.join("layer.tar");
    pack(&root, &layer)?;
    let sum = command("sha256sum", &[&layer.display().to_string()])?;
    let sum = sum.split(' ').next().context("no checksum")?;
    let config = json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux",
        "config": {"Cmd": start, "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{sum}")]},
    });
    fs::write(image.join("config.json"), config.to_string())?;
    let manifest = json!([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]);
    fs::write(image.join("manifest.json"), manifest.to_string())?;
    let archive = place.path().join("archive.tar");
    pack(&image, &archive)?;
    ctr(&["images", "import", &archive.display().to_string()]).map(drop)
}

fn pack(directory: &Path, archive: &Path) -> Result<()> {
    let [directory, archive] = [directory, archive].map(|path| path.display().to_string());
    let entries = fs::read_dir(&directory)?.map(|entry| {
        let name = entry?.file_name();
        Ok(name.to_string_lossy().into_owned())
    });
    let entries: Vec<String> = entries.collect::<std::io::Result<_>>()?;
    let mut arguments = vec!["--create", "--owner=0", "--group=0", "--file", &archive];
    arguments.extend(["--directory", &directory]);
    arguments.extend(entries.iter().map(String::as_str));
    command("tar", &arguments).map(drop)
}
