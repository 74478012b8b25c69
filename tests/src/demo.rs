//! `make demo`: pods of `examples/` mount from a real store through the real provider, without a cluster.
//!
//! The demo fails when what it shows is not as it says: a rotated secret that does not arrive, a file
//! that changes without reason, a credential that is issued twice. All that it starts and writes
//! is owned by the future of `run` and ends when that is dropped.

/// A folder of `examples/`.
pub mod example;
/// What `expected.yaml` says of a file.
pub mod expected;
/// The pods of the demo with their volumes.
mod pods;
/// Progress and tables.
pub mod screen;
/// Scripts that end with their owner.
pub mod script;
/// The store of the demo.
mod store;

use std::fs;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::fixture::{directory, repository};
use crate::provider::{DEFAULT_MEMORY, ProviderProcess};
use example::Example;
use pods::Pods;
use screen::Screen;
use store::Store;

/// Which examples, and how many pods of each. `kubernetes-auth`, `namespaces` and `tls` need more than a dev store.
const PODS: [(&str, usize); 9] = [
    ("jwt-auth", 1),
    ("kv-v1", 1),
    ("kv-v2", 3),
    ("kv-v2-version", 1),
    ("pki", 1),
    ("leased", 2),
    ("whole-json", 1),
    ("encodings", 1),
    ("optional", 1),
];
/// Which of them gets a new secret, and the file that holds it.
const ROTATED: (&str, &str) = ("kv-v2", "api/token");
/// How often every volume is published again after the rotation was seen.
const REPUBLISHES: usize = 5;

/// Shows everything; with `keep`, leaves the files of the pods in `demo-out`.
///
/// # Errors
/// When something cannot be started, or is not as the demo says.
pub async fn run(screen: &Screen, keep: bool) -> Result<()> {
    screen.step("A development store: OpenBao on loopback")?;
    let store = Store::start(screen).await?;
    screen.detail(&format!("{} at {}", store.title().await?, store.address()))?;

    screen.step("The store's side of the examples, by their setup.sh")?;
    let examples = read_examples()?;
    store.set_up(&examples).await?;
    screen.detail(&format!(
        "{} secrets with policy and role: {}",
        examples.len(),
        PODS.map(|(name, _)| name).join(", ")
    ))?;

    screen.step("Coffer on a unix socket, as the driver expects it")?;
    let files = directory("demo")?;
    let mut provider = start_provider(&store, files.path()).await?;
    screen.detail(&format!("{}", provider.socket().display()))?;

    screen.step("Pods start: the driver mounts a volume for each")?;
    let mut pods = Pods::new(&provider, &examples)?;
    pods.publish(&store).await?;
    pods.verify(&examples)?;
    screen.table(&pods.table()?)?;
    if keep {
        let place = repository().join("demo-out");
        pods.copy_to(&place)?;
        screen.detail("these files stay in demo-out")?;
    }

    screen.step("A secret changes in the store: only its file changes in the pods")?;
    rotate(screen, &store, &mut pods).await?;

    screen
        .step("Credentials with a lease: one for each pod, however often volumes are published")?;
    republish(screen, &store, &mut pods).await?;

    screen.step("What it cost, by /metrics")?;
    costs(screen, &provider, &pods).await?;

    let status = provider.stop().await?;
    ensure!(
        status.success(),
        "the provider ended with {status}: {}",
        provider.log()
    );
    drop((pods, provider, store, files));
    screen.end("Everything is stopped and removed.")
}

fn read_examples() -> Result<Vec<(Example, usize)>> {
    let examples = PODS.into_iter();
    examples
        .map(|(name, pods)| Ok((Example::read(name)?, pods)))
        .collect()
}

/// Without a cluster, the keys that prove tokens come from a file and the key of versions is made at the start.
async fn start_provider(store: &Store, place: &std::path::Path) -> Result<ProviderProcess> {
    let jwks = place.join("jwks.json");
    fs::write(&jwks, store.jwks().to_string())?;
    let jwks = jwks.to_str().context("a directory that is not UTF-8")?;
    let alone = ["--kubeconfig", "off", "--hmac-source", "generate"];
    let arguments = [&alone[..], &["--jwks-file", jwks]].concat();
    let provider = ProviderProcess::start(&arguments, &DEFAULT_MEMORY).await?;
    provider.settled().await?;
    Ok(provider)
}

async fn rotate(screen: &Screen, store: &Store, pods: &mut Pods) -> Result<()> {
    let (example, file) = ROTATED;
    let data = json!({"token": "demo-rotated-token", "endpoint": "https://api.example.com"});
    store.vault().kv2_put("secret", "shop/api", &data).await?;
    let changes = pods.republish(store).await?;
    for change in &changes {
        ensure!(
            change.new_version,
            "{} {} changed without its version",
            change.pod,
            change.path
        );
        screen.changed(&format!(
            "{} {} {} -> {}",
            change.pod, change.path, change.before, change.after
        ))?;
    }
    let found: Vec<(&str, &str)> = changes
        .iter()
        .map(|change| (change.pod.as_str(), change.path.as_str()))
        .collect();
    let of_example = pods.names_of(example);
    let wanted: Vec<(&str, &str)> = of_example.iter().map(|pod| (pod.as_str(), file)).collect();
    ensure!(
        found == wanted,
        "these files changed: {found:?} instead of {wanted:?}"
    );
    let others = pods.files()? - changes.len();
    screen.detail(&format!(
        "the other {others} files kept their bytes and their versions"
    ))
}

async fn republish(screen: &Screen, store: &Store, pods: &mut Pods) -> Result<()> {
    for _ in 0..REPUBLISHES {
        let changes = pods.republish(store).await?;
        ensure!(changes.is_empty(), "changed without reason: {changes:?}");
    }
    let path = "sys/leases/lookup/pki-leased/issue/web?list=true";
    let reply = store.vault().read(path).await?;
    let leases = reply["data"]["keys"].as_array().map_or(0, Vec::len);
    let wanted = pods.names_of("leased").len();
    ensure!(leases == wanted, "{leases} leases for {wanted} pods");
    screen.detail(&format!(
        "{REPUBLISHES} more rounds over all volumes changed nothing; the store holds {leases} leases for {wanted} pods"
    ))
}

async fn costs(screen: &Screen, provider: &ProviderProcess, pods: &Pods) -> Result<()> {
    let (_, text) = provider.ask("/metrics").await?;
    let sum = |family: &str, label: &str| -> f64 {
        let series = text
            .lines()
            .filter_map(|line| line.strip_prefix(family)?.strip_prefix('{'));
        series
            .filter(|line| line.contains(label))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    let mounts = sum("coffer_mount_requests_total", "code=\"Ok\"");
    let logins = sum("coffer_logins_total", "result=\"ok\"");
    let requests = sum("coffer_store_requests_total", "");
    let (accounts, rounds) = (pods.service_accounts(), 2 + REPUBLISHES);
    screen.detail(&format!(
        "{mounts} mounts by {} pods of {accounts} service accounts",
        pods.len()
    ))?;
    screen.detail(&format!(
        "{logins} logins, {requests} requests to the store, logins among them"
    ))?;
    for (what, counted, wanted) in [
        ("mounts", mounts, pods.len() * rounds),
        ("logins", logins, accounts),
    ] {
        ensure!(
            counted.to_string() == wanted.to_string(),
            "/metrics counts {counted} {what} instead of {wanted}"
        );
    }
    Ok(())
}
