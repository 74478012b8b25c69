//! SRV records, asked of nameservers.
//!
//! A question and its answer, no more: who asks, how long an answer is believed and which record of it is
//! taken is decided elsewhere. Addresses of hosts are the system's own resolver's.

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use coffer_provider_core::target::SrvRecord;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, Record};
use hickory_resolver::system_conf::read_system_conf;

use crate::ports::{SrvAnswer, SrvLookup};

/// Whom to ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nameservers {
    /// Those of `/etc/resolv.conf`, by its search list and options.
    #[default]
    System,
    /// This one by UDP, for whole names.
    At(SocketAddr),
}

/// Asks nameservers.
pub struct Dns(Nameservers);

impl Dns {
    /// Nobody is asked yet.
    #[must_use]
    pub const fn new(nameservers: Nameservers) -> Self {
        Self(nameservers)
    }

    /// Made for one question, of which there are few: so a changed `/etc/resolv.conf` counts, as with the
    /// peers, and no memory of the library's outlives ours.
    async fn resolver(&self) -> Result<TokioResolver, String> {
        let (config, mut options) = match self.0 {
            Nameservers::System => system().await?,
            Nameservers::At(address) => (only(address), ResolverOpts::default()),
        };
        // That file names addresses, and reading it blocks.
        options.use_hosts_file = ResolveHosts::Never;
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(|error| error.to_string())
    }
}

#[async_trait]
impl SrvLookup for Dns {
    async fn lookup(&self, name: &str) -> Result<SrvAnswer, String> {
        let name = Name::from_ascii(name).map_err(|error| error.to_string())?;
        let resolver = self.resolver().await?;
        match resolver.srv_lookup(name).await {
            Ok(found) => Ok(answer(found.answers())),
            Err(error) if error.is_no_records_found() => Ok(SrvAnswer::default()),
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn system() -> Result<(ResolverConfig, ResolverOpts), String> {
    let read = tokio::task::spawn_blocking(read_system_conf).await;
    let config = read.map_err(|_| "reading /etc/resolv.conf was interrupted")?;
    config.map_err(|error| format!("/etc/resolv.conf cannot be used: {error}"))
}

fn only(address: SocketAddr) -> ResolverConfig {
    let mut udp = ConnectionConfig::udp();
    udp.port = address.port();
    let server = NameServerConfig::new(address.ip(), true, vec![udp]);
    ResolverConfig::from_name_servers(vec![server])
}

/// The SRV records of an answer, good for as long as all of it is, aliases on the way included.
fn answer(found: &[Record]) -> SrvAnswer {
    let records = found.iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => Some(SrvRecord {
            priority: srv.priority,
            weight: srv.weight,
            port: srv.port,
            host: srv.target.to_ascii(),
        }),
        _ => None,
    });
    let ttl = found.iter().map(|record| record.ttl).min();
    SrvAnswer {
        records: records.collect(),
        ttl: Duration::from_secs(u64::from(ttl.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coffer_provider_core::target::SrvRecord;
    use hickory_resolver::proto::rr::rdata::{CNAME, SRV};
    use hickory_resolver::proto::rr::{Name, RData, Record};

    use super::answer;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    #[test]
    fn srv_records_are_taken_from_an_answer_with_the_shortest_life_in_it() {
        let alias = CNAME(name("_http._tcp.b.example."));
        let node = SRV::new(1, 2, 8200, name("node.example."));
        let found = [
            Record::from_rdata(name("_http._tcp.a.example."), 20, RData::CNAME(alias)),
            Record::from_rdata(name("_http._tcp.b.example."), 30, RData::SRV(node)),
        ];
        let answer = answer(&found);
        assert_eq!(answer.ttl, Duration::from_secs(20));
        assert_eq!(
            answer.records,
            [SrvRecord {
                priority: 1,
                weight: 2,
                port: 8200,
                host: "node.example.".to_owned()
            }]
        );
        assert!(super::answer(&[]).records.is_empty());
    }
}
