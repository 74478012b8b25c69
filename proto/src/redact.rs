//! Debug for the messages that carry secrets: sizes and names, never content.
//!
//! Only messages that the generator was told to skip stand here; see `examples/generate.rs`.

use std::fmt;

use crate::v1alpha1::{File, MountRequest, MountResponse};

impl fmt::Debug for MountRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Destructured so that a new field breaks the build instead of being printed or forgotten.
        let Self {
            attributes,
            secrets,
            target_path,
            permission,
            current_object_version,
        } = self;
        f.debug_struct("MountRequest")
            .field("attributes_bytes", &attributes.len())
            .field("secrets_bytes", &secrets.len())
            .field("target_path", target_path)
            .field("permission", permission)
            .field("current_object_versions", &current_object_version.len())
            .finish()
    }
}

impl fmt::Debug for MountResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            object_version,
            error,
            files,
        } = self;
        f.debug_struct("MountResponse")
            .field("object_version", object_version)
            .field("error", error)
            .field("files", files)
            .finish()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            mode,
            contents,
        } = self;
        f.debug_struct("File")
            .field("path", path)
            .field("mode", &format_args!("{mode:#o}"))
            .field("contents_bytes", &contents.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_a_request_shows_sizes_and_never_a_token() {
        let request = MountRequest {
            attributes: "{\"tokens\":\"canary-jwt\"}".to_owned(),
            secrets: "{\"password\":\"canary-secret\"}".to_owned(),
            target_path: "/var/lib/kubelet/pods/u/mount".to_owned(),
            permission: "420".to_owned(),
            current_object_version: Vec::new(),
        };
        let shown = format!("{request:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(shown.contains("attributes_bytes: 23"), "{shown}");
    }

    #[test]
    fn debug_of_a_reply_shows_names_modes_and_sizes_only() {
        let response = MountResponse {
            object_version: Vec::new(),
            error: None,
            files: vec![File {
                path: "db/password".to_owned(),
                mode: 0o640,
                contents: bytes::Bytes::from_static(b"canary"),
            }],
        };
        let shown = format!("{response:?}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(
            shown.contains("db/password") && shown.contains("0o640"),
            "{shown}"
        );
    }
}
