//! A real store behind the counting proxy, for the first mounts: what a login costs there is not small.

use anyhow::Result;
use serde_json::json;

use super::world::World;
use crate::proxy::Proxy;
use crate::vault::{JwtRole, Policy, Vault};

pub(super) struct OpenBao {
    /// In front of it; what passes is counted.
    pub(super) proxy: Proxy,
    pub(super) version: String,
    _vault: Vault,
}

impl OpenBao {
    /// With the world's issuer, its role, and secrets at the paths of so many objects.
    pub(super) async fn start(world: &World, objects: usize) -> Result<Self> {
        let vault = Vault::start().await?;
        world.issuer.enable(&vault, "jwt").await?;
        vault
            .policy("load", &Policy::read(&["secret/data/*"]))
            .await?;
        let role = JwtRole {
            name: "load",
            audience: Some("vault"),
            subject: None,
            policies: &["load"],
            ttl: "1h",
        };
        world.issuer.role(&vault, "jwt", &role).await?;
        for at in 0..objects {
            let value = json!({"password": format!("value-{at}")});
            vault
                .kv2_put("secret", &format!("load/{at}"), &value)
                .await?;
        }
        Ok(Self {
            proxy: Proxy::start(vault.address()).await?,
            version: vault.version().await?,
            _vault: vault,
        })
    }

    /// How many requests of the provider arrived.
    pub(super) fn arrived(&self) -> u64 {
        u64::try_from(self.proxy.count("")).unwrap_or(u64::MAX)
    }
}
