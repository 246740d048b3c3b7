//! One client: its requests, one after the other, as Apache Kafka does it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::broker::Broker;
use crate::handlers::{self, Reply};
use crate::wire;

use super::frame;

/// A client that does not take its answer for so long is let go.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Serves it until it goes, breaks the protocol, or `stop`.
pub(crate) async fn serve(
    broker: Arc<Broker>,
    mut stream: TcpStream,
    peer: SocketAddr,
    stop: CancellationToken,
) {
    let served = stop.run_until_cancelled(requests(&broker, &mut stream, peer)).await;
    if let Some(Err(error)) = served {
        debug!(%peer, error = &error as &dyn std::error::Error, "a connection ended");
    }
}

async fn requests(broker: &Broker, stream: &mut TcpStream, peer: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let config = broker.config();
    while let Some((bytes, share)) =
        frame::read(stream, config.request_bytes_max, config.idle_max, broker.budget()).await?
    {
        let (header, request) = match wire::decode(bytes) {
            Ok(request) => request,
            Err(error) => match handlers::answer_unreadable(&error) {
                Some(frame) => {
                    write(stream, &frame).await?;
                    continue;
                }
                None => return Err(io::Error::new(io::ErrorKind::InvalidData, error)),
            },
        };
        let answer = tokio::select! {
            answer = handlers::answer(broker, &header, request, peer) => answer,
            () = gone(stream) => return Ok(()),
        };
        let reply = answer.map_err(|error| {
            error!(api = ?header.api, version = header.version, error = &*error, "an answer cannot be encoded");
            io::Error::other(error)
        })?;
        if let Reply::Frame { bytes, share: _held } = reply {
            write(stream, &bytes).await?;
        }
        drop(share);
    }
    Ok(())
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let written = timeout(TAKEN_WITHIN, stream.write_all(bytes)).await;
    written.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "an answer was not taken"))?
}

/// Ends when the client has hung up. A client that has sent its next request already is there.
async fn gone(stream: &TcpStream) {
    match stream.peek(&mut [0]).await {
        Ok(0) | Err(_) => {}
        Ok(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_take_its_answer_is_let_go() {
        let (mut ours, _theirs) = tokio::io::duplex(10);
        write(&mut ours, &[0; 10]).await.expect("there is room");
        let error = write(&mut ours, &[0]).await.expect_err("nobody takes it");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
