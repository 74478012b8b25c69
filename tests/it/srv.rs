//! Addresses that name no port: where the operator wants it, SRV records of the host say where the store is.

use std::fs;

use anyhow::{Result, ensure};
use coffer_provider::dns::Nameservers;
use coffer_tests::dns::{Nameserver, Srv, TTL};
use coffer_tests::driver::Volume;
use coffer_tests::fixture::{directory, free_port};
use coffer_tests::scripted::{Reply, ScriptedStore};
use coffer_tests::tls::{Authority, Manner, TlsPeer};
use serde_json::json;

use crate::stage::{Failures, ONE, Simulation, class};

const READ: &str = "/v1/secret/data/a";
const STORE: &str = "http://store.test";
const NAME: &str = "_http._tcp.store.test";
const ON: (&str, &str) = ("vault-srv-lookup", "true");

/// A nameserver, and a provider that asks it.
async fn set(options: &[(&str, &str)]) -> Result<(Nameserver, Simulation)> {
    let nameserver = Nameserver::start().await?;
    let nameservers = Nameservers::At(nameserver.address());
    let simulation = Simulation::asking(nameservers, options).await?;
    Ok((nameserver, simulation))
}

/// The same with records that lead to the simulation's store.
async fn with_records() -> Result<(Nameserver, Simulation)> {
    let (nameserver, simulation) = set(&[ON]).await?;
    nameserver.set(NAME, vec![Srv::here(simulation.store.port())]);
    Ok((nameserver, simulation))
}

fn volume(simulation: &Simulation, account: &str, address: &str) -> Result<Volume> {
    simulation.volume(account, class(ONE).with("vaultAddress", address))
}

/// §5 VAULT_SRV_LOOKUP: host and port are those of the record, in the Host header too.
#[tokio::test]
async fn host_and_port_are_those_of_the_record() -> Result<()> {
    let (nameserver, simulation) = with_records().await?;
    let volume = volume(&simulation, "web", STORE)?;
    assert_eq!(simulation.mount(&volume).await?[0].1, "v");
    let host = format!("localhost:{}", simulation.store.port());
    let asked = simulation.store.requests();
    assert!(asked.len() > 1, "a login and a read");
    for asked in asked {
        assert_eq!(asked.header("host"), Some(&*host), "{}", asked.path);
    }
    assert_eq!(nameserver.asked(), [NAME]);
    Ok(())
}

/// The lowest priority counts, whatever the others weigh.
#[tokio::test]
async fn the_record_with_the_lowest_priority_is_taken() -> Result<()> {
    let (nameserver, simulation) = set(&[ON]).await?;
    let good = Srv::here(simulation.store.port());
    let worse = Srv {
        priority: 2,
        weight: 100,
        ..Srv::here(free_port()?)
    };
    nameserver.set(NAME, vec![worse, good]);
    let volume = volume(&simulation, "web", STORE)?;
    assert_eq!(simulation.mount(&volume).await?[0].1, "v");
    Ok(())
}

/// DNS is asked once for all requests of the record's life, and again after it.
#[tokio::test]
async fn an_answer_serves_all_mounts_of_its_life() -> Result<()> {
    let (nameserver, simulation) = with_records().await?;
    for (account, asked) in [("a", 1), ("b", 1)] {
        simulation
            .mount(&volume(&simulation, account, STORE)?)
            .await?;
        assert_eq!(nameserver.asked().len(), asked, "{account}");
    }
    simulation.provider.clock.advance(TTL);
    let moved = ScriptedStore::start().await?;
    moved.put("secret/data/a", json!({"k": "moved"}));
    nameserver.set(NAME, vec![Srv::here(moved.port())]);
    let volume = volume(&simulation, "c", STORE)?;
    assert_eq!(simulation.mount(&volume).await?[0].1, "moved");
    assert_eq!(nameserver.asked().len(), 2);
    Ok(())
}

