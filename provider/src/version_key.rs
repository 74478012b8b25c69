//! The key of object versions: read or made once, then held, looked at again off the mount path.
//!
//! While there is no key, versions are empty as with the peers: a pod's start is worth more than a
//! version. A key that was had is never dropped because the API server is away.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use coffer_provider_core::version::VersionKey;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use crate::ports::VersionKeyStore;

/// The length of a made key, as with the peers.
const KEY_BYTES: usize = 32;

/// How long the start waits for the key before it serves without one.
const START_PATIENCE: Duration = Duration::from_secs(3);

/// Where the key comes from.
#[derive(Clone)]
pub enum KeyOrigin {
    /// A Kubernetes Secret, created if absent.
    Secret(Arc<dyn VersionKeyStore>),
    /// A file, such as that of a mounted Secret.
    File(PathBuf),
    /// Made at start: versions change with every restart and differ from node to node.
    Generated,
}

/// The key in use.
pub struct VersionKeys {
    origin: KeyOrigin,
    current: RwLock<Option<Arc<VersionKey>>>,
    /// Turns true when the start has looked for the key, found or not.
    settled: watch::Sender<bool>,
    loaded: Notify,
}

impl VersionKeys {
    /// There is no key before it is looked at.
    #[must_use]
    pub fn new(origin: KeyOrigin) -> Self {
        Self {
            origin,
            current: RwLock::new(None),
            settled: watch::Sender::new(false),
            loaded: Notify::new(),
        }
    }

    /// The key; none while it could not be had.
    #[must_use]
    pub fn current(&self) -> Option<Arc<VersionKey>> {
        self.current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Gets the key at start, but does not let pods wait for long.
    pub async fn settle(&self) {
        let loaded = tokio::time::timeout(START_PATIENCE, self.load()).await;
        self.settled.send_replace(true);
        let error = match loaded {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => format!("no answer within {} s", START_PATIENCE.as_secs()),
        };
        tracing::warn!(%error, "no version key yet: object versions are empty until it can be had");
    }

    /// Waits until [`Self::settle`] has ended: versions that fall empty at a restart and come back would
    /// make every running pod look changed.
    pub async fn wait(&self) {
        let mut settled = self.settled.subscribe();
        // Without a start nobody settles anything; then the key is absent.
        let _ = tokio::time::timeout(START_PATIENCE, settled.wait_for(|settled| *settled)).await;
    }

    /// Whether the next process will find the same key.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        !matches!(self.origin, KeyOrigin::Generated)
    }

    /// Waits, for ever if need be, until there is a key.
    pub async fn had(&self) -> Arc<VersionKey> {
        loop {
            let loaded = self.loaded.notified();
            if let Some(key) = self.current() {
                return key;
            }
            loaded.await;
        }
    }

    /// Looks at the origin for ever, every `pause`; sooner while there is no key.
    pub async fn keep(&self, pause: Duration) {
        if matches!(self.origin, KeyOrigin::Generated) {
            return;
        }
        loop {
            let pause = if self.current().is_some() {
                pause
            } else {
                pause.min(Duration::from_secs(5))
            };
            tokio::time::sleep(pause).await;
            if let Err(error) = self.load().await {
                tracing::warn!(%error, "the version key cannot be looked at, the one in use stays");
            }
        }
    }

    async fn load(&self) -> Result<(), String> {
        let bytes = match &self.origin {
            KeyOrigin::Secret(store) => store.get_or_create(make_key()?).await?,
            KeyOrigin::File(path) => tokio::fs::read(path)
                .await
                .map_err(|error| format!("{}: {error}", path.display()))?,
            KeyOrigin::Generated => {
                tracing::warn!(
                    "the version key is made anew at each start: object versions differ between nodes and restarts"
                );
                make_key()?.to_vec()
            }
        };
        let key = VersionKey::new(bytes).ok_or("the version key is empty")?;
        if self.current().is_some_and(|known| *known == key) {
            return Ok(());
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        self.loaded.notify_waiters();
        Ok(())
    }
}

fn make_key() -> Result<Zeroizing<Vec<u8>>, String> {
    let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| "the system gives no randomness".to_owned())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use async_trait::async_trait;
    use zeroize::Zeroizing;

    use super::{KeyOrigin, VersionKeys};
    use crate::ports::VersionKeyStore;

    /// Answers in turn, the last one for ever.
    struct Script(Mutex<Vec<Result<Vec<u8>, String>>>);

    #[async_trait]
    impl VersionKeyStore for Script {
        async fn get_or_create(&self, _: Zeroizing<Vec<u8>>) -> Result<Vec<u8>, String> {
            let mut script = self.0.lock().unwrap();
            if script.len() > 1 {
                script.remove(0)
            } else {
                script[0].clone()
            }
        }
    }

    fn keys(script: Vec<Result<Vec<u8>, String>>) -> Arc<VersionKeys> {
        Arc::new(VersionKeys::new(KeyOrigin::Secret(Arc::new(Script(
            Mutex::new(script),
        )))))
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_was_had_stays_while_the_origin_is_away() {
        let away = || Err("away".to_owned());
        let keys = keys(vec![away(), Ok(vec![1]), away(), Ok(vec![2])]);
        keys.settle().await;
        assert!(keys.current().is_none(), "pods start without a version");
        let keeper = tokio::spawn({
            let keys = Arc::clone(&keys);
            async move { keys.keep(Duration::from_secs(60)).await }
        });
        tokio::time::sleep(Duration::from_secs(6)).await;
        let first = keys.current().unwrap();
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(Arc::ptr_eq(&first, &keys.current().unwrap()));
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(
            !Arc::ptr_eq(&first, &keys.current().unwrap()),
            "a replaced key is taken over"
        );
        keeper.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_mount_waits_for_the_starts_look_at_the_key_but_not_for_long() {
        let keys = keys(vec![Ok(vec![1])]);
        let ((), ()) = tokio::join!(keys.wait(), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            keys.settle().await;
        });
        assert!(keys.current().is_some());
        let began = tokio::time::Instant::now();
        keys.wait().await;
        assert_eq!(began.elapsed(), Duration::ZERO, "settled is settled");
        let never = VersionKeys::new(KeyOrigin::Generated);
        never.wait().await;
        assert_eq!(began.elapsed(), super::START_PATIENCE);
    }

    #[tokio::test]
    async fn a_file_and_a_made_key_are_keys_and_an_empty_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = |bytes: &[u8]| {
            let path = dir.path().join("key");
            std::fs::write(&path, bytes).unwrap();
            VersionKeys::new(KeyOrigin::File(path))
        };
        for (keys, expected) in [
            (file(b"k"), true),
            (VersionKeys::new(KeyOrigin::Generated), true),
            (
                VersionKeys::new(KeyOrigin::File(dir.path().join("none"))),
                false,
            ),
        ] {
            keys.settle().await;
            assert_eq!(keys.current().is_some(), expected);
        }
        let empty = file(b"");
        empty.settle().await;
        assert!(empty.current().is_none());
    }
}
