//! Runs one task: its handler, beside its heartbeats, until its deadline.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, interval_at, sleep};

use crate::answer::Answer;
use crate::metrics::QueueMetrics;
use crate::router::Router;
use crate::{Task, TaskFailure};

/// Heartbeats sent in one heartbeat interval: two may be lost or slow.
const BEATS_PER_INTERVAL: u32 = 3;

/// Heartbeats are not sent more often than this, however short the interval is.
const BEAT_PAUSE_MIN: Duration = Duration::from_millis(10);

/// How a task ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// With something to say to the instance.
    Answered(Answer),
    /// Its deadline is over: nobody waits for an answer any more.
    Late,
}

/// Runs the handler of `task`. A panic in it is a retriable failure.
pub(crate) async fn execute(router: &Router, task: &Task, metrics: &QueueMetrics) -> Outcome {
    let handler = match router.find(task.function()) {
        Ok(handler) => handler,
        Err(failure) => return Outcome::Answered(Answer::Failed(failure)),
    };
    let time_left = task.time_left();
    if time_left == Some(Duration::ZERO) {
        return Outcome::Late;
    }
    // The call itself is within the catch as well: a handler that is a plain function may panic before its first await.
    let handled = AssertUnwindSafe(async { handler.handle_boxed(task.clone()).await }).catch_unwind();
    tokio::select! {
        biased;
        result = handled => Outcome::Answered(match result {
            Ok(Ok(output)) => Answer::Completed(output),
            Ok(Err(failure)) => Answer::Failed(failure),
            Err(panic) => {
                metrics.panicked.inc();
                let said = panic_message(&*panic);
                tracing::error!(instance = %task.instance(), function = task.function(), panic = said, "handler panicked");
                Answer::Failed(TaskFailure::retriable("the handler panicked").with_detail(said))
            }
        }),
        () = pass(time_left) => Outcome::Late,
        () = beat(task) => unreachable!("heartbeats go on until the handler ends"),
    }
}

/// Waits for the deadline; for ever when there is none.
async fn pass(time_left: Option<Duration>) {
    match time_left {
        Some(time_left) => sleep(time_left).await,
        None => std::future::pending().await,
    }
}

/// Sends heartbeats, for ever.
async fn beat(task: &Task) {
    let Some(interval) = task.heartbeat_interval() else { return std::future::pending().await };
    let pause = (interval / BEATS_PER_INTERVAL).max(BEAT_PAUSE_MIN);
    let mut ticks = interval_at(Instant::now() + pause, pause);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        task.heartbeat();
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("the panic carries no text")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{SystemTime, UNIX_EPOCH};

    use millrace_schemas::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::task::{Pulse, Trace, tests::command};

    #[derive(Default)]
    struct Beats(AtomicU64);
    impl Pulse for Beats {
        fn beat(&self, _: &Task) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn in_ms(ms: i64) -> Option<Timestamp> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        Some(Timestamp(i64::try_from(now).unwrap() + ms))
    }

    fn router() -> Router {
        let mut router = Router::default();
        router.add("echo".to_owned(), |task: Task| async move { Ok(task.raw_arguments().clone()) });
        router.add("decline".to_owned(), |_: Task| async { Err(TaskFailure::permanent("declined")) });
        router.add("panic".to_owned(), |_: Task| async { panic!("no such {}", "thing") });
        router.add("sleep-10s".to_owned(), |_: Task| async {
            sleep(Duration::from_secs(10)).await;
            Ok(Value::Null)
        });
        router
    }

    async fn run(task: &Task) -> (Outcome, u64) {
        let metrics = crate::WorkerMetrics::default().of("queue", [], 1);
        let outcome = execute(&router(), task, &metrics).await;
        (outcome, metrics.counts().panicked)
    }

    fn failure(outcome: Outcome) -> TaskFailure {
        match outcome {
            Outcome::Answered(Answer::Failed(failure)) => failure,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn what_the_handler_gives_is_the_answer() {
        let (outcome, _) = run(&Task::detached(command("echo", json!([1])))).await;
        assert_eq!(outcome, Outcome::Answered(Answer::Completed(json!([1]))));
        assert!(!failure(run(&Task::detached(command("decline", json!([])))).await.0).retriable);
    }

    #[tokio::test]
    async fn an_unknown_function_is_refused_without_a_retry() {
        assert!(!failure(run(&Task::detached(command("unheard-of", json!([])))).await.0).retriable);
    }

    #[tokio::test]
    async fn a_panic_is_a_retriable_failure() {
        let (outcome, panicked) = run(&Task::detached(command("panic", json!([])))).await;
        let failure = failure(outcome);
        assert!(failure.retriable);
        assert_eq!(failure.error.detail.as_deref(), Some("no such thing"));
        assert_eq!(panicked, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_is_cancelled_at_its_deadline() {
        let mut late = command("sleep-10s", json!([]));
        late.deadline = in_ms(5_000);
        let start = Instant::now();
        assert_eq!(run(&Task::detached(late)).await.0, Outcome::Late);
        assert!(start.elapsed() <= Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_whose_deadline_is_over_is_not_begun() {
        let mut late = command("panic", json!([]));
        late.deadline = in_ms(-1);
        assert_eq!(run(&Task::detached(late)).await, (Outcome::Late, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn heartbeats_go_out_at_a_third_of_the_interval_while_the_handler_runs() {
        let mut slow = command("sleep-10s", json!([]));
        slow.heartbeat_ms = Some(6_000);
        let beats = Arc::new(Beats::default());
        let (outcome, _) = run(&Task::new(slow, Trace::default(), beats.clone())).await;
        assert_eq!(outcome, Outcome::Answered(Answer::Completed(Value::Null)));
        // At 2, 4, 6 and 8 seconds; at 10 the handler's end comes first.
        assert_eq!(beats.0.load(Ordering::Relaxed), 4);
    }
}
