//! How to reach the cluster, and the settings of each kind of client (state protocol, section 6).

use std::time::Duration;

use millrace_placement::Topics;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::ends::TOLD_EVERY_MS;

/// Largest record that is produced, in bytes; topics may allow less.
const RECORD_BYTES_MAX: &str = "4194304";

/// How long a fetch waits at the broker for a record. A source that is newly followed waits for the fetch that is under way, so
/// this bounds what a hand-over takes longer, at ten requests a second for an idle broker.
const FETCH_WAIT_MS: &str = "100";

/// Longest time between two heartbeats of the classic protocol.
const HEARTBEAT_MAX: Duration = Duration::from_millis(150);

/// librdkafka hashes keys with CRC32 unless told; Java producers use murmur2, and so does our key-group.
const PARTITIONER: (&str, &str) = ("partitioner", "murmur2_random");

/// With TLS, and unless told otherwise: the authorities of this system, wherever it keeps them. The OpenSSL that is built along knows no place.
const DEFAULT_AUTHORITIES: (&str, &str) = ("ssl.ca.location", "probe");

/// Settings of the group's member alone. Other clients join no group, and librdkafka refuses some of these together with its own defaults
/// of the others.
const MEMBER_SETTINGS: [&str; 6] = [
    "group.instance.id",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "max.poll.interval.ms",
    "partition.assignment.strategy",
    "session.timeout.ms",
];

/// The role of the member, in its client's id.
const MEMBER: &str = "group";

/// How the members of the group agree on who owns which partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The protocol of always: the members assign the partitions among themselves. The default, because a member says here when it
    /// is to count as dead, and brokers allow six seconds.
    Classic {
        /// After so long without a sign of life the group gives a member's partitions to others. Brokers allow
        /// `group.min.session.timeout.ms` (6 s) and more.
        session_timeout: Duration,
    },
    /// The protocol of KIP-848: the brokers assign (Kafka 4.0 and newer), and members that keep their partitions do not stop for those
    /// that move. When a member counts as dead is a setting of the group at the brokers, `consumer.session.timeout.ms`, which they
    /// refuse below `group.consumer.min.session.timeout.ms`: 45 s unless configured otherwise. The same goes for
    /// `consumer.heartbeat.interval.ms`. Lower them, or a takeover after a crash takes that long:
    ///
    /// ```sh
    /// kafka-configs.sh --bootstrap-server … --alter --entity-type groups --entity-name millrace.processor \
    ///   --add-config consumer.session.timeout.ms=6000,consumer.heartbeat.interval.ms=2000
    /// ```
    Consumer,
}

impl Default for GroupProtocol {
    fn default() -> Self {
        Self::Classic { session_timeout: Duration::from_secs(6) }
    }
}

/// Where Kafka is, and who we are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaConfig {
    /// Brokers, comma-separated `host:port`.
    pub bootstrap: String,
    /// The fleet's topics.
    pub topics: Topics,
    /// Begins the transactional ids: one for each fleet on a cluster.
    pub app_id: String,
    /// Tells the members of a fleet apart; a pod keeps its own when it restarts. Two members with one ordinal fence each other.
    pub ordinal: u32,
    /// All members of a group use the same one, but for the time of a rolling change from one to the other.
    pub group_protocol: GroupProtocol,
    /// More settings for librdkafka, such as `security.protocol`. Those that correctness rests on cannot be overridden.
    pub settings: Vec<(String, String)>,
}

impl KafkaConfig {
    /// Defaults: the group's name as app id, ordinal 0, the classic protocol with six seconds, no more settings.
    #[must_use]
    pub fn new(bootstrap: impl Into<String>, topics: Topics) -> Self {
        Self {
            bootstrap: bootstrap.into(),
            app_id: topics.group(),
            topics,
            ordinal: 0,
            group_protocol: GroupProtocol::default(),
            settings: Vec::new(),
        }
    }

    /// `<app>-<ordinal>-<lane>`
    pub(crate) fn transactional_id(&self, lane: u32) -> String {
        format!("{}-{}-{lane}", self.app_id, self.ordinal)
    }

