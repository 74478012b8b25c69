//! The whole point: a tonic server answers a call whose `:authority` is a path.

use coffer_proto::v1alpha1::csi_driver_provider_server::{
    CsiDriverProvider, CsiDriverProviderServer,
};
use coffer_proto::v1alpha1::{MountRequest, MountResponse, VersionRequest, VersionResponse};
use futures_util::stream::{self, StreamExt};
use httlib_hpack::Decoder;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status};

use super::{
    DATA, END_HEADERS, END_STREAM, HEADERS, HUFFMAN, INDEXED, PLAIN, RST_STREAM, SETTINGS,
    SOCKET_PATH, connection, decode, frame, recorded, request,
};
use crate::authority::AuthorityFilter;

struct Provider;

#[tonic::async_trait]
impl CsiDriverProvider for Provider {
    async fn version(
        &self,
        _: Request<VersionRequest>,
    ) -> Result<Response<VersionResponse>, Status> {
        Ok(Response::new(VersionResponse {
            version: "v1alpha1".into(),
            ..Default::default()
        }))
    }

    async fn mount(&self, _: Request<MountRequest>) -> Result<Response<MountResponse>, Status> {
        Err(Status::failed_precondition("reached"))
    }
}

#[derive(Debug, PartialEq)]
enum Answer {
    /// The `grpc-status` of the trailers.
    Status(String),
    /// The HTTP/2 error code of a RST_STREAM.
    Reset(u32),
}

const PROTOCOL_ERROR: u32 = 1;

/// Calls Version on a fresh server whose connection is wrapped by `wrap`.
async fn call<S>(wrap: impl FnOnce(DuplexStream) -> S, flags: u8, authority: &str) -> Answer
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let empty_message = [0; 5];
    let stream = connection(&[
        frame(SETTINGS, 0, 0, &[]),
        frame(HEADERS, END_HEADERS, 1, &request(flags, authority)),
        frame(DATA, END_STREAM, 1, &empty_message),
    ]);
    first_answer(wrap, &stream).await
}

/// Sends `stream` to a fresh server whose connection is wrapped by `wrap`.
async fn first_answer<S>(wrap: impl FnOnce(DuplexStream) -> S, stream: &[u8]) -> Answer
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let (mut client, accepted) = duplex(1 << 16);
    let incoming = stream::iter([Ok::<_, std::io::Error>(wrap(accepted))]).chain(stream::pending());
    let service = CsiDriverProviderServer::new(Provider);
    let server = tokio::spawn(Server::builder().serve_with_incoming(service, incoming));

    client.write_all(stream).await.unwrap();
    let answer = answer(&mut client).await;
    server.abort();
    answer
}

async fn answer(client: &mut DuplexStream) -> Answer {
    let mut decoder = Decoder::default();
    loop {
        let mut head = [0; 9];
        client
            .read_exact(&mut head)
            .await
            .expect("an answer before the connection ends");
        let [high, middle, low, kind, flags, ..] = head;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        client.read_exact(&mut payload).await.unwrap();
        match kind {
            RST_STREAM => return Answer::Reset(u32::from_be_bytes(payload.try_into().unwrap())),
            HEADERS => {
                let fields = decode(&mut decoder, &payload);
                if flags & END_STREAM != 0 {
                    let status = fields.into_iter().find(|(name, _)| name == b"grpc-status");
                    let (_, status) = status.expect("a grpc-status in the trailers");
                    return Answer::Status(String::from_utf8(status).unwrap());
                }
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_call_with_a_path_as_authority_is_answered_through_the_filter() {
    for flags in [PLAIN, HUFFMAN, INDEXED | HUFFMAN] {
        for authority in [SOCKET_PATH, "%2Frun%2Fvault.sock", "localhost"] {
            let answer = call(AuthorityFilter::new, flags, authority).await;
            assert_eq!(
                answer,
                Answer::Status("0".into()),
                "{authority} with flags {flags:#x}"
            );
        }
    }
}

#[tokio::test]
async fn without_the_filter_the_call_is_reset() {
    assert_eq!(
        call(|stream| stream, HUFFMAN, SOCKET_PATH).await,
        Answer::Reset(PROTOCOL_ERROR)
    );
    assert_eq!(
        call(|stream| stream, HUFFMAN, "localhost").await,
        Answer::Status("0".into())
    );
}

/// The recorded calls are Mounts, which this server refuses with a status of its own.
#[tokio::test]
async fn a_recorded_old_driver_reaches_the_service_only_through_the_filter() {
    let failed_precondition = || Answer::Status("9".into());
    let (old, new) = (recorded("1.56.3"), recorded("1.79.3"));
    assert_eq!(
        first_answer(AuthorityFilter::new, &old).await,
        failed_precondition()
    );
    assert_eq!(
        first_answer(|stream| stream, &old).await,
        Answer::Reset(PROTOCOL_ERROR)
    );
    assert_eq!(
        first_answer(AuthorityFilter::new, &new).await,
        failed_precondition()
    );
}
