//! What is refused as written: all of it at once, and before any request.

use anyhow::{Result, ensure};
use tonic::Code;

use crate::stage::{Failures, Stage, check_failure, class};

/// Mounts rows of objects that must be refused, and checks that the store never heard of them.
async fn refuse_all(rows: &[(&str, &[&str])]) -> Result<()> {
    let stage = Stage::set().await?;
    let mut failures = Failures::default();
    for (objects, words) in rows {
        let text = stage
            .refused(
                &stage.volume(objects)?,
                Code::InvalidArgument,
                "bad_request",
            )
            .await;
        failures.note(
            objects,
            text.and_then(|text| {
                for word in *words {
                    ensure!(text.contains(word), "{word} in {text}");
                }
                Ok(())
            }),
        );
    }
    ensure!(stage.store.connections() == 0, "the store was asked");
    failures.none()
}

/// D24, H3: paths that the driver refuses, or worse, does not.
#[tokio::test]
async fn bad_file_names_never_reach_the_store() -> Result<()> {
    let long = "x".repeat(256);
    let names = [
        ".", "..", "../x", "a/../b", "/x", "a//b", "./a", "a/", "..data", "", "a\\nb", "a\\0b",
        "a\\\\b", &long,
    ];
    let rows: Vec<(String, Vec<&str>)> = names
        .iter()
        .map(|name| {
            (
                format!("- {{objectName: \"{name}\", secretPath: secret/data/a}}"),
                vec!["objects[0].objectName"],
            )
        })
        .collect();
    let rows: Vec<(&str, &[&str])> = rows
        .iter()
        .map(|(row, words)| (row.as_str(), words.as_slice()))
        .collect();
    refuse_all(&rows).await
}

/// D24, H3, H4: clashes, duplicates and modes.
#[tokio::test]
async fn clashes_and_odd_modes_never_reach_the_store() -> Result<()> {
    refuse_all(&[
        (
            "[{objectName: a, secretPath: x}, {objectName: a, secretPath: y}]",
            &["must be unique", "duplicated: a"],
        ),
        (
            "[{objectName: a, secretPath: x}, {objectName: a/b, secretPath: x}]",
            &["\"a/b\" needs it as a directory"],
        ),
        (
            "[{objectName: a, secretPath: x, filePermission: 01777}]",
            &["objects[0].filePermission", "octal"],
        ),
        (
            "[{objectName: a, secretPath: x, filePermission: 777}]",
            &["objects[0].filePermission", "did you mean 0777?"],
        ),
        (
            "[{objectName: a, secretPath: x, filePermission: -1}]",
            &["objects[0].filePermission"],
        ),
    ])
    .await
}

/// H2: what is no list of objects.
#[tokio::test]
async fn objects_that_are_no_list_never_reach_the_store() -> Result<()> {
    let bomb = "- &a [x,x,x,x,x,x,x,x]\n".to_owned()
        + &(1..40)
            .map(|at| {
                format!(
                    "- &a{at} [*a{0},*a{0},*a{0},*a{0}]\n",
                    if at == 1 {
                        String::new()
                    } else {
                        (at - 1).to_string()
                    }
                )
            })
            .collect::<String>();
    refuse_all(&[
        ("", &["no secrets configured"]),
        ("[]", &["no secrets configured"]),
        ("null", &["no secrets configured"]),
        ("a: b", &["objects"]),
        ("array:\n  - |\n    objectName: a", &["objects"]),
        ("-\tobjectName: a", &["objects"]),
        (
            "- {objectName: a, objectName: b, secretPath: x}",
            &["objects"],
        ),
        ("- [", &["objects"]),
        (
            "- {objectName: [a], secretPath: x}",
            &["objects[0].objectName"],
        ),
        (&bomb, &["objects"]),
    ])
    .await
}

/// D22, H5: an encoding, a method and a path that no store knows are named before any read.
#[tokio::test]
async fn bad_attributes_of_objects_never_reach_the_store() -> Result<()> {
    refuse_all(&[
        (
            "- {objectName: a, secretPath: x, encoding: rot13}",
            &["invalid encoding type. Should be utf-8, base64, or hex"],
        ),
        (
            "- {objectName: a, secretPath: x, method: put}",
            &["objects[0].method", "write PUT in capitals"],
        ),
        (
            "- {objectName: a, secretPath: x, method: \"GET\\r\\nX: y\"}",
            &["objects[0].method"],
        ),
        (
            "- {objectName: a, secretPath: ''}",
            &["objects[0].secretPath"],
        ),
        (
            "- {objectName: a, secretPath: ../sys/seal}",
            &["objects[0].secretPath"],
        ),
        (
            "- {objectName: a, secretPath: a/%2e%2E/b}",
            &["objects[0].secretPath"],
        ),
        (
            "- {objectName: a, secretPath: \"x\\r\\nHost: y\"}",
            &["objects[0].secretPath"],
        ),
        (
            "- {objectName: a, secretPath: x#y}",
            &["objects[0].secretPath"],
        ),
        (
            "- {objectName: a, secretPath: 'x?a=%zz'}",
            &["failed to parse query parameters from secretPath"],
        ),
    ])
    .await
}

/// D25, H2: everything that is wrong is told at once.
#[tokio::test]
async fn all_problems_are_told_at_once() -> Result<()> {
    let stage = Stage::set().await?;
    let objects = "[{objectName: ., secretPath: x}, {objectName: b, secretPath: ../y}, {objectName: c, secretPath: z, encoding: rot13}]";
    let volume = stage.volume_of(
        "web",
        class(objects)
            .with("roleName", "")
            .with("vaultSkipTLSVerify", "maybe"),
    )?;
    let mut request = volume.first_mount();
    request.target_path.clear();
    let text = check_failure(
        &stage.driver.mount_raw(&request).await,
        Code::InvalidArgument,
        "bad_request",
    )?;
    for words in [
        "missing target path",
        "missing 'roleName'",
        "vaultSkipTLSVerify",
        "objects[0].objectName",
        "objects[1].secretPath",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert_eq!(stage.store.connections(), 0);
    Ok(())
}

/// H4: modes in every notation become what they say; unset and 0 become 0644.
#[tokio::test]
async fn modes_are_explicit() -> Result<()> {
    let stage = Stage::set().await?;
    let mut objects = String::new();
    let modes = [
        ("0600", 0o600),
        ("0o640", 0o640),
        ("420", 0o644),
        ("0", 0o644),
        ("0777", 0o777),
        ("''", 0o644),
    ];
    for (at, (mode, _)) in modes.iter().enumerate() {
        let field = if *mode == "''" {
            String::new()
        } else {
            format!(", filePermission: {mode}")
        };
        objects +=
            &format!("- {{objectName: o{at}, secretPath: secret/data/a, secretKey: k{field}}}\n");
    }
    let seen = stage.mount(&stage.volume(&objects)?).await?.modes()?;
    for (at, (mode, expected)) in modes.iter().enumerate() {
        assert_eq!(seen[&format!("o{at}")], *expected, "{mode}");
    }
    Ok(())
}