    /// `tuning` may be overridden by the configured settings, `fixed` may not.
    fn client(&self, role: &str, tuning: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", format!("{}-{}-{role}", self.app_id, self.ordinal))
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("reconnect.backoff.max.ms", "2000")
            .set("socket.nagle.disable", "true")
            .set(DEFAULT_AUTHORITIES.0, DEFAULT_AUTHORITIES.1)
            .set("message.max.bytes", RECORD_BYTES_MAX);
        for (key, value) in tuning {
            config.set(*key, *value);
        }
        // Who needs another isolation says so below. A producer that were told one would look for the wrong end of what it has aborted.
        let is_theirs =
            |it: &str| it != "isolation.level" && (role == MEMBER || !MEMBER_SETTINGS.contains(&it));
        for (key, value) in self.settings.iter().filter(|(key, _)| is_theirs(key)) {
            config.set(key, value);
            if key == "debug" {
                // Else rdkafka keeps what was asked for to itself. Our own filter decides what is shown.
                config.set_log_level(RDKafkaLogLevel::Debug);
            }
        }
        config.set("bootstrap.servers", &self.bootstrap);
        for (key, value) in fixed {
            config.set(*key, *value);
        }
        config
    }

    /// For metadata and high watermarks. Without a group it cannot read.
    pub(crate) fn probe(&self) -> ClientConfig {
        self.client("probe", &[], &[("isolation.level", "read_uncommitted")])
    }

    pub(crate) fn admin(&self) -> ClientConfig {
        self.client("admin", &[], &[])
    }

    /// The member of the group.
    pub(crate) fn member(&self) -> ClientConfig {
        let group = self.topics.group();
        let mut fixed = vec![
            ("group.id", group.as_str()),
            ("isolation.level", "read_committed"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "earliest"),
            // It reads nothing: what comes before its partitions are paused stays small.
            ("queued.max.messages.kbytes", "64"),
            ("fetch.message.max.bytes", "4096"),
        ];
        match self.group_protocol {
            GroupProtocol::Classic { session_timeout } => {
                let session = session_timeout.as_millis().to_string();
                // A member learns of a rebalance by the answer to its next heartbeat: that is most of what a hand-over waits for.
                // Small requests, seven a second and member.
                let heartbeat = (session_timeout / 3).min(HEARTBEAT_MAX).as_millis().to_string();
                fixed.extend([
                    ("group.protocol", "classic"),
                    ("session.timeout.ms", session.as_str()),
                    ("heartbeat.interval.ms", heartbeat.as_str()),
                ]);
                self.client(MEMBER, &[("partition.assignment.strategy", "cooperative-sticky")], &fixed)
            }
            // librdkafka refuses the settings that are the brokers' now.
            GroupProtocol::Consumer => {
                fixed.push(("group.protocol", "consumer"));
                self.client(MEMBER, &[], &fixed)
            }
        }
    }

    /// For the group's committed offsets. It never joins; with read_committed, librdkafka asks for stable offsets (KIP-447), and asks
    /// again until there are some.
    pub(crate) fn offsets(&self, isolation: &str) -> ClientConfig {
        self.client(
            "offsets",
            // Of these questions. They are those of a restore, and few.
            &[("retry.backoff.ms", "10"), ("retry.backoff.max.ms", "50")],
            &[("group.id", &self.topics.group()), ("isolation.level", isolation)],
        )
    }

    /// Reads what it is told to read and is in no group, though librdkafka wants a name for one.
    fn reader(&self, role: &str, tuning: &[(&str, &str)], fixed: &[(&str, &str)]) -> ClientConfig {
        let group = format!("{}.{role}", self.topics.group());
        let mut all = vec![
            ("group.id", group.as_str()),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
        ];
        all.extend_from_slice(fixed);
        self.client(role, tuning, &all)
    }

    pub(crate) fn follower(&self) -> ClientConfig {
        self.reader(
            "follower",
            &[
                ("fetch.wait.max.ms", FETCH_WAIT_MS),
                ("queued.max.messages.kbytes", "16384"),
                // A second by default: too long a pause for a queue that is emptied in milliseconds.
                ("fetch.queue.backoff.ms", "10"),
            ],
            &[
                ("isolation.level", "read_committed"),
                ("auto.offset.reset", "earliest"),
                ("statistics.interval.ms", TOLD_EVERY_MS),
            ],
        )
    }

