//! Sockets: who may connect, how much they may hold, and how it all ends.

mod budget;
mod connection;
mod frame;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

pub(crate) use budget::{Budget, Share};

use crate::broker::{Broker, Lock, OpenError};
use crate::config::Config;

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened at.
    #[error("could not listen at {address}: is another broker running there?")]
    Listen {
        /// Which one.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// A running broker. Dropped without [`Self::stop`], it ends as by `kill -9`: what was acknowledged is there at the next start.
#[derive(Debug)]
pub struct DevBroker {
    address: SocketAddr,
    broker: Arc<Broker>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl DevBroker {
    /// Recovers what is in the folder and listens. On a multi-threaded runtime of tokio.
    ///
    /// # Errors
    /// When the folder belongs to a running broker or cannot be read, or the address is taken.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        // Before the address: whoever starts a second one by mistake should hear of the first.
        let lock = Lock::take(&config.folder)?;
        let refused = |source| StartError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let stop = CancellationToken::new();
        let opening = tokio::task::spawn_blocking({
            let (config, stop) = (config.clone(), stop.clone());
            move || Broker::open(config, lock, address, stop)
        });
        let broker = Arc::new(opening.await.expect("opening does not panic")?);
        let tasks = TaskTracker::new();
        tasks.spawn(accept(Arc::clone(&broker), listener, stop.clone(), tasks.clone()));
        tasks.spawn(tick(Arc::clone(&broker), stop.clone()));
        tasks.spawn(maintain(Arc::clone(&broker), stop.clone()));
        tasks.close();
        Ok(Self { address, broker, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients are given as `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        self.broker.identity().endpoint()
    }

    /// Ends connections, then brings everything to the disk, so that the next start scans nothing.
    ///
    /// # Errors
    /// When the disk refuses; then the next start recovers as after a crash.
    pub async fn stop(self) -> io::Result<()> {
        self.stop.cancel();
        self.tasks.wait().await;
        let broker = Arc::clone(&self.broker);
        tokio::task::spawn_blocking(move || broker.close()).await.map_err(io::Error::other)?
    }
}

impl Drop for DevBroker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn accept(broker: Arc<Broker>, listener: TcpListener, stop: CancellationToken, tasks: TaskTracker) {
    /// The system is out of files: a moment later some are closed.
    const RETRY: Duration = Duration::from_millis(100);
    let places = Arc::new(Semaphore::new(broker.config().connections_max));
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "could not take a connection");
                tokio::time::sleep(RETRY).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            warn!(%peer, connections = broker.config().connections_max, "all places are taken: a connection is closed");
            continue;
        };
        debug!(%peer, "a connection");
        let serving = connection::serve(Arc::clone(&broker), stream, peer, stop.clone());
        tasks.spawn(async move {
            serving.await;
            drop(place);
        });
    }
}

/// Members that gave no sign of life, rebalances and transactions that took too long.
async fn tick(broker: Arc<Broker>, stop: CancellationToken) {
    loop {
        let next = broker.tick();
        let waiting = async {
            tokio::select! {
                () = broker.deadline_moved() => {}
                () = async { tokio::time::sleep(next.unwrap_or(Duration::MAX)).await } => {}
            }
        };
        if stop.run_until_cancelled(waiting).await.is_none() {
            return;
        }
    }
}

/// Retention and compaction.
async fn maintain(broker: Arc<Broker>, stop: CancellationToken) {
    let interval = broker.config().maintenance_interval;
    while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
        let broker = Arc::clone(&broker);
        if let Err(error) = tokio::task::spawn_blocking(move || broker.maintain()).await {
            warn!(error = &error as &dyn std::error::Error, "maintenance of the logs failed");
        }
    }
}
