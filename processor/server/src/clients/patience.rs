//! Servers that are not there yet when a process starts: it waits for them, and says so, instead of ending and being started again.

use std::time::Duration;

use clap::Args;
use tokio::time::{Instant, sleep};

use crate::config::parse_duration;
use crate::exit::{Failure, Problem};
use crate::output::Output;

/// Between the end of one try and the next: the first time, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How often it is said what is waited for.
const TELLING: Duration = Duration::from_secs(10);

/// Of what starts with its servers.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// How long Kafka, the store and the registry may be out of reach at the start, all together, until that is an error; 0s: not at all
    #[arg(long, default_value = "1m", env = "MILLRACE_WAIT_FOR_SERVERS", value_name = "DURATION")]
    #[arg(help_heading = "Connection", value_parser = parse_duration)]
    wait_for_servers: Duration,
}

impl Patience {
    /// Begins to run out.
    pub(crate) fn begin(self, output: Output) -> Waiting {
        let begun = Instant::now();
        Waiting { output, begun, deadline: begun + self.wait_for_servers }
    }
}

/// Patience that runs out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    output: Output,
    begun: Instant,
    deadline: Instant,
}

impl Waiting {
    /// Tries until it succeeds, fails for good, or patience has run out: then with the last error. `doing` reads like
    /// `connecting to Kafka`.
    pub(crate) async fn until<T>(
        self,
        doing: &str,
        attempt: impl AsyncFn() -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let (mut pause, mut told) = (PAUSE, None);
        let mut result = self.output.patiently(doing, attempt()).await;
        loop {
            let error = match result {
                Err(error) if passes(&error) => error,
                done => return done,
            };
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(error);
            }
            if told.is_none_or(|it: Instant| it.elapsed() >= TELLING) {
                told = Some(Instant::now());
                self.output.note(&self.tell(doing, left, &error));
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(PAUSE_MAX);
            result = attempt().await;
        }
    }

    fn tell(self, doing: &str, left: Duration, error: &anyhow::Error) -> String {
        let Problem { message, causes, .. } = Problem::of(error);
        // The first cause says what, and the last one why.
        let why = causes.last().map(|it| format!(": {it}")).unwrap_or_default();
        let waited = self.begun.elapsed().as_secs();
        format!("{doing}, {waited} s so far, for {} s more: {message}{why}", left.as_secs())
    }
}

/// Whether it may be mended by itself.
fn passes(error: &anyhow::Error) -> bool {
    error.chain().find_map(|it| it.downcast_ref::<Failure>()).is_some_and(|it| it.passes)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::output::Format;

    fn waiting(patience: Duration) -> Waiting {
        Patience { wait_for_servers: patience }.begin(Output::new(Format::Human))
    }

    fn absent() -> anyhow::Error {
        let failure = Failure::new("cannot reach it", "start it").because("nobody listens");
        Failure { passes: true, ..failure }.into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_comes_in_time_is_no_error() {
        let tries = AtomicU32::new(0);
        let found = waiting(Duration::from_secs(60))
            .until("looking", async || match tries.fetch_add(1, Ordering::Relaxed) {
                0..3 => Err(absent()),
                _ => Ok("here"),
            })
            .await;
        assert_eq!(found.expect("came"), "here");
        assert_eq!(tries.into_inner(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_tells_why_it_was_needed() {
        let waiting = waiting(Duration::from_secs(30));
        let never = waiting.until("looking", async || Err::<(), _>(absent())).await;
        assert_eq!(never.expect_err("never comes").to_string(), "cannot reach it");
        assert_eq!(waiting.begun.elapsed().as_secs(), 30);
        assert_eq!(
            waiting.tell("looking", Duration::from_secs(5), &absent()),
            "looking, 30 s so far, for 5 s more: cannot reach it: nobody listens"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_pass_is_not_waited_for() {
        let begun = Instant::now();
        let refused = || anyhow::Error::new(Failure::new("wrong password", "correct it"));
        let refused =
            waiting(Duration::from_secs(60)).until("looking", async || Err::<(), _>(refused())).await;
        assert_eq!(refused.expect_err("is refused").to_string(), "wrong password");
        let once = waiting(Duration::ZERO).until("looking", async || Err::<(), _>(absent())).await;
        once.expect_err("has no patience");
        assert!(begun.elapsed().is_zero());
    }
}
