//! What every test needs: a directory of its own, a free port, a wait that ends, a binary that is there.
//!
//! Nothing about the driver or the store.

use std::collections::HashSet;
use std::fmt::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use ring::rand::{SecureRandom, SystemRandom};
use tempfile::TempDir;

/// Between two looks at a condition: short enough to cost nothing, long enough not to spin.
const POLL: Duration = Duration::from_millis(20);

/// The root of the repository.
#[must_use]
pub fn repository() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// A new directory, removed on drop. Its path is short, because a unix socket's may have 107 bytes only.
///
/// # Errors
/// When it cannot be made.
pub fn directory(name: &str) -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix(&format!("coffer-{name}-"))
        .tempdir()
        .context("making a temporary directory")
}

/// A TCP port of loopback that nobody listens on now and that this process has not handed out before.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    for _ in 0..100 {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let mut given = GIVEN.lock().map_err(|_| anyhow!("port list is poisoned"))?;
        if given.get_or_insert_default().insert(port) {
            return Ok(port);
        }
    }
    bail!("no free port on loopback")
}

/// Finds a program: `.tools/bin` of the repository first, then `PATH`; the first name that is there.
///
/// # Errors
/// When none is, with the places that were searched.
pub fn program(names: &[&str]) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places =
        std::iter::once(repository().join(".tools/bin")).chain(std::env::split_paths(&path));
    let places: Vec<PathBuf> = places.collect();
    names
        .iter()
        .flat_map(|name| places.iter().map(move |place| place.join(name)))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!(
                "this test needs `{}`: neither in .tools/bin of the repository nor on PATH",
                names.join("` or `")
            )
        })
}

/// An error that no further attempt can heal, such as a server that has ended: [`eventually`] stops at it.
#[derive(Debug)]
pub struct Hopeless(pub String);

impl fmt::Display for Hopeless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Hopeless {}

/// Waits until `attempt` succeeds, and says what it last said when it does not do so in time.
///
/// Each attempt is bounded by what is left of the time, so a hanging one ends too.
///
/// # Errors
/// The last error of `attempt`, under `what` and the time waited.
pub async fn eventually<T>(
    within: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let end = Instant::now() + within;
    let mut last = anyhow!("the first attempt did not end");
    loop {
        let left = end.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, attempt()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) if error.is::<Hopeless>() => return Err(error.context(what.to_owned())),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
        if Instant::now() + POLL >= end {
            return Err(last.context(format!("{what}: not within {within:?}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Random bytes as lower-case hexadecimal digits, two a byte.
///
/// # Errors
/// When the system gives no randomness.
pub fn random_hex(bytes: usize) -> Result<String> {
    let mut buffer = vec![0; bytes];
    SystemRandom::new()
        .fill(&mut buffer)
        .map_err(|_| anyhow!("the system gives no randomness"))?;
    let mut text = String::new();
    for byte in buffer {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

/// A new random UID in the form that Kubernetes gives to objects.
///
/// # Errors
/// As [`random_hex`].
pub fn uid() -> Result<String> {
    let hex = random_hex(15)?;
    let parts = (
        &hex[..8],
        &hex[8..12],
        &hex[12..15],
        &hex[15..18],
        &hex[18..30],
    );
    Ok(format!(
        "{}-{}-4{}-a{}-{}",
        parts.0, parts.1, parts.2, parts.3, parts.4
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let ports: HashSet<u16> = (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
    }

    #[test]
    fn a_missing_program_is_an_error_that_names_it_and_the_places() {
        let error = program(&["no-such-program", "nor-this"])
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "this test needs `no-such-program` or `nor-this`: neither in .tools/bin of the repository nor on PATH"
        );
        assert!(program(&["no-such-program", "sh"]).unwrap().ends_with("sh"));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_value_or_with_the_last_error() {
        let mut left = 3;
        let value = eventually(Duration::from_secs(10), "counting down", || {
            left -= 1;
            std::future::ready(if left == 0 {
                Ok("done")
            } else {
                Err(anyhow!("{left} left"))
            })
        });
        assert_eq!(value.await.unwrap(), "done");

        let never = eventually(Duration::from_millis(50), "the impossible", || async {
            Result::<()>::Err(anyhow!("still not"))
        });
        let error = format!("{:#}", never.await.unwrap_err());
        assert_eq!(error, "the impossible: not within 50ms: still not");
    }

    #[tokio::test]
    async fn waiting_ends_at_once_when_there_is_no_hope() {
        let mut attempts = 0;
        let hopeless = eventually(Duration::from_secs(600), "a dead server", async || {
            attempts += 1;
            Result::<()>::Err(Hopeless("it ended".to_owned()).into())
        });
        let error = format!("{:#}", hopeless.await.unwrap_err());
        assert_eq!(error, "a dead server: it ended");
        assert_eq!(attempts, 1);
    }

    #[tokio::test]
    async fn an_attempt_that_hangs_is_cut_off() {
        let hanging = eventually(
            Duration::from_millis(50),
            "silence",
            std::future::pending::<Result<()>>,
        );
        let error = format!("{:#}", hanging.await.unwrap_err());
        assert!(error.contains("did not end"), "{error}");
    }

    #[test]
    fn a_uid_has_the_shape_of_a_random_uuid() {
        let uid = uid().unwrap();
        let lengths: Vec<usize> = uid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12], "{uid}");
    }
}
