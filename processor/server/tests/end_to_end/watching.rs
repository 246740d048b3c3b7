//! What the platform sees of a fleet: health and metrics, of processors and of workers.

use std::collections::BTreeSet;

use crate::support::{Fleet, Place};

const CATALOGUE: &str = include_str!("../../../../ops/METRICS.md");

/// A call of the API itself, by the built-in worker.
fn ask(api: &str) -> String {
    format!(
        "document: {{dsl: 1.0.3, namespace: watch, name: ask, version: 1.0.0}}\n\
         do:\n\
         - ask: {{call: http, with: {{method: get, endpoint: '{api}/livez', output: raw}}}}\n\
         - rest: {{wait: {{milliseconds: 10}}}}\n"
    )
}

/// The names in a page of `/metrics`.
fn names(page: &str) -> BTreeSet<&str> {
    page.lines().filter_map(|it| it.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

/// The sum over all series of a metric in a page of `/metrics`; none if there is none.
fn sum(page: &str, name: &str) -> Option<f64> {
    let series = page.lines().filter_map(|it| it.strip_prefix(name));
    let values = series.filter(|it| it.starts_with(['{', ' '])).map(|it| it.rsplit_once(' ').unwrap().1);
    values.map(|it| it.parse::<f64>().unwrap()).reduce(|a, b| a + b)
}

async fn get(url: &str) -> (u16, String) {
    match reqwest::get(url).await {
        Ok(response) => (response.status().as_u16(), response.text().await.unwrap()),
        Err(error) => (0, error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_shows_what_the_catalogue_says() {
    let fleet = Fleet::new(Place::Dev, 2, &[]).await;
    let file = fleet.file("ask.yaml", &ask(fleet.url()));
    fleet.run(&["deploy", &file]).succeeds();
    fleet.run(&["start", "watch/ask", "--id", "a-1", "--wait"]).succeeds();
    fleet.run(&["start", "watch/nothing", "--id", "n-1"]).succeeds();
    fleet.until_metric(r#"millrace_dead_letters_total{reason="unknown-workflow"}"#, 1.0).await;

    let series = r#"millrace_instances_ended_total{status="completed",workflow="watch/ask"}"#;
    fleet.until_metric(series, 1.0).await;
    // All is handled: markers of transactions, which stand behind the last records, are no backlog.
    let backlog = async || sum(&fleet.get("/metrics").await.1, "millrace_partition_backlog_records");
    fleet.until("nothing waits", async || backlog().await == Some(0.0)).await;

    // What is of a partition is shown once a second.
    let open = async || sum(&fleet.get("/metrics").await.1, "millrace_partition_tasks_open");
    fleet.until("the task is counted, and not open", async || open().await == Some(0.0)).await;

    let (_, page) = fleet.get("/metrics").await;
    let unknown: Vec<&str> =
        names(&page).into_iter().filter(|it| !CATALOGUE.contains(&format!("| `{it}` |"))).collect();
    assert!(unknown.is_empty(), "shown, and not in the catalogue: {unknown:?}");
    let at_least_once = [
        "millrace_record_latency_seconds_count",
        "millrace_instance_duration_seconds_count",
        "millrace_steps_total",
        "millrace_cache_lookups_total",
        "millrace_tasks_dispatched_total",
        "millrace_tasks_ended_total",
        "millrace_task_duration_seconds_count",
        "millrace_timers_fired_total",
        "millrace_partition_acquire_duration_seconds_count",
        "millrace_partition_acquire_phase_seconds_count",
        "millrace_store_rows_written_total",
        "millrace_ready",
        "millrace_worker_tasks_total",
        "millrace_worker_task_wait_seconds_count",
    ];
    for name in at_least_once {
        assert!(sum(&page, name).is_some_and(|it| it >= 1.0), "{name} is {:?}", sum(&page, name));
    }
    let exactly = [
        ("millrace_partitions", 2.0),
        ("millrace_partitions_active", 2.0),
        ("millrace_partition_serving", 2.0),
        ("millrace_partition_failed", 0.0),
        ("millrace_partition_tasks_open", 0.0),
        ("millrace_partition_backlog_seconds", 0.0),
        ("millrace_definitions", 1.0),
    ];
    for (name, value) in exactly {
        assert_eq!(sum(&page, name), Some(value), "{name}");
    }
    let phases = ["ownership", "replay", "claim"]
        .map(|it| sum(&page, &format!(r#"millrace_partition_acquire_phase_seconds_count{{phase="{it}"}}"#)));
    assert_eq!(phases, [Some(2.0); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_whether_it_is_ready_and_what_it_does() {
    let fleet = Fleet::new(Place::Dev, 2, &[]).await;
    let file = fleet.file("ask.yaml", &ask(fleet.url()));
    fleet.run(&["deploy", &file]).succeeds();
    let worker = fleet.start_worker(&["--allow-private-networks"]);
    let at = |path: &str| format!("{}{path}", worker.url());
    assert_eq!(get(&at("/livez")).await, (200, "alive\n".to_owned()));
    fleet.until("the worker is ready", async || get(&at("/readyz")).await.0 == 200).await;
    let assigned = async || sum(&get(&at("/metrics")).await.1, "millrace_worker_partitions_assigned");
    fleet.until("it has a share of the queue", async || assigned().await.is_some_and(|it| it >= 1.0)).await;
    assert_eq!(get(&at("/readyz")).await, (200, "ready: serving the queue\n".to_owned()));

    // That of `dev` has the other partitions of the queue: tasks go to one and the other in turn.
    let done = async || sum(&get(&at("/metrics")).await.1, "millrace_worker_tasks_total").unwrap_or(0.0);
    let mut number = 0;
    while done().await == 0.0 {
        number += 1;
        assert!(number < 20, "none of the tasks came to this worker");
        fleet.run(&["start", "watch/ask", "--id", &format!("a-{number}"), "--wait"]).succeeds();
    }
    let (_, page) = get(&at("/metrics")).await;
    let unknown: Vec<&str> =
        names(&page).into_iter().filter(|it| !CATALOGUE.contains(&format!("| `{it}` |"))).collect();
    assert!(unknown.is_empty(), "shown, and not in the catalogue: {unknown:?}");
    assert_eq!(sum(&page, "millrace_worker_ready"), Some(1.0));
    assert_eq!(sum(&page, "millrace_worker_concurrency"), Some(64.0));
    assert_eq!(sum(&page, "millrace_worker_panics_total"), Some(0.0));
    assert!(page.contains(r#"function="http",outcome="completed""#), "{page}");
    assert_eq!(get(&at("/v1/instances")).await.0, 404);
    assert_eq!(worker.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_brokers_lives_and_is_not_ready() {
    let fleet = Fleet::new(Place::Dev, 1, &[]).await;
    // Nobody listens there.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let worker = fleet.start_worker(&["--bootstrap", &nobody]);
    let at = |path: &str| format!("{}{path}", worker.url());
    assert_eq!(get(&at("/livez")).await.0, 200);
    let expected = (503, "not ready: no broker has answered yet\n".to_owned());
    assert_eq!(get(&at("/readyz")).await, expected);
    assert_eq!(sum(&get(&at("/metrics")).await.1, "millrace_worker_ready"), Some(0.0));
    assert_eq!(worker.stop(), Some(0));
}
