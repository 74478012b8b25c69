//! What the provider does without: descriptors, and a reader of its log.

use std::fs::File;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use coffer_tests::driver::Class;
use coffer_tests::fixture::eventually;
use coffer_tests::provider::{ProviderProcess, Scarcity};
use coffer_tests::scripted::ScriptedStore;
use serde_json::Value;
use tokio::net::UnixStream;
use tonic::Code;

use crate::stage::{ONE, Stage, check_failure, class};

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Room for the provider itself and a few connections.
const DESCRIPTORS: u32 = 64;

async fn provider(stage: &Stage, scarcity: Scarcity) -> Result<ProviderProcess> {
    let address = stage.store.address();
    let arguments = ["-kubeconfig", "off", "-vault-addr", &address];
    ProviderProcess::start_short_of(scarcity, &arguments).await
}

/// The pauses after connections that could not be accepted, in order.
fn pauses(log: &str) -> Vec<String> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| {
            let message = line["msg"].as_str().unwrap_or_default();
            message.starts_with("accepting a connection failed")
        })
        .filter_map(|line| line["pause"].as_str().map(str::to_owned))
        .collect()
}

/// P7: without descriptors the old connections serve on, new ones are waited for with growing pauses, and are
/// served once there are descriptors again.
#[tokio::test]
async fn a_lack_of_descriptors_is_survived_without_spinning() -> Result<()> {
    let stage = Stage::set().await?;
    let scarcity = Scarcity {
        descriptors: Some(DESCRIPTORS),
        ..Scarcity::default()
    };
    let provider = provider(&stage, scarcity).await?;
    let driver = provider.driver()?;
    let volume = stage.volume(ONE)?;
    driver.mount(&volume.first_mount()).await?.response()?;
    let mut idle = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        idle.push(UnixStream::connect(provider.socket()).await?);
    }
    eventually(LONG, "growing pauses", async || {
        let pauses = pauses(&provider.log());
        let growing = ["10ms", "20ms", "40ms", "80ms", "160ms"];
        ensure!(
            pauses
                .windows(growing.len())
                .any(|seen| seen.iter().eq(growing)),
            "{pauses:?}"
        );
        Ok(())
    })
    .await?;
    driver.mount(&volume.first_mount()).await?.response()?;
    let elsewhere = ScriptedStore::start().await?;
    let class = class(ONE).with("vaultAddress", elsewhere.address().as_str());
    let unreachable = stage.volume_of("web", class)?;
    let outcome = driver.mount(&unreachable.first_mount()).await?;
    let text = check_failure(&outcome, Code::Unknown, "store_unreachable")?;
    ensure!(text.contains("Too many open files"), "{text}");

    drop(idle);
    let driver = provider.driver()?;
    driver.mount(&volume.first_mount()).await?.response()?;
    Ok(())
}

/// A class that is accepted with many remarks; each `number` is another class.
fn remarkable(number: usize) -> Class {
    let name = "x".repeat(100);
    (0..2000).fold(class(ONE), |class, at| {
        class.with(&format!("{name}{number}-{at}"), "")
    })
}

async fn dropped(provider: &ProviderProcess) -> Result<f64> {
    let count = provider.metric("coffer_log_dropped_total").await?;
    count.ok_or_else(|| anyhow!("no count of dropped lines"))
}

/// P7: nobody reads the log: mounts go on, lines are dropped and counted, and later ones come once somebody does.
#[tokio::test]
async fn a_log_that_nobody_reads_holds_nothing_up() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut unread, pipe) = std::io::pipe()?;
    let scarcity = Scarcity {
        stdout: Some(pipe.into()),
        ..Scarcity::default()
    };
    let provider = provider(&stage, scarcity).await?;
    let driver = provider.driver()?;
    let mut number = 0;
    eventually(LONG, "a full log", async || {
        number += 1;
        let volume = stage.volume_of("web", remarkable(number))?;
        driver.mount(&volume.first_mount()).await?.response()?;
        ensure!(dropped(&provider).await? > 0.0, "nothing is dropped yet");
        Ok(())
    })
    .await?;
    driver
        .mount(&stage.volume(ONE)?.first_mount())
        .await?
        .response()?;
    assert_eq!(provider.ask("/livez").await?.0, 200);

    let log = Arc::<Mutex<Vec<u8>>>::default();
    let reading = Arc::clone(&log);
    std::thread::spawn(move || {
        let mut bytes = [0; 1 << 16];
        while let Ok(count @ 1..) = unread.read(&mut bytes) {
            if let Ok(mut log) = reading.lock() {
                log.extend_from_slice(&bytes[..count]);
            }
        }
    });
    eventually(LONG, "a line of the log", async || {
        let mut late = class(ONE);
        "late".clone_into(&mut late.name);
        let volume = stage.volume_of("web", late)?;
        driver.mount(&volume.first_mount()).await?.response()?;
        let log = log.lock().map_err(|error| anyhow!("{error}"))?;
        let log = String::from_utf8_lossy(&log);
        ensure!(log.contains("\"class\":\"late\""), "{} bytes", log.len());
        Ok(())
    })
    .await
}

/// P7: neither does a log whose device is full.
#[tokio::test]
async fn a_full_device_for_the_log_holds_nothing_up() -> Result<()> {
    let stage = Stage::set().await?;
    let full = File::options().write(true).open("/dev/full")?;
    let scarcity = Scarcity {
        stdout: Some(full.into()),
        ..Scarcity::default()
    };
    let provider = provider(&stage, scarcity).await?;
    let driver = provider.driver()?;
    for _ in 0..10 {
        let volume = stage.volume(ONE)?;
        driver.mount(&volume.first_mount()).await?.response()?;
    }
    eventually(LONG, "lines that are counted", async || {
        let dropped = dropped(&provider).await?;
        ensure!(dropped >= 10.0, "{dropped} lines");
        Ok(())
    })
    .await
}
