//! Real sockets in temporary directories; accepting is also played from a script.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::StreamExt;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::accept::{Acceptor, Listen, allowed};
use super::{BoundSocket, FileKind, SocketError, bind};

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

async fn first_byte_passes(socket: BoundSocket) {
    let path = socket.path().to_path_buf();
    let (_file, incoming) = socket.into_incoming(|| {}).unwrap();
    let mut incoming = std::pin::pin!(incoming);
    let client = async {
        let mut client = UnixStream::connect(path).await.unwrap();
        client.write_all(b"x").await.unwrap();
        client
    };
    let (_client, accepted) = tokio::join!(client, incoming.next());
    assert_eq!(accepted.unwrap().unwrap().read_u8().await.unwrap(), b'x');
}

#[tokio::test]
async fn the_socket_is_private_and_alone_in_its_directory() {
    let directory = directory();
    let path = directory.path().join("vault.sock");
    let socket = bind(&path).unwrap();
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    assert_eq!(names(directory.path()), ["vault.sock"]);
    assert!(socket.still_ours());
    first_byte_passes(socket).await;
    assert_eq!(
        names(directory.path()),
        [""; 0],
        "the file goes with the last of us"
    );
}

#[tokio::test]
async fn a_stale_socket_is_replaced() {
    let directory = directory();
    let path = directory.path().join("vault.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    std::os::unix::net::UnixStream::connect(&path).expect_err("nobody listens");
    first_byte_passes(bind(&path).unwrap()).await;
}

#[tokio::test]
async fn an_overlapping_start_takes_the_name_and_keeps_it() {
    let directory = directory();
    let path = directory.path().join("vault.sock");
    let first = bind(&path).unwrap();
    let second = bind(&path).unwrap();
    assert!(!first.still_ours());
    assert!(second.still_ours());
    let (file, incoming) = first.into_incoming(|| {}).unwrap();
    drop(incoming);
    assert!(!file.unlink_if_ours().unwrap());
    drop(file);
    assert!(second.still_ours());
    first_byte_passes(second).await;
}

#[test]
fn a_deleted_file_is_noticed_also_when_another_socket_follows() {
    let directory = directory();
    let path = directory.path().join("vault.sock");
    let socket = bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert!(!socket.still_ours());
    let _stranger = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert!(!socket.still_ours());
    drop(socket);
    assert!(path.exists(), "the stranger's socket stays");
}

#[test]
fn unlinking_happens_once() {
    let directory = directory();
    let path = directory.path().join("vault.sock");
    let socket = bind(&path).unwrap();
    assert!(socket.file.unlink_if_ours().unwrap());
    assert!(!path.exists());
    assert!(!socket.file.unlink_if_ours().unwrap());
}

#[test]
fn what_is_no_socket_is_refused_and_left() {
    let directory = directory();
    let path = directory.path().join("vault.sock");
    let elsewhere = directory.path().join("elsewhere");
    drop(std::os::unix::net::UnixListener::bind(&elsewhere).unwrap());
    type Make<'a> = Box<dyn Fn() + 'a>;
    let cases: [(FileKind, Make<'_>); 4] = [
        (
            FileKind::Regular,
            Box::new(|| fs::write(&path, "kept").unwrap()),
        ),
        (
            FileKind::Symlink,
            Box::new(|| symlink(&elsewhere, &path).unwrap()),
        ),
        (
            FileKind::Symlink,
            Box::new(|| symlink("nowhere", &path).unwrap()),
        ),
        (
            FileKind::Directory,
            Box::new(|| fs::create_dir(&path).unwrap()),
        ),
    ];
    for (expected, make) in cases {
        make();
        let before = fs::symlink_metadata(&path).unwrap();
        let error = bind(&path).unwrap_err();
        assert!(
            matches!(error, SocketError::Occupied { kind, .. } if kind == expected),
            "{error}"
        );
        let text = error.to_string();
        assert!(
            text.contains(path.to_str().unwrap()) && text.contains(&expected.to_string()),
            "{text}"
        );
        let after = fs::symlink_metadata(&path).unwrap();
        assert_eq!((before.ino(), before.mode()), (after.ino(), after.mode()));
        assert_eq!(
            names(directory.path()).len(),
            2,
            "nothing else is left behind"
        );
        if expected != FileKind::Directory {
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_missing_directory_or_a_file_in_its_place_is_named() {
    let directory = directory();
    let missing = directory.path().join("missing");
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    for parent in [missing, file] {
        let error = bind(&parent.join("vault.sock")).unwrap_err();
        assert!(
            matches!(&error, SocketError::Directory { path, .. } if *path == parent),
            "{error}"
        );
    }
}

#[test]
fn a_path_without_a_name_is_refused() {
    for path in ["", "/", "/run/.."] {
        let error = bind(Path::new(path)).unwrap_err();
        let refused = matches!(error, SocketError::NoFileName { .. });
        assert!(refused, "{path:?}: {error}");
    }
}

#[test]
fn the_longest_path_works_and_one_byte_more_is_told() {
    let directory = directory();
    let base = directory.path().as_os_str().len() + 1;
    let longest = directory.path().join("s".repeat(107 - base));
    drop(bind(&longest).unwrap());
    let error = bind(&directory.path().join("s".repeat(108 - base))).unwrap_err();
    assert!(
        matches!(error, SocketError::TooLong { excess: 1, .. }),
        "{error}"
    );
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn a_short_name_in_a_deep_directory_counts_the_temporary_name() {
    let directory = directory();
    let base = directory.path().as_os_str().len() + 1;
    let deep = directory.path().join("d".repeat(107 - base - 2));
    fs::create_dir(&deep).unwrap();
    let error = bind(&deep.join("s")).unwrap_err();
    assert!(
        matches!(error, SocketError::TooLong { excess: 6, .. }),
        "{error}"
    );
    assert_eq!(names(&deep), [""; 0]);
}

#[test]
fn root_and_our_own_uid_may_call() {
    for (peer, own, expected) in [
        (0, 0, true),
        (0, 65532, true),
        (65532, 65532, true),
        (65534, 0, false),
        (65532, 65534, false),
    ] {
        assert_eq!(allowed(peer, own), expected, "peer {peer}, own {own}");
    }
}

/// Plays back accepts and stays pending after the last.
struct Script(RefCell<VecDeque<Accepted>>);

type Accepted = io::Result<(UnixStream, Option<u32>)>;

impl Script {
    fn new(accepts: impl IntoIterator<Item = Accepted>) -> Self {
        Self(RefCell::new(accepts.into_iter().collect()))
    }
}

impl Listen for Script {
    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<Accepted> {
        self.0
            .borrow_mut()
            .pop_front()
            .map_or(Poll::Pending, Poll::Ready)
    }
}

#[tokio::test]
async fn a_foreign_uid_is_closed_and_counted_and_the_next_caller_served() {
    let (mut foreign, foreign_end) = UnixStream::pair().unwrap();
    let (mut unknown, unknown_end) = UnixStream::pair().unwrap();
    let (mut own, own_end) = UnixStream::pair().unwrap();
    let script = Script::new([
        Ok((foreign_end, Some(65534))),
        Ok((unknown_end, None)),
        Ok((own_end, Some(65532))),
    ]);
    let rejected = Rc::new(Cell::new(0));
    let counter = Rc::clone(&rejected);
    let mut acceptor = Acceptor::new(script, 65532, move || counter.set(counter.get() + 1));

    let mut served = acceptor.next().await;
    assert_eq!(rejected.get(), 2);
    assert_eq!(foreign.read(&mut [0]).await.unwrap(), 0, "closed");
    assert_eq!(unknown.read(&mut [0]).await.unwrap(), 0, "closed");
    served.write_all(b"x").await.unwrap();
    assert_eq!(own.read_u8().await.unwrap(), b'x');
}

#[tokio::test(start_paused = true)]
async fn failing_accepts_are_tried_again_with_growing_pauses_up_to_a_second() {
    const EMFILE: i32 = 24;
    let failure = || Err(io::Error::from_raw_os_error(EMFILE));
    let (_one, one_end) = UnixStream::pair().unwrap();
    let (_two, two_end) = UnixStream::pair().unwrap();
    let failures = (0..10).map(|_| failure());
    let script =
        Script::new(failures.chain([Ok((one_end, Some(0))), failure(), Ok((two_end, Some(0)))]));
    let mut acceptor = Acceptor::new(script, 0, || {});

    let start = Instant::now();
    acceptor.next().await;
    let pauses = [10, 20, 40, 80, 160, 320, 640, 1000, 1000, 1000];
    assert_eq!(start.elapsed(), Duration::from_millis(pauses.iter().sum()));

    let start = Instant::now();
    acceptor.next().await;
    assert_eq!(
        start.elapsed(),
        Duration::from_millis(10),
        "a success starts anew"
    );
}

#[tokio::test]
async fn our_own_connections_reach_the_stream_and_reject_nobody() {
    let directory = directory();
    let path = directory.path().join("vault.sock");
    let rejected = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&rejected);
    let socket = bind(&path).unwrap();
    let (_file, incoming) = socket
        .into_incoming(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .unwrap();
    let _clients = [
        UnixStream::connect(&path).await.unwrap(),
        UnixStream::connect(&path).await.unwrap(),
    ];
    let accepted: Vec<_> = incoming.take(2).collect().await;
    assert!(accepted.iter().all(Result::is_ok));
    assert_eq!(rejected.load(Ordering::Relaxed), 0);
}
