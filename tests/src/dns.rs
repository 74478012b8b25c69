//! A nameserver whose every answer a test decides: hosts and SRV records over UDP, in process.
//!
//! The wire format (RFC 1035, RFC 2782) by hand, as far as a resolver needs it: one question in; records with
//! the addresses of their targets out, or that there is no such name. Targets of SRV records live on 127.0.0.1.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The life of every record: below what the provider believes a record for at most, above the least.
pub const TTL: Duration = Duration::from_secs(30);

const HEADER: usize = 12;
const A: u16 = 1;
const SRV: u16 = 33;

/// A reference to the name in the question, which follows the header.
const SAME_NAME: [u8; 2] = [0xc0, 12];

/// An SRV record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Srv {
    pub priority: u16,
    pub weight: u16,
    pub port: u16,
    pub target: String,
}

impl Srv {
    /// An only record, which leads to a port of this machine.
    #[must_use]
    pub fn here(port: u16) -> Self {
        Self {
            priority: 1,
            weight: 1,
            port,
            target: "localhost.".to_owned(),
        }
    }
}

/// The running nameserver; it ends on drop.
pub struct Nameserver {
    address: SocketAddr,
    shared: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    records: HashMap<String, Vec<Srv>>,
    hosts: HashMap<String, Ipv4Addr>,
    /// Ids and names of questions in the order they came.
    asked: Vec<(u16, String)>,
}

impl Nameserver {
    /// Starts one that knows no name, on a free port of loopback.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start() -> Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// The same on an address of the test's choice.
    ///
    /// # Errors
    /// When it cannot be had.
    pub async fn start_at(address: SocketAddr) -> Result<Self> {
        let socket = UdpSocket::bind(address).await?;
        let address = socket.local_addr()?;
        let shared = Arc::<Mutex<State>>::default();
        let task = tokio::spawn(serve(socket, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            task,
        })
    }

    /// Where it is asked.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the records of a name, such as `_http._tcp.store.test`.
    pub fn set(&self, name: &str, records: Vec<Srv>) {
        let mut state = lock(&self.shared);
        state.records.insert(name.to_owned(), records);
    }

    /// Sets the address of a host. It has no other, so that a question for another kind is answered by no record.
    pub fn host(&self, name: &str, address: Ipv4Addr) {
        lock(&self.shared).hosts.insert(name.to_owned(), address);
    }

    /// The names that were asked for, in the order of their questions. A question that is repeated, because
    /// its answer was lost or late, counts once.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        let state = lock(&self.shared);
        let mut seen = HashSet::new();
        let asked = state.asked.iter().filter(|asked| seen.insert(*asked));
        asked.map(|(_, name)| name.clone()).collect()
    }
}

impl Drop for Nameserver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn answer(&mut self, question: &Question<'_>) -> Vec<u8> {
        let id = u16::from_be_bytes(question.id);
        self.asked.push((id, question.name.clone()));
        if let Some(address) = self.hosts.get(&question.name) {
            return question.address(*address);
        }
        let known = self.records.get(&question.name);
        let records = known.filter(|_| question.kind == SRV);
        question.answer(records.map_or(&[][..], Vec::as_slice))
    }
}

fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(socket: UdpSocket, shared: Arc<Mutex<State>>) {
    let mut buffer = [0; 512];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let Some(question) = buffer.get(..length).and_then(Question::read) else {
            continue;
        };
        let answer = lock(&shared).answer(&question);
        // Whoever asked may have gone.
        let _ = socket.send_to(&answer, from).await;
    }
}

/// What a message asks.
struct Question<'a> {
    id: [u8; 2],
    /// In lower case, without a dot at its end.
    name: String,
    kind: u16,
    /// Name, kind and class as they came: an answer repeats them.
    bytes: &'a [u8],
}

