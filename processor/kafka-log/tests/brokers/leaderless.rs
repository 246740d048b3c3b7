//! A transaction that is aborted while one of its partitions has no leader, on three brokers of our own: Apache Kafka 4.4 leaves the
//! marker out there (`src/marking.rs`).

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use millrace_kafka_log::{Admin, KafkaConfig};
use millrace_placement::Topics;
use millrace_runtime::log::{CommitOutcome, Incarnation, Lane as _, Log as _, Share};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use crate::support::{Member, aborted, commit, read_changelog, share};

/// Until a broker that was killed is missed, or one that was started leads again, on a busy machine.
const TURN_MAX: Duration = Duration::from_secs(90);

/// Brokers that end with it, or with this process.
struct Brokers {
    home: PathBuf,
    /// Ends them if this process cannot.
    watch: Option<Child>,
}

impl Brokers {
    fn start() -> Self {
        let home =
            std::env::temp_dir().join(format!("millrace-leaderless-{}", uuid::Uuid::new_v4().simple()));
        let mut brokers = Self { home, watch: None };
        // In a group of its own, so that it outlives whatever ends this process.
        let mut watch = brokers.command();
        watch.args(["watch", &std::process::id().to_string()]).process_group(0);
        watch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        brokers.watch = Some(watch.spawn().unwrap());
        brokers.run(&["up", "kafka"]);
        brokers
    }

    fn command(&self) -> Command {
        let mut command =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ops/cluster/cluster"));
        // Each partition on one broker, but for those of Kafka itself.
        let config = "default.replication.factor=1\nmin.insync.replicas=1";
        command.env("CLUSTER_HOME", &self.home).env("BROKERS", "3").env("KAFKA_CONFIG", config);
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "cluster {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// What the brokers have said of markers that they left out.
    fn have_left_markers_out(&self, topic: &str) -> bool {
        (1..=3).any(|broker| {
            let log = std::fs::read_to_string(self.run(&["log", "kafka", &broker.to_string()])).unwrap();
            log.lines().any(|it| it.contains("find leader endpoint for partitions") && it.contains(topic))
        })
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let wiped = self.command().arg("wipe").status();
        let has_ended = wiped.is_ok_and(|it| it.success());
        if let Some(mut watch) = self.watch.take().filter(|_| has_ended) {
            let _ = watch.kill();
            let _ = watch.wait();
        }
        let _ = std::fs::remove_dir_all(&self.home);
        assert!(has_ended || std::thread::panicking(), "the brokers of {} still run", self.home.display());
    }
}

/// Who leads each partition; -1: nobody.
fn leaders(bootstrap: &str, topic: &str) -> BTreeMap<i32, i32> {
    let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap).create().unwrap();
    let metadata = client.fetch_metadata(Some(topic), Duration::from_secs(30)).unwrap();
    metadata.topics()[0].partitions().iter().map(|it| (it.id(), it.leader())).collect()
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < TURN_MAX, "it takes too long until {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn index(incarnation: &Incarnation) -> i32 {
    i32::try_from(incarnation.partition().0).unwrap()
}

/// To the changelog alone.
fn quiet(config: &KafkaConfig, incarnation: &Incarnation, values: &[&str]) -> Share {
    let mut share = share(config, incarnation, values);
    share.transaction.records.clear();
    share
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "starts three brokers of its own"]
async fn what_is_aborted_while_a_partition_has_no_leader_is_not_committed_later() {
    let _ = tracing_subscriber::fmt().with_test_writer().with_env_filter("warn").try_init();
    let brokers = Brokers::start();
    let bootstrap = brokers.run(&["address", "kafka"]);
    let config = KafkaConfig::new(bootstrap.as_str(), Topics::new("leaderless"));
    Admin::new(&config).unwrap().apply(&config.topics.specs(4, &[]).unwrap()).await.unwrap();
    let changelog = config.topics.changelog();
    let mut member = Member::join(&config).await;
    let incarnations = member.assigned().await;
    let mut lane = member.log.lane(0).await.unwrap();

    let leader_of = leaders(&bootstrap, &changelog);
    let lost = &incarnations[0];
    let broker = leader_of[&index(lost)];
    let kept = incarnations.iter().find(|it| leader_of[&index(it)] != broker).unwrap();
    lane.append(vec![quiet(&config, lost, &["never"]), quiet(&config, kept, &["never"])]);
    for incarnation in [lost, kept] {
        let begun = Instant::now();
        while member.log.changelog_bounds(incarnation.partition()).await.unwrap().1.0 == 0 {
            assert!(begun.elapsed() < TURN_MAX, "the records arrive");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    brokers.run(&["kill", "kafka", &broker.to_string()]);
    until("the partition has no leader", || leaders(&bootstrap, &changelog)[&index(lost)] == -1).await;
    // Its incarnation has died, so the transaction is aborted.
    lost.kill();
    aborted(&mut lane, vec![quiet(&config, kept, &[])]).await;

    brokers.run(&["start", "kafka", &broker.to_string()]);
    until("the partition is led again", || leaders(&bootstrap, &changelog)[&index(lost)] != -1).await;
    assert!(
        brokers.have_left_markers_out(&changelog),
        "no broker has left a marker out: this version of Kafka may do without src/marking.rs"
    );
    let begun = Instant::now();
    let offsets = loop {
        // Of this generation, if there is a new one since; none while there is no group.
        let alive: Vec<_> = [lost, kept].iter().filter_map(|it| member.log.renew(it.partition())).collect();
        let shares = alive.iter().map(|it| quiet(&config, it, &["seen"])).collect();
        let outcome = if alive.len() == 2 { Some(commit(&mut lane, shares).await) } else { None };
        match outcome {
            Some(CommitOutcome::Committed(offsets)) => break offsets,
            other => assert!(begun.elapsed() < TURN_MAX, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for (incarnation, offsets) in [lost, kept].into_iter().zip(offsets) {
        let index = incarnation.partition().0;
        let all = read_changelog(&member.log, index, 0, offsets[0].0 + 1).await;
        // Of a try whose outcome is not known there may be one more.
        let is_right = !all.is_empty() && all.iter().all(|it| it.1 == "seen");
        assert!(is_right, "of partition {index}: {all:?}");
    }
    member.leave().await;
}
