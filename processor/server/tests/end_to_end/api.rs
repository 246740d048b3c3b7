//! The HTTP API: everything that can be asked of a fleet.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::asking::REVIEW;
use crate::stories::{APPROVAL, HELLO, greeting};
use crate::support::{Answer, Fleet, Place};

/// Its second task fails, and stands still.
const BOOKING: &str = "\
document:
  dsl: '1.0.3'
  namespace: demo
  name: booking
  version: '1.0.0'
  metadata: { millrace: { onFault: incident } }
do:
  - prepare: { set: { room: 7 } }
  - book:
      call: book
      with: { room: '${ .room }' }
";

async fn post_named(fleet: &Fleet, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let client = reqwest::Client::new();
    let request = client.post(format!("{}{path}", fleet.url())).header("idempotency-key", key).json(body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

pub(crate) async fn what_the_command_line_can_the_api_can(place: Place) {
    let mut fleet = Fleet::new(place, 4, &[HELLO, APPROVAL, BOOKING]).await;
    fleet.start_processor(&[]).await;
    let worker = fleet.kafka.work(|task| match &*task.function {
        "book" if task.arguments.value()["room"] == 7 => Answer::FailedForGood("sold out".to_owned()),
        "book" => Answer::Completed(json!({ "booked": task.arguments.value()["room"] })),
        _ => greeting(task),
    });

    // From a start to its end.
    let start = json!({ "workflow": "demo/hello", "id": "h-1", "input": { "name": "Ada" } });
    let (status, ended) = fleet.post("/v1/instances?wait=end&timeout=60s", &start).await;
    assert_eq!((status, &ended["status"]), (200, &json!("completed")), "{ended:#}");
    assert_eq!(ended["output"], json!({ "greeting": "Hello, Ada!" }));
    assert_eq!(fleet.instance("h-1").await["output"], ended["output"]);
    let (status, again) = fleet.post("/v1/instances?wait=accepted&timeout=60s", &start).await;
    assert_eq!((status, &again["error"]["code"]), (409, &json!("already_exists")), "{again:#}");
    let unknown = json!({ "workflow": "demo/nothing" });
    let (status, refused) = fleet.post("/v1/instances?wait=accepted&timeout=60s", &unknown).await;
    assert_eq!((status, &refused["error"]["code"]), (422, &json!("unknown_workflow")), "{refused:#}");

    // A request that is sent again does nothing again, and is answered as before.
    let named = json!({ "workflow": "demo/approval" });
    let path = "/v1/instances?wait=accepted&timeout=60s";
    let (status, first) = post_named(&fleet, path, "k-1", &named).await;
    assert_eq!((status, &first["answer"]), (200, &json!("accepted")), "{first:#}");
    let (status, second) = post_named(&fleet, path, "k-1", &named).await;
    assert_eq!((status, &second["is_replayed"]), (200, &json!(true)), "{second:#}");
    assert_eq!(second["id"], first["id"]);
    let id = first["id"].as_str().unwrap();
    let suspend = format!("/v1/instances/{id}/suspend?wait=accepted&timeout=60s");
    let (status, suspended) = post_named(&fleet, &suspend, "k-2", &json!({ "reason": "lunch" })).await;
    assert_eq!((status, &suspended["instance_status"]), (200, &json!("suspended")), "{suspended:#}");
    let (status, replayed) = post_named(&fleet, &suspend, "k-2", &json!({ "reason": "lunch" })).await;
    assert_eq!((status, &replayed["is_replayed"]), (200, &json!(true)), "{replayed:#}");
    let (status, other) = post_named(&fleet, &suspend, "k-3", &json!({})).await;
    assert_eq!((status, &other["error"]["code"]), (409, &json!("invalid_state")), "{other:#}");
    let resume = format!("/v1/instances/{id}/resume?wait=accepted&timeout=60s");
    // The body may be left out.
    let response = reqwest::Client::new().post(format!("{}{resume}", fleet.url())).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);

    // Signals, by the name of the event.
    let signals = format!("/v1/instances/{id}/signals?wait=accepted&timeout=60s");
    let other = json!({ "type": "demo.other", "now": true });
    let (status, refused) = fleet.post(&signals, &other).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("not_taken")), "{refused:#}");
    let approved =
        json!({ "type": "demo.approved", "data": { "by": "Grace" }, "event_id": "a-1", "source": "/office" });
    let (status, taken) = fleet.post(&signals, &approved).await;
    assert_eq!(
        (status, &taken["outcome"], &taken["task"]),
        (200, &json!("taken"), &json!("/do/0/decide")),
        "{taken:#}"
    );
    fleet.until_status(id, "completed").await;
    let (status, late) =
        fleet.post(&format!("/v1/instances/{id}/cancel?wait=accepted&timeout=60s"), &json!({})).await;
    assert_eq!((status, &late["error"]["code"]), (409, &json!("invalid_state")), "{late:#}");
    for wrong in ["io.millrace.instance.cancel", ""] {
        let (status, refused) = fleet.post(&signals, &json!({ "type": wrong })).await;
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("invalid_argument")), "{refused:#}");
    }

    // What has failed is retried, edited, skipped, and run again.
    fleet.post("/v1/instances", &json!({ "workflow": "demo/booking", "id": "b-1" })).await;
    fleet.until_status("b-1", "incident").await;
    let wait = "wait=accepted&timeout=60s";
    let retry =
        json!({ "task": "/do/1/book", "input": { "room": 8 }, "by": "ann", "reason": "another room" });
    let (status, retried) = fleet.post(&format!("/v1/instances/b-1/retry?{wait}"), &retry).await;
    assert_eq!(status, 200, "{retried:#}");
    fleet.until_status("b-1", "completed").await;
    let history = fleet.read("/v1/instances/b-1/history").await;
    let mut retried =
        history["entries"].as_array().unwrap().iter().flat_map(|it| it["events"].as_array().unwrap());
    let retried = retried.find(|it| it["type"] == "task_retried").cloned().unwrap();
    assert_eq!((&retried["by"], &retried["reason"]), (&json!("ann"), &json!("another room")));
    let restart = json!({ "from": "/do/0/prepare", "reason": "once more" });
    let path = format!("/v1/instances/b-1/restart?{wait}");
    let (status, restarted) = post_named(&fleet, &path, "r-1", &restart).await;
    assert_eq!(status, 200, "{restarted:#}");
    fleet.until_status("b-1", "incident").await;
    let (status, replayed) = post_named(&fleet, &path, "r-1", &restart).await;
    assert_eq!((status, &replayed["is_replayed"]), (200, &json!(true)), "{replayed:#}");
    let graph = fleet.read("/v1/instances/b-1/graph").await;
    let node =
        |id: &str| graph["nodes"].as_array().unwrap().iter().find(|it| it["id"] == id).unwrap().clone();
    assert_eq!(node("/do/1/book")["state"]["status"], "halted", "{graph:#}");
    assert_eq!(node("/do/1/book")["state"]["error"]["title"], "Sold out");
    assert_eq!(
        (&node("/do/0/prepare")["state"]["completed"], &node("end")["state"]["status"]),
        (&json!(2), &json!("untouched"))
    );
    assert_eq!(graph["instance"]["is_history_whole"], true);
    let edit = json!({ "task": "/do/1/book", "input": { "room": 9 } });
    let (status, edited) = fleet.post(&format!("/v1/instances/b-1/edit?{wait}"), &edit).await;
    assert_eq!(status, 200, "{edited:#}");
    let skip = json!({ "output": { "booked": "by phone" } });
    let (status, skipped) = fleet.post(&format!("/v1/instances/b-1/skip?{wait}"), &skip).await;
    assert_eq!((status, &skipped["instance_status"]), (200, &json!("completed")), "{skipped:#}");
    let (status, never) = fleet.post("/v1/instances/b-1/restart", &json!({ "from": "/do/9/x" })).await;
    assert_eq!((status, &never["error"]["code"]), (422, &json!("never_entered")), "{never:#}");
    let (status, nobody) = fleet.post("/v1/instances/nobody/restart", &json!({ "from": "/do/0/x" })).await;
    assert_eq!((status, &nobody["error"]["code"]), (404, &json!("no_history")), "{nobody:#}");

    // Pages.
    let all = async || {
        fleet.read("/v1/instances?workflow=demo/approval").await["instances"].as_array().unwrap().len()
    };
    for n in 0..5 {
        fleet.post("/v1/instances", &json!({ "workflow": "demo/approval", "id": format!("p-{n}") })).await;
    }
    fleet.until("all are listed", async || all().await == 6).await;
    let (mut seen, mut cursor, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let page = fleet.read(&format!("/v1/instances?limit=2{cursor}")).await;
        seen.extend(
            page["instances"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen.len(), 8, "of all workflows: {seen:?}");
    assert!(pages >= 4, "{pages} pages of two");
    for wrong in
        ["limit=0", "limit=1001", "status=lost", "since=yesterday", "workflow=demo", "cursor=x", "where=a"]
    {
        let (status, body) = fleet.get(&format!("/v1/instances?{wrong}")).await;
        assert_eq!((status, body.contains("invalid_argument")), (400, true), "{wrong}: {body}");
    }
    let partitions = fleet.read("/v1/fleet").await;
    assert_eq!(partitions["partitions"].as_array().unwrap().len(), 4);
    assert_eq!(partitions["processors"][0]["is_this"], true);
    assert!(
        partitions["partitions"].as_array().unwrap().iter().all(|it| it["state"]["status"] == "active"),
        "{partitions:#}"
    );
    let lags = async || {
        let fleet = fleet.read("/v1/fleet").await;
        let lag = |it: &Value| (it["state"]["lag_records"].as_u64(), it["state"]["lag_seconds"].as_f64());
        fleet["partitions"].as_array().unwrap().iter().map(lag).collect::<Vec<_>>()
    };
    fleet.until("nothing waits", async || lags().await == [(Some(0), Some(0.0)); 4]).await;
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}

pub(crate) async fn many_are_stepped_in_with_at_once(place: Place) {
    let mut fleet = Fleet::new(place, 4, &[REVIEW]).await;
    fleet.start_processor(&[]).await;
    for (id, customer) in [("r-1", "acme"), ("r-2", "acme"), ("r-3", "acme"), ("r-4", "other")] {
        let start = json!({ "workflow": "demo/review", "id": id, "input": { "customer": customer, "documents": [] } });
        fleet.post("/v1/instances", &start).await;
    }
    let running = async |customer: &str| {
        let path = format!("/v1/instances?workflow=demo/review&status=running&where=customer={customer}");
        fleet.read(&path).await["instances"].as_array().unwrap().len()
    };
    fleet.until("all are listed", async || running("acme").await == 3 && running("other").await == 1).await;
    let batch = |more: Value| {
        let mut batch = json!({
            "filter": { "workflow": "demo/review", "status": "running", "where": ["customer=acme"] },
            "action": { "verb": "cancel", "reason": "acme is gone" },
        });
        more.as_object().unwrap().iter().for_each(|(name, value)| batch[name] = value.clone());
        batch
    };
    let run = async |batch: Value| -> Vec<Value> {
        let client = reqwest::Client::new();
        let response = client.post(format!("{}/v1/batch", fleet.url())).json(&batch).send().await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        let text = response.text().await.unwrap();
        text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
    };
    let planned = run(batch(json!({ "dry_run": true }))).await;
    assert_eq!(planned.len(), 4, "{planned:#?}");
    assert!(planned[..3].iter().all(|it| it["outcome"] == "planned"));
    assert_eq!(running("acme").await, 3, "nothing was done");
    let one = run(batch(json!({ "limit": 1, "wait": true }))).await;
    assert_eq!((&one[0]["outcome"], &one[1]["has_more"]), (&json!("accepted"), &json!(true)), "{one:#?}");
    // It goes on behind the one that was done, whose row may still be in the list.
    let rest = run(batch(json!({ "wait": true, "rate": 1000, "cursor": one[0]["cursor"] }))).await;
    let end = rest.last().unwrap();
    assert_eq!(
        (&end["instances"], &end["accepted"], &end["has_more"]),
        (&json!(2), &json!(2), &json!(false)),
        "{rest:#?}"
    );
    for id in ["r-1", "r-2", "r-3"] {
        assert_eq!(fleet.instance(id).await["reason"], "acme is gone");
    }
    assert_eq!(fleet.instance("r-4").await["status"], "running");
    for wrong in [
        json!({ "limit": 0 }),
        json!({ "rate": 100_000 }),
        json!({ "filter": {} }),
        json!({ "action": { "verb": "restart" } }),
    ] {
        let (status, refused) = fleet.post("/v1/batch", &batch(wrong)).await;
        assert_eq!((status, &refused["error"]["code"]), (400, &json!("invalid_argument")), "{refused:#}");
    }
    assert_eq!(fleet.stop_processor(), Some(0));
}

async fn deploy(fleet: &Fleet, query: &str, media_type: &str, text: &str) -> (u16, Value) {
    let request = reqwest::Client::new().post(format!("{}/v1/definitions{query}", fleet.url()));
    let response = request.header("content-type", media_type).body(text.to_owned()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

pub(crate) async fn definitions_are_deployed_and_drawn(place: Place) {
    let mut fleet = Fleet::new(place, 2, &[HELLO]).await;
    fleet.start_processor(&[]).await;
    let yaml = "application/yaml";
    let (status, checked) = deploy(&fleet, "?check=true", yaml, BOOKING).await;
    assert_eq!((status, &checked["deployed"]["outcome"]), (200, &json!("checked")), "{checked:#}");
    assert_eq!(fleet.get("/v1/definitions/demo/booking").await.0, 404, "nothing was deployed");
    let (status, deployed) = deploy(&fleet, "", yaml, BOOKING).await;
    assert_eq!((status, &deployed["deployed"]["outcome"]), (201, &json!("deployed")), "{deployed:#}");
    assert_eq!(deployed["deployed"]["queues"], json!(["default"]));
    let (status, unchanged) = deploy(&fleet, "", yaml, BOOKING).await;
    assert_eq!((status, &unchanged["deployed"]["outcome"]), (200, &json!("unchanged")), "{unchanged:#}");
    let other = BOOKING.replace("room: 7", "room: 8");
    let (status, conflict) = deploy(&fleet, "", yaml, &other).await;
    assert_eq!((status, &conflict["error"]["code"]), (409, &json!("conflict")), "{conflict:#}");
    let newer = other.replace("version: '1.0.0'", "version: '1.10.0'");
    assert_eq!(deploy(&fleet, "", yaml, &newer).await.0, 201);
    let (status, refused) =
        deploy(&fleet, "?check=true", yaml, &BOOKING.replace("call: book", "cal: book")).await;
    assert_eq!((status, &refused["error"]["code"]), (422, &json!("definition_refused")), "{refused:#}");
    let finding = &refused["error"]["findings"][0];
    assert_eq!(finding["severity"], "error", "{refused:#}");
    assert!(finding["line"].as_u64() >= Some(9), "{refused:#}");
    // What is elsewhere is not fetched in the name of a request.
    let elsewhere = "document: {dsl: '1.0.3', namespace: demo, name: far, version: '1.0.0'}\n\
        do: [{a: {set: {x: 1}, input: {schema: {resource: {endpoint: 'file:///etc/passwd'}}}}}]\n";
    let (status, refused) = deploy(&fleet, "?check=true", yaml, elsewhere).await;
    assert!(status == 422 && !refused.to_string().contains("root:"), "{refused:#}");
    let (status, refused) = deploy(&fleet, "", "text/plain", BOOKING).await;
    assert_eq!((status, &refused["error"]["code"]), (415, &json!("unsupported_media_type")), "{refused:#}");

    let all = fleet.read("/v1/definitions").await;
    let workflows = all["workflows"].as_array().unwrap();
    let names: Vec<_> = workflows.iter().map(|it| it["workflow"].as_str().unwrap()).collect();
    assert_eq!(names, ["demo/booking", "demo/hello"]);
    assert_eq!(workflows[0]["newest"], "1.10.0", "versions are no texts: {all:#}");
    let one = fleet.read("/v1/definitions/demo/booking/1.0.0").await;
    assert_eq!(
        (one["text"].as_str(), &one["definition"]["document"]["name"]),
        (Some(BOOKING), &json!("booking"))
    );
    let graph = fleet.read("/v1/definitions/demo/booking/1.0.0/graph").await;
    let nodes: Vec<_> =
        graph["nodes"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(nodes, ["start", "/do/0/prepare", "/do/1/book", "end"]);
    assert_eq!(fleet.get("/v1/definitions/demo/booking/9.0.0/graph").await.0, 404);
    // What is served is the document that is committed.
    let document = fleet.read("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["paths"]["/v1/instances"]["post"]["operationId"], "startInstance");
    assert_eq!(fleet.stop_processor(), Some(0));
}

pub(crate) async fn dead_letters_are_looked_at_and_produced_again(place: Place) {
    let mut fleet = Fleet::new(place, 4, &[HELLO]).await;
    fleet.start_processor(&[]).await;
    let worker = fleet.kafka.work(greeting);
    assert_eq!(fleet.read("/v1/dead-letters").await, json!({ "dead_letters": [] }));
    for n in 0..7 {
        fleet.kafka.produce("events", format!("x-{n}").as_bytes(), &[], b"{\"no\": 1}").await;
    }
    // A start of what is not deployed yet, in binary mode: its headers say what it is.
    let headers =
        [("specversion", "1.0"), ("id", "s-1"), ("source", "/test"), ("type", "io.millrace.instance.start")];
    let mut headers: Vec<_> =
        headers.iter().map(|(name, value)| (format!("ce_{name}"), (*value).into())).collect();
    headers.push(("ce_workflow".to_owned(), "demo/approval".into()));
    headers.push(("mine".to_owned(), "kept".into()));
    fleet.kafka.produce("events", b"late", &headers, b"{}").await;
    let letters =
        async || fleet.read("/v1/dead-letters?limit=500").await["dead_letters"].as_array().unwrap().clone();
    fleet.until("all are there", async || letters().await.len() == 8).await;

    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = fleet.read(&format!("/v1/dead-letters?limit=3{cursor}")).await;
        assert!(page["dead_letters"].as_array().unwrap().len() <= 3);
        seen.extend(
            page["dead_letters"].as_array().unwrap().iter().map(|it| it["key"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let unique: BTreeSet<_> = seen.iter().collect();
    assert_eq!((seen.len(), unique.len()), (8, 8), "{seen:?}");

    let late = letters().await.into_iter().find(|it| it["key"] == "late").unwrap();
    let place = format!("{}/{}", late["dead_letter_partition"], late["dead_letter_offset"]);
    assert_eq!(fleet.read(&format!("/v1/dead-letters/{place}")).await["reason"], late["reason"]);
    let file = fleet.file("approval.yaml", APPROVAL);
    fleet.run(&["deploy", &file]).succeeds();
    let (status, redriven) = fleet.post(&format!("/v1/dead-letters/{place}/redrive"), &json!({})).await;
    assert_eq!(status, 200, "{redriven:#}");
    fleet.until_status("late", "running").await;
    // By the command line as well: it exists now, so the second one is refused as any other start.
    fleet.run(&["dead-letters", "redrive", &place]).succeeds();
    assert_eq!(letters().await.len(), 8, "a dead letter stays");
    let missing = fleet.post("/v1/dead-letters/0/999999/redrive", &json!({})).await;
    assert_eq!((missing.0, &missing.1["error"]["code"]), (404, &json!("not_found")));
    assert_eq!(fleet.get("/v1/dead-letters/99/0").await.0, 404);
    drop(worker);
    assert_eq!(fleet.stop_processor(), Some(0));
}

/// What a stream has told so far.
struct Told {
    response: reqwest::Response,
    text: String,
}

impl Told {
    async fn of(fleet: &Fleet, path: &str, last: Option<&str>) -> Self {
        let mut request = reqwest::Client::new().get(format!("{}{path}", fleet.url()));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The entries, when this is among the types of their events.
    async fn until(&mut self, event_type: &str) -> Vec<Value> {
        let is_there =
            |entries: &[Value]| entries.iter().any(|it| types(it).iter().any(|it| it == event_type));
        self.until_told(event_type, is_there).await
    }

    /// The instances, when two have started.
    async fn until_two(&mut self) -> BTreeSet<String> {
        let started = |entries: &[Value]| -> BTreeSet<String> {
            let entries = entries.iter().filter(|it| types(it).iter().any(|it| it == "instance_started"));
            entries.map(|it| it["instance"].as_str().unwrap().to_owned()).collect()
        };
        started(&self.until_told("the start of two", |it| started(it).len() >= 2).await)
    }

    async fn until_told(&mut self, what: &str, is_told: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let reading = async {
            while !is_told(&self.entries()) {
                let chunk = self.response.chunk().await.unwrap().expect("the stream goes on");
                self.text.push_str(&String::from_utf8_lossy(&chunk));
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(60), reading).await;
        assert!(read.is_ok(), "waited in vain for {what}: {}", self.text);
        self.entries()
    }

    /// Of whole events.
    fn entries(&self) -> Vec<Value> {
        let (whole, _) = self.text.rsplit_once("\n\n").unwrap_or_default();
        let data = whole.split("\n\n").filter(|it| it.contains("event: entry"));
        let data = data.filter_map(|it| it.lines().find_map(|it| it.strip_prefix("data: ")));
        data.map(|it| serde_json::from_str(it).unwrap()).collect()
    }

    fn last_id(&self) -> String {
        self.text.lines().filter_map(|it| it.strip_prefix("id: ")).next_back().unwrap().to_owned()
    }
}

fn types(entry: &Value) -> Vec<String> {
    let events = entry["events"].as_array().unwrap().iter();
    events.map(|it| it["type"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn what_happens_is_told_as_it_happens(place: Place) {
    let mut fleet = Fleet::new(place, 2, &[APPROVAL, BOOKING]).await;
    fleet.start_processor(&[]).await;
    let mut one = Told::of(&fleet, "/v1/instances/a-1/events", None).await;
    let mut all = Told::of(&fleet, "/v1/events", None).await;
    let mut approvals = Told::of(&fleet, "/v1/events?workflow=demo/approval&payloads=true", None).await;
    fleet.post("/v1/instances", &json!({ "workflow": "demo/booking", "id": "b-1" })).await;
    fleet
        .post("/v1/instances", &json!({ "workflow": "demo/approval", "id": "a-1", "input": { "x": 1 } }))
        .await;
    let told = one.until("instance_started").await;
    assert_eq!(told.len(), 1, "of no other instance: {told:#?}");
    assert_eq!(all.until_two().await, BTreeSet::from(["a-1".to_owned(), "b-1".to_owned()]));
    let told = approvals.until("instance_started").await;
    assert_eq!((&told[0]["instance"], &told[0]["workflow"]), (&json!("a-1"), &json!("demo/approval/1.0.0")));
    assert_eq!(told[0]["events"][0]["raw_input"], json!({ "x": 1 }));
    assert!(
        all.entries().iter().all(|it| it["events"][0].get("raw_input").is_none()),
        "only if it is asked for"
    );

    // Cut off; what happens meanwhile is told later, once.
    let (last_of_one, last_of_approvals) = (one.last_id(), approvals.last_id());
    drop((one, approvals));
    fleet.post("/v1/instances/a-1/signals", &json!({ "type": "demo.approved", "data": {} })).await;
    fleet.until_status("a-1", "completed").await;
    let mut one = Told::of(&fleet, "/v1/instances/a-1/events", Some(&last_of_one)).await;
    let told = one.until("instance_completed").await;
    assert_eq!(told.len(), 1, "{told:#?}");
    let mut approvals = Told::of(&fleet, "/v1/events?workflow=demo/approval", Some(&last_of_approvals)).await;
    let told = approvals.until("instance_completed").await;
    assert!(told.iter().all(|it| it["workflow"] == "demo/approval/1.0.0"), "{told:#?}");
    // From the beginning.
    let mut whole = Told::of(&fleet, "/v1/instances/a-1/events?after=0", None).await;
    let told = whole.until("instance_completed").await;
    let history = fleet.read("/v1/instances/a-1/history").await;
    assert_eq!(Value::from(told), history["entries"], "the stream is the history");
    let wrong = reqwest::Client::new().get(format!("{}/v1/events", fleet.url())).header("last-event-id", "?");
    assert_eq!(wrong.send().await.unwrap().status().as_u16(), 400);
    // Whoever stops ends the streams, and does not wait for them.
    drop(all);
    assert_eq!(fleet.stop_processor(), Some(0));
}
