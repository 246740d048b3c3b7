//! Plain produce.

use std::time::{Duration, Instant};

use millrace_schemas::cloud_event::EventRecord;
use tokio::time::sleep;

use super::records::{Mark, Shape};
use crate::follow::ends;
use crate::publish::Publisher;

const OPTIONS: [(&str, &str); 4] = [
    ("enable.idempotence", "true"),
    ("acks", "all"),
    ("compression.type", "none"),
    // A batch a partition is on its way at any time, and the next ones fill up meanwhile.
    ("linger.ms", "5"),
];

const TICK: Duration = Duration::from_millis(1);

/// Writes all records with one producer. Answers how long it took until the last one was acknowledged.
pub(super) async fn fill(bootstrap: &str, topic: &str, shape: &Shape) -> anyhow::Result<Duration> {
    // A new topic is not known everywhere at once: that is waited for here, and not measured.
    ends(bootstrap, topic)?;
    let publisher = Publisher::new(bootstrap, topic, &OPTIONS)?;
    let begun = Instant::now();
    for nth in 0..shape.records {
        let (partition, number) = shape.place(nth);
        let value = shape.value(partition, number, Mark::Kept);
        let record = EventRecord { key: None, headers: Vec::new(), value: Some(value.into()) };
        publisher.send_record(&record, Some(partition)).await?;
    }
    while publisher.in_flight() > 0 {
        publisher.check()?;
        sleep(TICK).await;
    }
    let took = begun.elapsed();
    publisher.check()?;
    Ok(took)
}
