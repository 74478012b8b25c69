//! The adapter: what a reader gets, and that writing is passed on.

use std::io::{self, IoSlice, Write};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex};

use super::{
    DATA, END_HEADERS, HEADERS, HUFFMAN, INDEXED, PLAIN, REWRITTEN, SOCKET_PATH, connection, frame,
    header_lists, request, rewrite,
};
use crate::authority::AuthorityFilter;

async fn read_through(stream: Vec<u8>, pipe: usize) -> Vec<u8> {
    let (mut client, server) = duplex(pipe);
    let mut filter = AuthorityFilter::new(server);
    let write = async move { client.write_all(&stream).await };
    let mut out = Vec::new();
    let (written, read) = tokio::join!(write, filter.read_to_end(&mut out));
    written.unwrap();
    read.unwrap();
    out
}

fn two_calls() -> Vec<u8> {
    connection(&[
        frame(HEADERS, END_HEADERS, 1, &request(HUFFMAN, SOCKET_PATH)),
        frame(DATA, 0, 1, &vec![b'/'; 16_384]),
        frame(HEADERS, END_HEADERS, 3, &request(PLAIN, SOCKET_PATH)),
    ])
}

#[tokio::test]
async fn a_reader_gets_the_rewritten_stream_through_any_pipe() {
    for pipe in [1, 7, 64, 1 << 20] {
        let out = read_through(two_calls(), pipe).await;
        assert_eq!(
            out,
            rewrite([two_calls().as_slice()]),
            "pipe of {pipe} bytes"
        );
    }
}

#[tokio::test]
async fn a_frame_cut_by_the_end_of_the_stream_is_handed_out() {
    let whole = two_calls();
    for length in [0, 10, 24, 30, 60, whole.len() - 1] {
        let out = read_through(whole[..length].to_vec(), 4096).await;
        assert_eq!(out.len(), length);
    }
}

#[tokio::test]
async fn bytes_before_an_incomplete_headers_frame_are_not_delayed() {
    let (mut client, server) = duplex(4096);
    let mut filter = AuthorityFilter::new(server);
    let headers = frame(HEADERS, END_HEADERS, 1, &request(PLAIN, SOCKET_PATH));
    let start = connection(&[headers[..headers.len() - 1].to_vec()]);
    client.write_all(&start).await.unwrap();

    let mut first = vec![0; super::PREFACE.len() + 9];
    filter.read_exact(&mut first).await.unwrap();
    assert_eq!(first, start[..first.len()]);

    client
        .write_all(&headers[headers.len() - 1..])
        .await
        .unwrap();
    let mut block = vec![0; headers.len() - 9];
    filter.read_exact(&mut block).await.unwrap();
    let lists = header_lists(&[first, block].concat());
    assert!(lists[0].contains(&(b":authority".to_vec(), REWRITTEN.into())));
}

#[tokio::test]
async fn what_the_server_writes_is_not_changed() {
    let (mut client, server) = duplex(4096);
    let mut filter = AuthorityFilter::new(server);
    assert_eq!(
        filter.is_write_vectored(),
        filter.get_ref().is_write_vectored()
    );
    let [head, tail] = [two_calls(), SOCKET_PATH.into()];
    let parts = [IoSlice::new(&head[..100]), IoSlice::new(&tail)];
    let written = filter.write_vectored(&parts).await.unwrap();
    filter.write_all(&tail).await.unwrap();
    filter.flush().await.unwrap();
    filter.shutdown().await.unwrap();
    let mut out = Vec::new();
    client.read_to_end(&mut out).await.unwrap();
    assert_eq!(
        out,
        [&[&head[..100], &tail].concat()[..written], &tail].concat()
    );
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap();
        String::from_utf8_lossy(&bytes)
            .lines()
            .map(ToOwned::to_owned)
            .collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that reading these calls leaves in the log.
async fn logged(authority: &str) -> Vec<String> {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let call = frame(HEADERS, END_HEADERS, 1, &request(INDEXED, authority));
    read_through(connection(&[call.clone(), call]), 4096).await;
    log.lines()
}

#[tokio::test]
async fn the_first_rewrite_is_one_line_that_names_the_driver_version() {
    let lines = logged(SOCKET_PATH).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("INFO") && lines[0].contains("driver 1.5.6"),
        "{lines:?}"
    );
    assert_eq!(logged("localhost").await, [""; 0]);
}
