//! Requests from a socket: a length, and so many bytes.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::timeout;

use super::budget::{Budget, Share};

/// A request without a header.
const BYTES_MIN: usize = 8;
/// Within this a request that has begun must be whole.
const WHOLE_WITHIN: Duration = Duration::from_secs(30);
/// So much is reserved before the first byte is there; a length alone costs its sender nothing.
const RESERVED_BYTES: usize = 64 << 10;

/// The next request with its share of the budget. `None` when the client has gone in good order, or rested for too long.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    bytes_max: usize,
    idle_max: Duration,
    budget: &Budget,
) -> io::Result<Option<(Bytes, Share)>> {
    let length = match timeout(idle_max, stream.read_u32()).await {
        Err(_) => return Ok(None),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Ok(length) => length? as usize,
    };
    if !(BYTES_MIN..=bytes_max).contains(&length) {
        return Err(invalid(format!("a request of {length} bytes; {BYTES_MIN} to {bytes_max} are allowed")));
    }
    let share = budget.take(length).await;
    let frame = timeout(WHOLE_WITHIN, whole(stream, length)).await;
    let frame =
        frame.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "a request did not become whole"))??;
    Ok(Some((frame, share)))
}

async fn whole(stream: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut frame = BytesMut::with_capacity(length.min(RESERVED_BYTES));
    let mut rest = stream.take(length as u64);
    while frame.len() < length {
        if rest.read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    async fn read_all(bytes: &[u8]) -> io::Result<Option<Bytes>> {
        let budget = Budget::new(1 << 20);
        let mut stream = bytes;
        Ok(read(&mut stream, 100, Duration::from_secs(1), &budget).await?.map(|it| it.0))
    }

    #[tokio::test]
    async fn a_request_is_as_long_as_it_says() {
        assert_eq!(
            read_all(b"\0\0\0\x0812345678rest").await.expect("reads").as_deref(),
            Some(&b"12345678"[..])
        );
        assert_eq!(read_all(b"").await.expect("ends"), None);
        for wrong in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x65", b"\0\0\0\x07", b"\0\0\0\x081234567"] {
            read_all(wrong).await.expect_err("is refused");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_become_whole_is_given_up_and_so_is_its_share() {
        let (mut ours, mut theirs) = tokio::io::duplex(100);
        tokio::io::AsyncWriteExt::write_all(&mut theirs, b"\0\0\0\x081234567").await.expect("there is room");
        let budget = Budget::new(1);
        let error = read(&mut ours, 100, Duration::from_secs(1), &budget).await.expect_err("is not whole");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(budget.take(1).now_or_never().is_some());
    }
}
