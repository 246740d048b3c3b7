//! What requests and answers hold in memory at a time, over all connections.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes to go round. Who asks for more than there is at all gets all of it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    blocks: Arc<Semaphore>,
    blocks_max: u32,
}

/// A share of a [`Budget`], given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    _permit: OwnedSemaphorePermit,
}

const BLOCK_BYTES: usize = 1024;

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let blocks_max = u32::try_from(bytes / BLOCK_BYTES).unwrap_or(u32::MAX).max(1);
        Self { blocks: Arc::new(Semaphore::new(blocks_max as usize)), blocks_max }
    }

    /// Waits until so many bytes are free.
    pub(crate) async fn take(&self, bytes: usize) -> Share {
        let blocks = u32::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u32::MAX).min(self.blocks_max);
        let permit = Arc::clone(&self.blocks).acquire_many_owned(blocks).await;
        Share { _permit: permit.expect("nobody closes it") }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_share_waits_until_another_is_given_back() {
        let budget = Budget::new(10 * BLOCK_BYTES);
        let first = budget.take(8 * BLOCK_BYTES).now_or_never().expect("is free");
        assert!(budget.take(3 * BLOCK_BYTES).now_or_never().is_none());
        drop(first);
        assert!(budget.take(usize::MAX).now_or_never().is_some(), "all of it");
    }
}
