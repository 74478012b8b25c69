//! The connections of the scripted store: requests in, answers out, as badly as asked.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::reply::Reply;
use super::{Arrived, Shared};
use crate::http1::{Message, read_request};

/// Accepts until dropped; the connections end with it.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        shared.state().connections += 1;
        connections.spawn(connection(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>) {
    let (requests, mut answers) = stream.into_split();
    let mut requests = BufReader::new(requests);
    loop {
        // A peer that goes away is no concern of the store's; one that speaks no HTTP is told so.
        let message = match read_request(&mut requests).await {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(_) => {
                let refusal = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
                let _ = answers.write_all(refusal).await;
                return;
            }
        };
        let head_only = message.method == "HEAD";
        let reply = shared.answer(arrived(message));
        let reset = reply.reset;
        let flight = Flight(&shared);
        let open = tokio::select! {
            open = answer(&mut answers, reply, head_only) => matches!(open, Ok(true)),
            () = gone(&mut requests) => false,
        };
        drop(flight);
        if !open {
            if reset {
                // Dropping the half would send a FIN first.
                answers.forget();
            }
            return;
        }
    }
}

/// Ends when the peer has closed its side; never when it only sends on.
async fn gone(requests: &mut BufReader<OwnedReadHalf>) {
    if requests
        .fill_buf()
        .await
        .is_ok_and(|bytes| !bytes.is_empty())
    {
        std::future::pending::<()>().await;
    }
}

/// Counts one answer less in flight when dropped, also with its connection.
struct Flight<'a>(&'a Shared);

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.0.state().in_flight -= 1;
    }
}

fn arrived(message: Message) -> Arrived {
    let Message {
        method,
        target,
        headers,
        body,
        raw: _,
    } = message;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Arrived {
        method,
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body,
        at: Instant::now(),
    }
}

/// Sends an answer; whether the connection is fit for another request.
async fn answer(stream: &mut OwnedWriteHalf, reply: Reply, head_only: bool) -> io::Result<bool> {
    if let Some(gate) = &reply.gate {
        gate.notified().await;
    }
    tokio::time::sleep(reply.delay).await;
    if reply.never {
        return std::future::pending().await;
    }
    if reply.reset {
        // Without lingering the close is a RST.
        stream.as_ref().set_zero_linger()?;
        return Ok(false);
    }
    if reply.endless {
        return send_for_ever(stream, &reply).await;
    }
    if reply.verbatim {
        send(stream, &reply.body, &reply).await?;
        return Ok(false);
    }
    let body = if head_only { &[] } else { &reply.body[..] };
    let sent = &body[..reply.cut_after.unwrap_or(body.len()).min(body.len())];
    stream.write_all(head(&reply).as_bytes()).await?;
    send(stream, sent, &reply).await?;
    Ok(reply.cut_after.is_none())
}

fn head(reply: &Reply) -> String {
    let mut head = format!("HTTP/1.1 {} Scripted\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let framed = reply
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    if !framed && reply.status != 204 {
        head.push_str(&format!("content-length: {}\r\n", reply.body.len()));
    }
    head + "\r\n"
}

async fn send_for_ever(stream: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<bool> {
    let head = format!(
        "HTTP/1.1 {} Scripted\r\ntransfer-encoding: chunked\r\n\r\n",
        reply.status
    );
    stream.write_all(head.as_bytes()).await?;
    let size = format!("{:x}\r\n", reply.body.len());
    let chunk = [size.as_bytes(), &reply.body, b"\r\n"].concat();
    loop {
        stream.write_all(&chunk).await?;
    }
}

async fn send(stream: &mut OwnedWriteHalf, bytes: &[u8], reply: &Reply) -> io::Result<()> {
    let Some((size, pause)) = reply.pace else {
        stream.write_all(bytes).await?;
        return stream.flush().await;
    };
    for piece in bytes.chunks(size.max(1)) {
        stream.write_all(piece).await?;
        stream.flush().await?;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}
