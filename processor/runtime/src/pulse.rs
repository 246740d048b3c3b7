//! A process that has stood still for minutes (stopped, swapped out; a suspended machine stops the monotonic clock too, and is not
//! seen) must not write on as if nothing had happened:
//! the stub of an instance that ended meanwhile may have expired, and a late snapshot would bring the instance back
//! (state protocol 2.7, "Deletion of finished instances"). It ends, and is started again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

/// Far above any pause that a healthy process has, far below the time that stubs are kept.
pub(crate) const STANDSTILL_MAX: Duration = Duration::from_secs(300);

/// Beats once each turn of the lane's loop, at least every second. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Pulse {
    last: Arc<Mutex<(Instant, SystemTime)>>,
}

impl Pulse {
    pub(crate) fn new() -> Self {
        Self { last: Arc::new(Mutex::new((Instant::now(), SystemTime::now()))) }
    }

    /// The loop has come round. False if it took so long that the process must end.
    pub(crate) fn beat(&self) -> bool {
        if self.has_stopped() {
            return false;
        }
        *self.last.lock().expect("no holder panics") = (Instant::now(), SystemTime::now());
        true
    }

    /// By both clocks: one alone may have been set.
    pub(crate) fn has_stopped(&self) -> bool {
        let (instant, time) = *self.last.lock().expect("no holder panics");
        stood_still(instant.elapsed(), time.elapsed().unwrap_or_default())
    }
}

fn stood_still(monotonic: Duration, wall: Duration) -> bool {
    monotonic > STANDSTILL_MAX && wall > STANDSTILL_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_no_standstill() {
        let (short, long) = (Duration::from_secs(1), STANDSTILL_MAX * 2);
        assert!(stood_still(long, long));
        assert!(!stood_still(short, long) && !stood_still(long, short) && !stood_still(short, short));
        assert!(Pulse::new().beat());
    }
}
