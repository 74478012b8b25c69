//! That what is compared with is what the driver's libraries send: the corpus is what the generators in
//! `tests/wire` write now, and the harness sends the headers of the corpus.
//!
//! The texts of requests are compared in `attributes`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use httlib_hpack::Decoder;
use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};

use super::attributes::{Class, Pod, Volume};
use super::client::{Driver, DriverOptions};
use crate::fixture::{directory, program, repository};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Type of a HEADERS frame, RFC 9113, section 6.2.
const HEADERS: u8 = 1;
/// The end of a header list is in the same frame.
const END_HEADERS: u8 = 4;

fn corpus() -> PathBuf {
    repository().join("tests/wire/corpus")
}

fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// The capture of a client, without what differs from run to run: `grpc-timeout` is what is left of two
/// minutes when the call is written.
fn capture(directory: &Path, grpc: &str) -> Value {
    let mut capture = json(&directory.join(format!("decoded/authority-grpc-{grpc}.json")));
    for request in capture["requests"].as_array_mut().unwrap() {
        for header in request["headers"].as_array_mut().unwrap() {
            if header["name"] == "grpc-timeout" {
                header["value"] = rounded(header["value"].as_str().unwrap()).into();
            }
        }
    }
    capture
}

/// Milliseconds below two minutes as two minutes; anything else as it is.
fn rounded(timeout: &str) -> String {
    let milliseconds = timeout.strip_suffix('m').and_then(|n| n.parse().ok());
    match milliseconds {
        Some(60_000..=120_000) => "120000m".to_owned(),
        _ => timeout.to_owned(),
    }
}

/// The header list of one call of a capture.
fn headers(capture: &Value, call: usize) -> BTreeSet<(String, String)> {
    let list = capture["requests"][call]["headers"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.iter()
        .map(|header| (text(&header["name"]), text(&header["value"])))
        .collect()
}

/// The header list of the first call on a connection.
async fn first_call(mut stream: UnixStream) -> BTreeSet<(String, String)> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await.unwrap();
    assert_eq!(preface, PREFACE);
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            assert_eq!(head[4], END_HEADERS, "padded, with priority or continued");
            return decode(payload);
        }
    }
}

fn decode(mut block: Vec<u8>) -> BTreeSet<(String, String)> {
    let mut list = Vec::new();
    Decoder::default().decode(&mut block, &mut list).unwrap();
    list.into_iter()
        .map(|(name, value, _)| {
            (
                String::from_utf8(name).unwrap(),
                String::from_utf8(value).unwrap(),
            )
        })
        .collect()
}

/// What the harness sends of a Mount.
async fn sent() -> BTreeSet<(String, String)> {
    let place = directory("wire").unwrap();
    let socket = place.path().join("p.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let driver = Driver::connect_with(&socket, DriverOptions::quick()).unwrap();
    let volume = Volume::new(Pod::new("default", "p").unwrap(), Class::new("c"));
    let call = tokio::spawn(async move { driver.mount_raw(&volume.first_mount()).await });
    let (stream, _) = listener.accept().await.unwrap();
    let headers = first_call(stream).await;
    call.abort();
    headers
}

/// tonic puts its own name behind that of grpc-go, which no provider can tell from a driver's build.
#[tokio::test]
async fn the_headers_of_a_call_are_those_of_the_current_driver() {
    let expected = headers(&capture(&corpus(), "1.79.3"), 0);
    let own = |(name, value): (String, String)| {
        let value = match name.as_str() {
            "grpc-timeout" => rounded(&value),
            "user-agent" => value
                .split_once(" tonic/")
                .map_or(value.clone(), |(agent, _)| agent.to_owned()),
            _ => value,
        };
        (name, value)
    };
    let sent: BTreeSet<_> = sent().await.into_iter().map(own).collect();
    assert_eq!(sent, expected);
}

/// So the one client stands for both, but for what the authority's own tests and `olddriver` show.
#[test]
fn old_drivers_differ_in_authority_and_release_alone() {
    let [old, new] = ["1.56.3", "1.79.3"].map(|grpc| capture(&corpus(), grpc));
    for call in [0, 1] {
        let (old, new) = (headers(&old, call), headers(&new, call));
        let names: Vec<&str> = old.difference(&new).map(|(name, _)| &name[..]).collect();
        assert_eq!(names, [":authority", "user-agent"]);
        assert_eq!(old.len(), new.len());
    }
    assert_eq!(
        old["requests"][0]["body_hex"],
        new["requests"][0]["body_hex"]
    );
}

fn run(name: &str, arguments: &[&str]) {
    let program = program(&[name]).expect("`tools/install.sh wire` builds it");
    let output = Command::new(program).args(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {told}");
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// Texts byte by byte; captures decoded, because frames beside the calls may change places.
#[test]
fn the_corpus_is_what_its_generators_write() {
    let place = directory("corpus").unwrap();
    let fresh = place.path();
    run("corpus", &[&fresh.display().to_string()]);
    for (program, grpc) in [("olddriver", "1.56.3"), ("newdriver", "1.79.3")] {
        let name = fresh.join(format!("authority-grpc-{grpc}"));
        run(program, &["-capture", &name.display().to_string()]);
        assert_eq!(capture(fresh, grpc), capture(&corpus(), grpc), "{grpc}");
    }
    assert_eq!(names(fresh), names(&corpus()));
    assert_eq!(
        names(&fresh.join("decoded")),
        names(&corpus().join("decoded"))
    );
    let mut cases = 0;
    for name in names(fresh).iter().filter(|name| name.ends_with(".json")) {
        let [fresh, kept] = [fresh, &corpus()].map(|place| fs::read(place.join(name)).unwrap());
        assert!(fresh == kept, "{name}: run tests/wire/regenerate.sh");
        cases += 1;
    }
    assert!(cases > 20, "only {cases} cases");
}
