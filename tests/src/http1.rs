//! HTTP/1.1 requests off a byte stream, whole and verbatim.
//!
//! Written by hand because both users need what a server library hides: the scripted store answers with
//! bytes that are no HTTP, the proxy passes on exactly what came. Only what clients of a store send is
//! understood: a length or chunks, never an upgrade.

use std::io;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

/// Larger heads and bodies are an error, so that a test cannot fill the memory.
const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A request as it came.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case, in the order they came.
    pub(crate) headers: Vec<(String, String)>,
    /// Decoded: without the framing of chunks.
    pub(crate) body: Bytes,
    /// Head and body as they were on the wire.
    pub(crate) raw: Vec<u8>,
}

/// Reads the next request; none when the peer closed between two.
///
/// # Errors
/// When the stream breaks, or holds what is no request.
pub(crate) async fn read_request<S: AsyncBufRead + Unpin>(
    stream: &mut S,
) -> Result<Option<Message>> {
    let mut raw = Vec::new();
    let Some(first) = read_line(stream, &mut raw).await? else {
        return Ok(None);
    };
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1")) = (words.next(), words.next(), words.next())
    else {
        bail!("not an HTTP/1.1 request line");
    };
    let headers = read_headers(stream, &mut raw).await?;
    let body = read_body(stream, &headers, &mut raw).await?;
    let (method, target) = (method.to_owned(), target.to_owned());
    Ok(Some(Message {
        method,
        target,
        headers,
        body: body.into(),
        raw,
    }))
}

/// The value of a header, by its name in lower case.
pub(crate) fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

async fn read_headers<S: AsyncBufRead + Unpin>(
    stream: &mut S,
    raw: &mut Vec<u8>,
) -> Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = read_line(stream, raw)
            .await?
            .context("the head is cut off")?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').context("a header without colon")?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

async fn read_body<S: AsyncBufRead + Unpin>(
    stream: &mut S,
    headers: &[(String, String)],
    raw: &mut Vec<u8>,
) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    if header(headers, "transfer-encoding").is_some() {
        loop {
            let line = read_line(stream, raw)
                .await?
                .context("chunks are cut off")?;
            let size =
                usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
            read_exact(stream, size, &mut body, raw).await?;
            read_line(stream, raw).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
    let length = header(headers, "content-length").map_or(Ok(0), str::parse)?;
    read_exact(stream, length, &mut body, raw).await?;
    Ok(body)
}

async fn read_exact<S: AsyncBufRead + Unpin>(
    stream: &mut S,
    size: usize,
    body: &mut Vec<u8>,
    raw: &mut Vec<u8>,
) -> Result<()> {
    if body.len() + size > MAX_BODY {
        bail!("a body above {MAX_BODY} bytes");
    }
    let start = body.len();
    body.resize(start + size, 0);
    stream.read_exact(&mut body[start..]).await?;
    raw.extend_from_slice(&body[start..]);
    Ok(())
}

/// A line without its end; none at the end of the stream.
async fn read_line<S: AsyncBufRead + Unpin>(
    stream: &mut S,
    raw: &mut Vec<u8>,
) -> Result<Option<String>> {
    let mut line = Vec::new();
    let limit = u64::try_from(MAX_HEAD)?;
    match (&mut *stream)
        .take(limit)
        .read_until(b'\n', &mut line)
        .await
    {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    raw.extend_from_slice(&line);
    let text = String::from_utf8(line).context("a head that is not UTF-8")?;
    Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_follow_each_other_on_one_stream() {
        let bytes = b"GET /v1/a?x=1 HTTP/1.1\r\nHost: h\r\nX-Vault-Token: t\r\n\r\n\
            PUT /v1/b HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody\
            POST /v1/c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        let mut stream = &bytes[..];
        let mut raw = Vec::new();
        for (method, target, body) in [
            ("GET", "/v1/a?x=1", ""),
            ("PUT", "/v1/b", "body"),
            ("POST", "/v1/c", "abcde"),
        ] {
            let request = read_request(&mut stream).await.unwrap().unwrap();
            assert_eq!(
                (request.method.as_str(), request.target.as_str()),
                (method, target)
            );
            assert_eq!(request.body, body);
            raw.extend(request.raw);
        }
        assert!(read_request(&mut stream).await.unwrap().is_none());
        assert_eq!(raw, bytes);
    }

    #[tokio::test]
    async fn what_is_cut_off_or_no_http_is_an_error() {
        for bytes in [
            "GET / HTTP/1.1\r\nHost: h\r\n",
            "\u{16}\u{3}\u{1}\n",
            "PUT / HTTP/1.1\r\ncontent-length: 9\r\n\r\nx",
        ] {
            assert!(
                read_request(&mut bytes.as_bytes()).await.is_err(),
                "{bytes:?}"
            );
        }
    }
}