    pub(crate) fn changelog_reader(&self) -> ClientConfig {
        self.reader(
            "changelog",
            &[
                // The end is known only after a fetch has come back empty.
                ("fetch.wait.max.ms", "10"),
                ("queued.max.messages.kbytes", "32768"),
                ("fetch.queue.backoff.ms", "10"),
            ],
            &[
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "true"),
                // Events that are gone must be noticed, never skipped.
                ("auto.offset.reset", "error"),
            ],
        )
    }

    pub(crate) fn definitions_reader(&self) -> ClientConfig {
        self.reader(
            "definitions",
            &[("fetch.wait.max.ms", FETCH_WAIT_MS)],
            &[
                ("isolation.level", "read_committed"),
                ("enable.partition.eof", "true"),
                ("auto.offset.reset", "earliest"),
            ],
        )
    }

    pub(crate) fn tail(&self, isolation: &str) -> ClientConfig {
        self.reader(
            "tail",
            &[("fetch.wait.max.ms", FETCH_WAIT_MS)],
            &[
                ("isolation.level", isolation),
                ("enable.partition.eof", "true"),
                ("auto.offset.reset", "earliest"),
            ],
        )
    }

    pub(crate) fn publisher(&self) -> ClientConfig {
        self.client(
            "publisher",
            &[("linger.ms", "0"), ("compression.type", "lz4")],
            &[("enable.idempotence", "true"), ("acks", "all"), PARTITIONER],
        )
    }

    pub(crate) fn lane(&self, transactional_id: &str) -> ClientConfig {
        self.client(
            transactional_id,
            &[
                ("linger.ms", "0"),
                ("compression.type", "lz4"),
                ("queue.buffering.max.messages", "1000000"),
                // The broker refuses to go on (CONCURRENT_TRANSACTIONS) while it still writes the markers of the transaction
                // before; that takes milliseconds, and librdkafka waits 100 of them by default.
                ("retry.backoff.ms", "5"),
                ("retry.backoff.max.ms", "200"),
            ],
            &[
                ("transactional.id", transactional_id),
                // Also how long a crashed owner can hold up the next one.
                ("transaction.timeout.ms", "10000"),
                ("message.timeout.ms", "10000"),
                ("acks", "all"),
                // Which partition a record goes to, `spread.rs` says.
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_pass_through_but_override_nothing_that_correctness_rests_on() {
        let config = KafkaConfig {
            settings: [
                ("security.protocol", "SASL_SSL"),
                ("linger.ms", "5"),
                ("isolation.level", "read_uncommitted"),
                ("acks", "1"),
                ("transactional.id", "another"),
                ("max.poll.interval.ms", "7000"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .to_vec(),
            ..KafkaConfig::new("broker:9092", Topics::default())
        };
        let lane = config.lane(&config.transactional_id(3));
        assert_eq!(lane.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(lane.get("linger.ms"), Some("5"));
        assert_eq!(lane.get("acks"), Some("all"));
        assert_eq!(lane.get("isolation.level"), None);
        assert_eq!(lane.get("transactional.id"), Some("millrace.processor-0-3"));
        assert_eq!(config.member().get("isolation.level"), Some("read_committed"));
        assert_eq!(config.member().get("max.poll.interval.ms"), Some("7000"));
        assert_eq!(config.follower().get("max.poll.interval.ms"), None);
        assert_eq!(config.member().get("heartbeat.interval.ms"), Some("150"));
    }

    /// Whatever is asked of the cluster, it is asked securely, and this build can do it.
    #[test]
    fn tls_and_passwords_are_for_all_clients() {
        use rdkafka::producer::BaseProducer;
        let settings = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "ada"),
            ("sasl.password", "secret"),
        ];
        let settings = settings.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let config = KafkaConfig { settings, ..KafkaConfig::new("broker:9092", Topics::default()) };
        let all = [
            config.probe(),
            config.admin(),
            config.member(),
            config.offsets("read_committed"),
            config.follower(),
            config.changelog_reader(),
            config.definitions_reader(),
            config.tail("read_committed"),
            config.publisher(),
            config.lane("a-0-0"),
        ];
        for client in all {
            assert_eq!(client.get("sasl.password"), Some("secret"));
            assert_eq!(client.get("ssl.ca.location"), Some("probe"));
        }
        let created: Result<BaseProducer, _> = config.publisher().create();
        assert!(created.is_ok(), "{:?}", created.err());
    }

    #[test]
    fn librdkafka_takes_the_settings_of_both_group_protocols() {
        use rdkafka::consumer::BaseConsumer;
        for group_protocol in [GroupProtocol::default(), GroupProtocol::Consumer] {
            let config = KafkaConfig { group_protocol, ..KafkaConfig::new("broker:9092", Topics::default()) };
            let created: Result<BaseConsumer, _> = config.member().create();
            assert!(created.is_ok(), "{group_protocol:?}: {:?}", created.err());
        }
    }
}
