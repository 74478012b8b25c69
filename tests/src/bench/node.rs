//! Scene `node`: a node starts, and all of its pods mount at once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::kubernetes::{Api, Kubernetes, kubeconfig};
use super::load::{Load, Outcome};
use super::machine::Usage;
use super::report::Section;
use super::table::{Table, cells, mebi, millis};
use super::world::{Scale, World};
use crate::fixture::eventually;
use crate::provider::{DEFAULT_MEMORY, ProviderProcess};

const PODS: [usize; 2] = [100, 250];
const OBJECTS: usize = 3;
/// How many mounts the driver has under way.
const AT_A_TIME: usize = 50;
/// What a provider asks the API server for at its start: keys, issuer, the version key and making one.
const AT_START: u64 = 4;

pub(super) async fn measure(scale: Scale) -> Result<Section> {
    let mut table = Table::new(&[
        "pods",
        "accounts",
        "all ms",
        "p50 ms",
        "p99 ms",
        "max ms",
        "logins",
        "reads",
        "Kubernetes requests at start",
        "Kubernetes requests of mounts",
        "provider CPU ms",
        "memory after, MiB",
    ]);
    for pods in PODS.map(|pods| scale.count(pods)) {
        for accounts in [pods, 1] {
            table.row(start(pods, accounts).await?);
        }
    }
    Ok(Section {
        scene: "node",
        title: format!("Node start, {OBJECTS} objects a pod, {AT_A_TIME} mounts at a time"),
        about: "A fresh provider each time, with an API server that counts: it has the keys of the tokens.".to_owned(),
        tables: vec![table],
        plots: Vec::new(),
    })
}

async fn start(pods: usize, accounts: usize) -> Result<Vec<String>> {
    let world = World::set().await?;
    let api = Api::new(&world.issuer.jwks(), world.issuer.issuer());
    let api = Kubernetes::start(api).await?;
    let provider = provider(&world, &api).await?;
    let asked_at_start = api.arrived();
    let frames = world.frames(pods, accounts, OBJECTS)?;
    let load = Load::one_line(provider.socket(), AT_A_TIME).await?;
    let usage = Usage::of(provider.pid())?;
    let outcome = load.count(pods, |at| frames[at].same()).await?.whole()?;
    let after = Usage::of(provider.pid())?;
    let Outcome { took, .. } = outcome;
    let mut row = vec![pods.to_string(), accounts.to_string(), millis(took)];
    row.extend(cells(outcome.summary()));
    let store = world.store.answers();
    row.extend([
        store.logins().to_string(),
        store.reads().to_string(),
        asked_at_start.to_string(),
        (api.arrived() - asked_at_start).to_string(),
        millis(after.since(&usage)),
        mebi(after.resident),
    ]);
    Ok(row)
}

/// A provider that has asked the API server all that it asks at its start.
async fn provider(world: &World, api: &Kubernetes) -> Result<ProviderProcess> {
    let place = crate::fixture::directory("kube")?;
    let file = place.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig(&api.address()))?;
    let file = file.to_str().context("a directory that is not UTF-8")?;
    let address = world.store.address();
    let arguments = [
        "-kubeconfig",
        file,
        "-vault-mount",
        "jwt",
        "-vault-addr",
        &address,
    ];
    let provider = ProviderProcess::start(&arguments, &DEFAULT_MEMORY).await?;
    provider.settled().await?;
    eventually(
        Duration::from_secs(10),
        "the provider's questions at its start",
        async || {
            let arrived = api.arrived();
            ensure!(arrived >= AT_START, "{arrived} of {AT_START} arrived");
            Ok(())
        },
    )
    .await?;
    Ok(provider)
}
