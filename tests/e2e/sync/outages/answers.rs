//! Answers that are of no use, and more of them than there is room for.

use anyhow::{Context, Result, ensure};
use coffer_tests::vendor::Script;
use tonic::Status;

use super::{is_well, of_account, refetched, serves_last_good, untouched};
use crate::sync::{Scene, value};
use crate::world::run;

/// What is wrong with an answer, the reason that upstream has for it, and a part of what people are told.
type Wrong = (fn(&mut Script), &'static str, &'static str);

/// Sync §4, order of an answer; §15, row "bad answer".
#[test]
fn an_answer_that_is_of_no_use_costs_no_secret_a_byte() -> Result<()> {
    const ANSWERS: [Wrong; 7] = [
        (
            |script| script.failure = Some(Status::permission_denied("not yours")),
            "ProviderError",
            "answered PermissionDenied: not yours",
        ),
        (
            |script| script.code = Some("SecretNotFound".to_owned()),
            "ProviderError",
            "answered error code SecretNotFound",
        ),
        (
            |script| script.no_versions = true,
            "ProviderError",
            "without object versions",
        ),
        (
            |script| script.files.clear(),
            "RemoteSecretStoreFetchFailed",
            "NoFiles: ",
        ),
        (
            |script| {
                let found = script.files.remove("f").unwrap_or_default();
                script.files.insert("g".to_owned(), found);
            },
            "RemoteSecretStoreFetchFailed",
            "the provider returned g",
        ),
        (
            |script| {
                script.files.insert("../f".to_owned(), "x".into());
            },
            "RemoteSecretStoreFetchFailed",
            "leads out of the volume",
        ),
        (
            |script| {
                let large = vec![b'x'; 128 << 10];
                script.files.insert("g".to_owned(), large.into());
            },
            "ProviderError",
            "answered OutOfRange",
        ),
    ];
    run(async {
        let scene = Scene::plain(&["--max-response-bytes", "64Ki"]).await?;
        scene.vendor.put("f", "good");
        let class = scene.class("c").await?;
        let sync = scene.sync("a").await?;
        let before = scene.holds("a", "k", b"good").await?;
        is_well(&scene, &sync).await?;
        for (spoil, reason, part) in ANSWERS {
            scene.vendor.change(spoil);
            refetched(&scene, &class, &sync).await?;
            let told = serves_last_good(&scene, &sync, reason).await?;
            ensure!(told.contains(part), "{part:?} is not in {told:?}");
            untouched(&scene, &before).await?;
            scene.vendor.change(|script| {
                *script = Script::default();
                script.files.insert("f".to_owned(), "good".into());
            });
            refetched(&scene, &class, &sync).await?;
            is_well(&scene, &sync).await.context(part)?;
            untouched(&scene, &before).await.context(part)?;
        }
        Ok(())
    })
}

/// Sync §5: the bound of all answers together delays objects and stops none, though answers are kept for those who
/// come a moment later.
#[test]
fn answers_that_use_up_their_memory_make_room_for_the_next() -> Result<()> {
    run(async {
        let bounds = [
            "--max-response-bytes",
            "32Ki",
            "--answer-bytes-in-flight",
            "64Ki",
        ];
        let scene = Scene::plain(&bounds).await?;
        scene.vendor.put("f", vec![b'x'; 20 << 10]);
        scene.class("c").await?;
        for at in 0..12 {
            let sync = of_account(&scene, &format!("big-{at}"), &format!("app-{at}"));
            scene.create(sync).await?;
        }
        for at in 0..12 {
            let name = format!("big-{at}");
            let secret = scene.until(&name, "a Secret that fits", |_| true).await?;
            ensure!(value(&secret, "k").is_some_and(|bytes| bytes.len() == 20 << 10));
        }
        Ok(())
    })
}
