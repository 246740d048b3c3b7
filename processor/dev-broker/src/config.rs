//! How the broker is set.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of a [`crate::DevBroker`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything is kept. Made if it is missing.
    pub folder: PathBuf,
    /// Where it listens. Port 0 for any free one.
    pub listen: SocketAddr,
    /// The name by which clients reach it, if it is not the address.
    pub advertised_host: Option<String>,
    /// Partitions of a topic that is created without saying how many.
    pub default_partitions: u32,
    /// Whether a client that asks for an unknown topic by name gets one, as on Apache Kafka.
    pub auto_create_topics: bool,
    /// Whether each write waits for the disk. Without it, what is acknowledged survives the end of the process, but not the loss
    /// of power. Apache Kafka does the same, and relies on its replicas.
    pub fsync: bool,
    /// At most so many connections at a time; another one is closed at once.
    pub connections_max: usize,
    /// A connection without a request for so long is closed.
    pub idle_max: Duration,
    /// Largest request, in bytes.
    pub request_bytes_max: usize,
    /// What requests and answers hold at a time, over all connections, in bytes.
    pub in_flight_bytes_max: usize,
    /// Most bytes of one answer to a fetch, unless a single batch is larger.
    pub fetch_bytes_max: usize,
    /// At most so many partitions over all topics; each holds a file open.
    pub partitions_max: u32,
    /// Shortest session timeout of a member of a group. A member that died is noticed no sooner.
    pub group_session_timeout_min: Duration,
    /// How often expired segments are deleted and compacted topics compacted.
    pub maintenance_interval: Duration,
}

impl Config {
    /// Kept in `folder`, on any free port of this machine alone.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0),
            advertised_host: None,
            default_partitions: 1,
            auto_create_topics: true,
            fsync: false,
            connections_max: 512,
            idle_max: Duration::from_secs(600),
            request_bytes_max: 16 << 20,
            in_flight_bytes_max: 256 << 20,
            fetch_bytes_max: 8 << 20,
            partitions_max: 500,
            group_session_timeout_min: Duration::from_secs(6),
            maintenance_interval: Duration::from_secs(5),
        }
    }
}
