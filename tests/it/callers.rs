//! Callers of the socket that are no well-behaved driver.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use coffer_proto::v1alpha1::MountRequest;
use coffer_proto::v1alpha1::csi_driver_provider_client::CsiDriverProviderClient;
use coffer_tests::driver::oracle::is_final;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

use crate::stage::{ONE, Stage};

/// A plain client, without what the driver's adds to it.
fn client(stage: &Stage) -> CsiDriverProviderClient<Channel> {
    let socket = PathBuf::from(stage.provider.socket());
    let dial = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(dial);
    CsiDriverProviderClient::new(channel)
}

/// H9: a request above the cap ends in a final code, and the connection serves on.
#[tokio::test]
async fn a_request_above_the_cap_is_refused_for_good() -> Result<()> {
    let stage = Stage::set().await?;
    let mut client = client(&stage);
    let mut request = stage.volume(ONE)?.first_mount();
    let good = request.clone();
    request.attributes = " ".repeat(20 << 20);
    let status = client.mount(request).await.err();
    let code = status.map(|status| status.code());
    assert!(code.is_some_and(is_final), "{code:?}");
    assert_eq!(
        client.mount(good).await?.into_inner().files[0].contents,
        "v"
    );
    Ok(())
}

/// H9: requests that are packed in a way nobody agreed on end in a final code.
#[tokio::test]
async fn a_compressed_request_is_refused_for_good() -> Result<()> {
    let stage = Stage::set().await?;
    let mut call = tonic::Request::new(MountRequest::default());
    call.metadata_mut().insert("grpc-encoding", "gzip".parse()?);
    let status = client(&stage).mount(call).await.err();
    let code = status.map(|status| status.code());
    assert!(code.is_some_and(is_final), "{code:?}");
    Ok(())
}

/// H9, P6: whatever deadline a caller writes, an answer is one of ours or comes in time.
#[tokio::test]
async fn odd_deadlines_do_no_harm() -> Result<()> {
    let stage = Stage::set().await?;
    let mut client = client(&stage);
    for deadline in ["", "x", "999999999S", "99999999H", "-1S"] {
        let mut call = tonic::Request::new(stage.volume(ONE)?.first_mount());
        call.metadata_mut()
            .insert("grpc-timeout", deadline.parse()?);
        let reply = client.mount(call).await;
        match reply {
            Ok(reply) => assert_eq!(reply.into_inner().files[0].contents, "v", "{deadline}"),
            Err(status) => panic!("{deadline}: {status:?}"),
        }
    }
    Ok(())
}

/// H9: garbage, silence and half a greeting on the socket disturb nobody.
#[tokio::test]
async fn garbage_on_the_socket_disturbs_nobody() -> Result<()> {
    let stage = Stage::set().await?;
    let mut held = Vec::new();
    let greetings: [&[u8]; 5] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x01\x00\x00\x00\x00\x00",
    ];
    for at in 0..100 {
        let mut stream = UnixStream::connect(stage.provider.socket()).await?;
        stream.write_all(greetings[at % greetings.len()]).await?;
        held.push(stream);
    }
    assert_eq!(stage.content(&stage.volume(ONE)?).await?, "v");
    // What is no HTTP/2 is hung up on.
    let mut answer = Vec::new();
    let ended =
        tokio::time::timeout(Duration::from_secs(10), held[1].read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "a caller that speaks HTTP/1.1 is held on to");
    Ok(())
}