/// Whether DNS is asked, and the URL that a proxy gets to see: so nothing here depends on other names.
#[tokio::test]
async fn an_address_that_says_where_the_store_is_asks_nobody() -> Result<()> {
    let mut failures = Failures::default();
    for (row, lookup, address, expected, asked) in [
        ("no record", "true", STORE, "http://store.test/v1/", true),
        (
            "switched off",
            "false",
            STORE,
            "http://store.test/v1/",
            false,
        ),
        (
            "a port",
            "true",
            "http://store.test:8200",
            "http://store.test:8200/v1/",
            false,
        ),
        (
            "the port of the scheme",
            "true",
            "http://store.test:80",
            "http://store.test/v1/",
            false,
        ),
        (
            "an IP address",
            "true",
            "http://192.0.2.1",
            "http://192.0.2.1/v1/",
            false,
        ),
    ] {
        let proxy = ScriptedStore::start().await?;
        let by_proxy = proxy.address();
        let options = [
            ("vault-srv-lookup", lookup),
            ("vault-proxy-addr", by_proxy.as_str()),
        ];
        let (nameserver, simulation) = set(&options).await?;
        if !asked {
            nameserver.set(NAME, vec![Srv::here(proxy.port())]);
        }
        let judged = async {
            // What stands in for the proxy knows no absolute URLs.
            simulation
                .fault(&volume(&simulation, "web", address)?)
                .await?;
            let came = proxy.requests();
            ensure!(!came.is_empty(), "no request");
            for came in came {
                ensure!(came.path.starts_with(expected), "{}", came.path);
            }
            let (names, expected) = (nameserver.asked(), usize::from(asked));
            ensure!(names.len() == expected, "asked for {names:?}");
            Ok(())
        };
        failures.note(row, judged.await);
    }
    failures.none()
}

/// N5: each of several addresses is looked up by itself, when its turn comes.
#[tokio::test]
async fn each_of_several_addresses_is_looked_up_on_its_own() -> Result<()> {
    let (nameserver, simulation) = set(&[ON]).await?;
    nameserver.set(NAME, vec![Srv::here(free_port()?)]);
    let second = "_http._tcp.second.test";
    nameserver.set(second, vec![Srv::here(simulation.store.port())]);
    let addresses = format!("{STORE}, http://second.test");
    let volume = volume(&simulation, "web", &addresses)?;
    assert_eq!(simulation.mount(&volume).await?[0].1, "v");
    assert_eq!(nameserver.asked(), [NAME, second]);
    Ok(())
}

/// S5: a redirect is followed to the host of the record, and to no other that is not named.
#[tokio::test]
async fn a_redirect_may_lead_to_the_records_host_only() -> Result<()> {
    let (_nameserver, simulation) = with_records().await?;
    let foreign = ScriptedStore::start().await?;
    simulation.store.put("secret/data/b", json!({"k": "next"}));
    let to = |place: &str| {
        let location = format!("http://{place}/v1/secret/data/b");
        Reply::text(307, "").header("location", &location)
    };
    let here = format!("localhost:{}", simulation.store.port());
    simulation.store.on(READ, to(&here));
    let followed = volume(&simulation, "a", STORE)?;
    assert_eq!(simulation.mount(&followed).await?[0].1, "next");

    simulation
        .store
        .on(READ, to(&format!("localhost:{}", foreign.port())));
    let refused = volume(&simulation, "b", STORE)?;
    let fault = simulation.fault(&refused).await?;
    assert!(fault.contains("not meant for that host"), "{fault}");
    assert_eq!(foreign.connections(), 0);
    Ok(())
}

/// N1: a certificate is checked for the record's host, or for the name that the class gives.
#[tokio::test]
async fn the_name_for_tls_is_the_records_host_unless_the_class_gives_one() -> Result<()> {
    let (nameserver, simulation) = set(&[ON]).await?;
    let directory = directory("srv")?;
    let authority = Authority::new("store")?;
    let ca = directory.path().join("ca.crt");
    fs::write(&ca, authority.pem())?;
    let peer = TlsPeer::start(Manner::Tls(authority.server(&["store.test"])?))?;
    let place = peer.place();
    let port: u16 = place.rsplit(':').next().unwrap_or_default().parse()?;
    nameserver.set(NAME, vec![Srv::here(port)]);
    let class = class(ONE)
        .with("vaultAddress", "https://store.test")
        .with("vaultCACertPath", &ca.display().to_string());
    for (account, name, expected) in [
        ("a", "", "failed (name localhost)"),
        // The peer has nothing to say after its handshake.
        ("b", "store.test", "broke off"),
    ] {
        let class = class.clone().with("vaultTLSServerName", name);
        let volume = simulation.volume(account, class)?;
        let fault = simulation.fault(&volume).await?;
        let expected = format!("store localhost:{port} {expected}");
        assert!(fault.contains(&expected), "{expected}: {fault}");
    }
    Ok(())
}
