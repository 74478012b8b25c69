//! The level of real servers: OpenBao, a real kube-apiserver, PostgreSQL, real drivers' client code.
//!
//! Nothing here that `it` could show. A missing server fails and says how to get it. All cases run in one
//! process (`cargo test`, not nextest), because they share the servers of `world`.

mod acceptance;
mod attributes;
mod chart;
mod cli;
mod cluster;
mod database;
mod documents;
mod drivers;
mod engines;
mod events;
mod examples;
mod flags;
mod leases;
mod optional;
mod outages;
mod parameters;
mod rows;
mod secret_types;
mod stage;
mod sync;
mod sync_crds;
mod sync_objects;
mod sync_policies;
mod sync_rights;
mod tls;
mod units;
mod upstream;
mod version_key;
mod world;