impl<'a> Question<'a> {
    /// None of what is no question.
    fn read(message: &'a [u8]) -> Option<Self> {
        let id = *message.first_chunk::<2>()?;
        let body = message.get(HEADER..)?;
        let (mut labels, mut at) = (Vec::new(), 0);
        loop {
            let length = usize::from(*body.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            let label = body.get(at..at + length)?;
            labels.push(String::from_utf8_lossy(label).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes(*body.get(at..)?.first_chunk::<2>()?);
        Some(Self {
            id,
            name: labels.join("."),
            kind,
            bytes: body.get(..at + 4)?,
        })
    }

    /// The answer with the address of a host; without a record where the question is for another kind.
    fn address(&self, address: Ipv4Addr) -> Vec<u8> {
        let count = u16::from(self.kind == A);
        let mut message = self.head(0, [count, 0]);
        if self.kind == A {
            message.extend(resource(&SAME_NAME, A, &address.octets()));
        }
        message
    }

    /// Header and question of an answer with a code, and the numbers of its records and of further ones.
    fn head(&self, code: u8, [records, further]: [u16; 2]) -> Vec<u8> {
        let mut message = Vec::from(self.id);
        // An answer, recursion wanted and available.
        message.extend([0x81, 0x80 | code]);
        for number in [1, records, 0, further] {
            message.extend(number.to_be_bytes());
        }
        message.extend(self.bytes);
        message
    }

    /// The answer with these records; without any, that there is no such name.
    fn answer(&self, records: &[Srv]) -> Vec<u8> {
        let count = u16::try_from(records.len()).unwrap_or(u16::MAX);
        // 3 is "no such name".
        let code = if records.is_empty() { 3 } else { 0 };
        let mut message = self.head(code, [count, count]);
        for record in records {
            let numbers = [record.priority, record.weight, record.port];
            let mut data: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
            data.extend(wire(&record.target));
            message.extend(resource(&SAME_NAME, SRV, &data));
        }
        for record in records {
            let address = Ipv4Addr::LOCALHOST.octets();
            message.extend(resource(&wire(&record.target), A, &address));
        }
        message
    }
}

/// A name as its labels, each behind its length.
fn wire(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        // A label has 63 bytes at most; a longer one would be the test's mistake, and is no name.
        bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A resource record of the class "Internet".
fn resource(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let ttl = u32::try_from(TTL.as_secs()).unwrap_or(u32::MAX);
    let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
    let mut bytes = name.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend(1_u16.to_be_bytes());
    bytes.extend(ttl.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(data);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A question with the id 7, recursion wanted, as `dig` writes it.
    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend(wire(name));
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message
    }

    async fn ask(nameserver: &Nameserver, message: &[u8]) -> Result<Vec<u8>> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        socket.send_to(message, nameserver.address()).await?;
        let mut buffer = [0; 512];
        let received = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut buffer));
        let length = received.await??;
        Ok(buffer[..length].to_vec())
    }

    #[tokio::test]
    async fn a_known_name_is_answered_with_its_records_and_their_addresses() -> Result<()> {
        let nameserver = Nameserver::start().await?;
        nameserver.set("a.test", vec![Srv::here(0x1234)]);
        let asked = question("A.test", SRV);
        let mut expected = vec![0, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1];
        expected.extend(&asked[HEADER..]);
        expected.extend([0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 30, 0, 17]);
        expected.extend([0, 1, 0, 1, 0x12, 0x34]);
        expected.extend(b"\x09localhost\0");
        expected.extend(b"\x09localhost\0");
        expected.extend([0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 127, 0, 0, 1]);
        assert_eq!(ask(&nameserver, &asked).await?, expected);
        Ok(())
    }

    #[tokio::test]
    async fn a_host_has_one_address_and_is_known_all_the_same_where_another_is_wanted() -> Result<()>
    {
        let nameserver = Nameserver::start().await?;
        nameserver.host("a.test", Ipv4Addr::new(10, 1, 2, 3));
        let answer = ask(&nameserver, &question("a.test", A)).await?;
        assert_eq!(answer[..8], [0_u8, 7, 0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(answer[answer.len() - 4..], [10_u8, 1, 2, 3]);
        let aaaa = 28;
        let answer = ask(&nameserver, &question("a.test", aaaa)).await?;
        assert_eq!(answer[..8], [0_u8, 7, 0x81, 0x80, 0, 1, 0, 0]);
        Ok(())
    }

    #[tokio::test]
    async fn other_names_and_kinds_are_unknown_and_what_is_no_question_is_not_answered()
    -> Result<()> {
        let nameserver = Nameserver::start().await?;
        nameserver.set("a.test", vec![Srv::here(1)]);
        for (name, kind) in [("b.test", SRV), ("a.test", A)] {
            let asked = question(name, kind);
            let answer = ask(&nameserver, &asked).await?;
            assert_eq!(answer[..8], [0_u8, 7, 0x81, 0x83, 0, 1, 0, 0], "{name}");
            assert_eq!(answer[HEADER..], asked[HEADER..], "{name}");
        }
        for message in [&b""[..], b"short", &question("a.test", SRV)[..20]] {
            assert!(Question::read(message).is_none(), "{message:?}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_question_that_is_repeated_counts_once() -> Result<()> {
        let nameserver = Nameserver::start().await?;
        let mut later = question("a.test", SRV);
        later[1] = 8;
        for message in [
            question("a.test", SRV),
            question("a.test", SRV),
            question("b.test", SRV),
            later,
        ] {
            ask(&nameserver, &message).await?;
        }
        assert_eq!(nameserver.asked(), ["a.test", "b.test", "a.test"]);
        Ok(())
    }
}
