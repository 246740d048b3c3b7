//! Two members of one fleet, in this process, on the embedded broker and one embedded store: whichever is asked answers for both.

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use millrace_dev_broker::{Config, DevBroker};
use millrace_kafka_log::GroupProtocol;
use millrace_local_store::LocalStore;
use millrace_placement::PartitionIndex;
use millrace_schemas::InstanceId;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::*;
use crate::cli::{processor, topics};
use crate::config::Global;
use crate::{clients, http, reading};

const PARTITIONS: u32 = 8;
const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &str = "t-ann";

const APPROVAL: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: approval
  version: '1.0.0'
  metadata: { millrace: { queries: { asked: $input } } }
schedule: { every: PT1H }
do:
  - decide: { listen: { to: { one: { with: { type: demo.approved } } } } }
";

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    api: http::Settings,
}

struct Running {
    url: String,
    handle: ProcessorHandle,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<anyhow::Result<()>>,
}

struct Fleet {
    members: Vec<Running>,
    broker: DevBroker,
    client: reqwest::Client,
    _folder: TempDir,
}

impl Fleet {
    /// Each with the same tokens, so that what one asks another must show one.
    async fn of_two() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let listen = "127.0.0.1:0".parse().expect("is an address");
        let config = Config { listen, ..Config::new(folder.path().join("broker")) };
        let broker = DevBroker::start(config).await.expect("it starts");
        let store = LocalStore::open(folder.path().join("store")).expect("it opens");
        let hash: String = Sha256::digest(TOKEN).iter().map(|it| format!("{it:02x}")).collect();
        let tokens = folder.path().join("tokens");
        std::fs::write(&tokens, format!("ann admin {hash}\n")).expect("is written");
        let bootstrap = broker.bootstrap();
        let line =
            ["millrace", "--bootstrap", &bootstrap, "--http-tokens", tokens.to_str().expect("is UTF-8")];
        let Line { global, api } = Line::parse_from(line);
        let made = topics::ensure(&global, &Kafka::new(&global), Some(PARTITIONS), PARTITIONS).await;
        made.expect("topics are made");
        let mut members = Vec::new();
        for ordinal in 0..2 {
            let listener = http::bind(listen).await.expect("a free port");
            let address = listener.local_addr().expect("it has one");
            let (url, closing) = (url_of(address, &api), CancellationToken::new());
            let security = Security::new(&api, address, &url, &closing).await.expect("is well");
            let kafka = Kafka::new(&global);
            let log = kafka.log(ordinal, GroupProtocol::default()).await.expect("it connects");
            let settings = processor::Settings::by_default();
            let mut config = settings.config(&global, 1, Duration::from_secs(3_600), url.clone());
            config.partition.flush_interval = Duration::from_millis(100);
            let member = Member::new(Parts {
                config,
                log,
                store: store.clone(),
                codec: Codec::single_object(),
                registry: None,
                kafka,
                peers: clients::peers(&global).expect("there is a client"),
                security,
                closing,
                listener,
                url: url.clone(),
            });
            let handle = member.handle();
            let shutdown = CancellationToken::new();
            let ended = tokio::spawn(Box::pin(member.run(shutdown.clone())));
            members.push(Running { url, handle, shutdown, ended });
        }
        let client = reqwest::Client::new();
        let fleet = Self { members, broker, client, _folder: folder };
        let shared = async || {
            let owned = fleet.members.iter().map(|it| it.handle.partitions().len());
            fleet.members.iter().all(|it| it.handle.is_ready() && !it.handle.partitions().is_empty())
                && owned.sum::<usize>() == PARTITIONS as usize
        };
        fleet.until("both have some", shared).await;
        fleet
    }

    async fn until(&self, what: &str, mut is_so: impl AsyncFnMut() -> bool) {
        let begun = tokio::time::Instant::now();
        while !is_so().await {
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn url(&self, member: usize) -> &str {
        &self.members[member].url
    }

    async fn get(&self, member: usize, path: &str) -> (StatusCode, Value) {
        let request = self.client.get(format!("{}{path}", self.url(member))).bearer_auth(TOKEN);
        let response = request.send().await.expect("it answers");
        (response.status(), response.json().await.expect("is JSON"))
    }

    async fn post(&self, member: usize, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = self.client.post(format!("{}{path}", self.url(member))).bearer_auth(TOKEN);
        let response = request.json(body).send().await.expect("it answers");
        (response.status(), response.json().await.expect("is JSON"))
    }

    /// An id whose instance is owned by this member.
    fn id_at(&self, member: usize) -> InstanceId {
        let owned: Vec<PartitionIndex> =
            self.members[member].handle.partitions().iter().map(|it| it.partition).collect();
        let ids = (0..).map(|it| InstanceId::new(format!("a-{it}")).expect("is legal"));
        ids.into_iter()
            .find(|id| owned.contains(&reading::home_of(id, PARTITIONS)))
            .expect("there are enough")
    }

    /// The workflow of these tests, known to both.
    async fn deploy(&self) {
        let deploying = self.client.post(format!("{}/v1/definitions", self.url(0))).bearer_auth(TOKEN);
        let deployed = deploying.header("content-type", "application/yaml").body(APPROVAL).send().await;
        assert_eq!(deployed.expect("it answers").status(), StatusCode::CREATED);
        let is_known = async || self.get(1, "/v1/definitions/demo/approval").await.0 == StatusCode::OK;
        self.until("the other knows it, too", is_known).await;
    }

    async fn stop(self) {
        self.members.iter().for_each(|it| it.shutdown.cancel());
        for Running { ended, .. } in self.members {
            ended.await.expect("it does not panic").expect("it ends well");
        }
        self.broker.stop().await.expect("it stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whichever_member_is_asked_answers_for_the_fleet() {
    let fleet = Arc::new(Fleet::of_two().await);
    fleet.deploy().await;
    for (asked, owner) in [(0, 1), (1, 0)] {
        let id = fleet.id_at(owner);
        let start = json!({ "workflow": "demo/approval", "id": id, "input": { "x": owner } });
        let (status, started) = fleet.post(asked, "/v1/instances?wait=accepted&timeout=60s", &start).await;
        assert_eq!((status, &started["answer"]), (StatusCode::OK, &json!("accepted")), "{started:#}");
        let path = format!("/v1/instances/{id}");
        let (status, seen) = fleet.get(asked, &path).await;
        assert_eq!(status, StatusCode::OK, "{seen:#}");
        // The owner has let in whoever was let in here: so it has been shown the token.
        assert_eq!(
            (&seen["read_from"], &seen["owner_url"]),
            (&json!("owner"), &json!(fleet.url(owner))),
            "{seen:#}"
        );
        let (status, refused) = fleet.get(asked, &format!("{path}?routed=true")).await;
        assert_eq!(
            (status, &refused["error"]["code"]),
            (StatusCode::MISDIRECTED_REQUEST, &json!("not_owner"))
        );
        let (_, answered) = fleet.get(asked, &format!("{path}/queries/asked")).await;
        assert_eq!(
            (&answered["result"], &answered["owner_url"]),
            (&json!({ "x": owner }), &json!(fleet.url(owner)))
        );
        let (status, graph) = fleet.get(asked, &format!("{path}/graph")).await;
        assert_eq!(
            (status, &graph["nodes"][1]["state"]["status"]),
            (StatusCode::OK, &json!("active")),
            "{graph:#}"
        );
        let (_, history) = fleet.get(asked, &format!("{path}/history")).await;
        assert_eq!(history["entries"][0]["events"][0]["type"], "instance_started", "{history:#}");
        let stream =
            fleet.client.get(format!("{}{path}/events?after=0", fleet.url(asked))).bearer_auth(TOKEN);
        let mut stream = stream.send().await.expect("it answers");
        let mut told = String::new();
        while !told.contains("instance_started") {
            let chunk = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("is told");
            told.push_str(&String::from_utf8_lossy(&chunk.expect("it goes on").expect("it goes on")));
        }
        let signal = json!({ "type": "demo.approved", "now": true });
        let path = format!("{path}/signals?wait=accepted&timeout=60s");
        let (status, taken) = fleet.post(asked, &path, &signal).await;
        assert_eq!((status, &taken["instance_status"]), (StatusCode::OK, &json!("completed")), "{taken:#}");
    }

    for asked in 0..2 {
        let (_, view) = fleet.get(asked, "/v1/fleet").await;
        let partitions = view["partitions"].as_array().expect("is a list");
        assert!(partitions.iter().all(|it| it["state"]["status"] == "active"), "{view:#}");
        let urls: std::collections::BTreeSet<_> =
            partitions.iter().map(|it| it["owner_url"].to_string()).collect();
        assert_eq!(urls.len(), 2, "{view:#}");
        assert!(view["processors"].as_array().expect("is a list").iter().all(|it| it["is_reached"] == true));
        let (status, schedule) = fleet.get(asked, "/v1/schedules/demo/approval").await;
        assert_eq!((status, &schedule["read_from"]), (StatusCode::OK, &json!("owner")), "{schedule:#}");
        let verb = if asked == 0 { "pause" } else { "resume" };
        let path = format!("/v1/schedules/demo/approval/{verb}?wait=accepted&timeout=60s");
        let (status, done) = fleet.post(asked, &path, &json!({ "reason": "stocktaking" })).await;
        assert_eq!((status, &done["answer"]), (StatusCode::OK, &json!("accepted")), "{done:#}");
    }
    Arc::into_inner(fleet).expect("nobody else has it").stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_leaves_takes_no_answer_with_it() {
    let fleet = Fleet::of_two().await;
    fleet.deploy().await;
    let id = fleet.id_at(1);
    let start = json!({ "workflow": "demo/approval", "id": id, "input": { "x": 1 } });
    let (status, started) = fleet.post(0, "/v1/instances?wait=accepted&timeout=60s", &start).await;
    assert_eq!(status, StatusCode::OK, "{started:#}");

    let path = format!("/v1/instances/{id}");
    let leaving = &fleet.members[1].shutdown;
    let mut asked = 0;
    fleet
        .until("its instance has another owner", async || {
            if asked == 3 {
                leaving.cancel();
            }
            asked += 1;
            let (status, seen) = fleet.get(0, &path).await;
            assert_eq!(status, StatusCode::OK, "{seen:#}");
            let begun = tokio::time::Instant::now();
            let (status, answered) = fleet.get(0, &format!("{path}/queries/asked")).await;
            // A machine that is slow enough runs out of patience, which is for hand-overs as they are.
            let is_answered = status == StatusCode::OK && answered["result"] == json!({ "x": 1 });
            assert!(is_answered || begun.elapsed() >= reading::OWNER_WITHIN / 2, "{status} {answered:#}");
            seen["owner_url"] == fleet.url(0)
        })
        .await;
    assert!(asked > 3, "it was the owner before");
    fleet.stop().await;
}
