//! What a run has shown: for the verdict, and as a page for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::log::Log;
use super::{Kill, Plan, RATE, SERVES_S};
use crate::report::Verdict;

/// Examples that the verdict shows of what is odd.
const ODD_SHOWN: usize = 3;

#[derive(Debug)]
pub(crate) struct Summary<'a> {
    plan: &'a Plan,
    /// The report of the shop.
    orders: &'a Value,
    problems: Vec<String>,
    /// Sorted.
    back_ms: Vec<u64>,
    /// Sorted.
    broker_open_ms: Vec<u64>,
    /// Kills before which no order had been acknowledged or had ended since the kill before.
    idle: usize,
    served: Duration,
    torn: usize,
    torn_journals: usize,
    warnings: BTreeMap<&'a str, usize>,
}

impl<'a> Summary<'a> {
    /// Of the logs, the last one is that of a start after a stop in good order.
    pub(crate) fn new(
        plan: &'a Plan,
        kills: &[Kill],
        logs: &'a [Log],
        orders: &'a Value,
        shop_holds: bool,
    ) -> Self {
        let sorted = |figures: Vec<u64>| {
            let mut figures = figures;
            figures.sort_unstable();
            figures
        };
        let back_ms = kills.iter().map(|it| u64::try_from(it.back_after.as_millis()).unwrap_or(u64::MAX));
        let mut warnings: BTreeMap<&str, usize> = BTreeMap::new();
        for (warning, count) in logs.iter().flat_map(|it| &it.warnings) {
            *warnings.entry(warning).or_default() += count;
        }
        Self {
            plan,
            orders,
            problems: problems(logs, orders, shop_holds),
            back_ms: sorted(back_ms.collect()),
            broker_open_ms: sorted(logs.iter().filter_map(|it| it.broker_open_ms).collect()),
            idle: kills.iter().filter(|it| it.moved == 0).count(),
            served: kills.iter().map(|it| it.served).sum(),
            torn: logs.iter().map(|it| it.torn).sum(),
            torn_journals: logs.iter().filter(|it| it.is_journal_torn).count(),
            warnings,
        }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let Self { plan, orders, back_ms, idle, torn, torn_journals, .. } = self;
        let [back_median, back_max] = [median(back_ms), most(back_ms)];
        let line = format!(
            "{} orders through {} kills, of which {idle} came before any order had moved; it served again after {back_median} ms (median, at \
             most {back_max}); {torn} torn ends of logs and {torn_journals} of the journal were cut off",
            orders["orders"], plan.times
        );
        let holds = self.problems.is_empty();
        let detail = if holds {
            format!("{line}; every order ended once and the ledger agrees")
        } else {
            format!("{}; {line}", self.problems.join("; "))
        };
        Verdict::new(holds, detail)
            .figures_of((*orders).clone())
            .figure("kills", plan.times)
            .figure("kill_seed", plan.seed)
            .figure("kills_idle", *idle)
            .figure("back_ms_median", back_median)
            .figure("back_ms_max", back_max)
            .figure("broker_open_ms_median", median(&self.broker_open_ms))
            .figure("broker_open_ms_max", most(&self.broker_open_ms))
            .figure("torn_logs", *torn)
            .figure("torn_journals", *torn_journals)
            .figure("problems", json!(self.problems))
            .figure("warnings", json!(self.warnings))
    }

    pub(crate) fn table(&self) -> String {
        let Self { plan, orders, idle, torn, torn_journals, .. } = self;
        let (from, to) = SERVES_S;
        let mut table = format!(
            "Written by `cargo xtask dev-kill --times {} --seed {} --report`: see `ops/xtask/src/dev_kill` for the kills, and \
             `load-tests/src/orders` for what is checked. `kill -9` after {from} to {to} s of serving, then a start in the same folder at once, \
             while a shop in another process sends {RATE} orders a second.\n\n| | |\n|---|---|\n",
            plan.times, plan.seed
        );
        let rows = [
            (
                "kills; before how many no order had moved since the kill before",
                format!("{}; {idle}", plan.times),
            ),
            ("time that it served between kills, s", format!("{:.0}", self.served.as_secs_f64())),
            (
                "from the kill to serving, ms: median, at most",
                format!("{}, {}", median(&self.back_ms), most(&self.back_ms)),
            ),
            (
                "of that the broker's recovery, ms: median, at most",
                format!("{}, {}", median(&self.broker_open_ms), most(&self.broker_open_ms)),
            ),
            ("orders", orders["orders"].to_string()),
            (
                "delivered, cancelled, failed",
                format!("{}, {}, {}", orders["delivered"], orders["cancelled"], orders["failed"]),
            ),
            (
                "effects that came again under their key, and did not count again",
                orders["repeated_effects"].to_string(),
            ),
            ("torn ends that were cut off: of logs, of the journal", format!("{torn}, {torn_journals}")),
        ];
        // Writing to a text cannot fail.
        for (name, value) in rows {
            let _ = writeln!(table, "| {name} | {value} |");
        }
        if !self.warnings.is_empty() {
            table.push_str("\n| other warnings in its logs | count |\n|---|---|\n");
            for (warning, count) in &self.warnings {
                let _ = writeln!(table, "| {warning} | {count} |");
            }
        }
        table
    }
}

fn problems(logs: &[Log], orders: &Value, shop_holds: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if !shop_holds {
        let checks = orders["checks"].as_array().into_iter().flatten();
        let broken = checks.filter(|it| it["holds"] == false).filter_map(|it| it["name"].as_str());
        let broken: Vec<&str> = broken.collect();
        problems.push(format!("the orders do not add up: not so: {}", broken.join(", ")));
    } else if orders["orders"].as_u64().unwrap_or_default() == 0 {
        problems.push("no order was sent".to_owned());
    }
    let odd: Vec<&String> = logs.iter().flat_map(|it| &it.odd).collect();
    if !odd.is_empty() {
        problems.push(format!("{} odd lines in the logs", odd.len()));
        problems.extend(odd.into_iter().take(ODD_SHOWN).cloned());
    }
    if let Some(last) = logs.last() {
        let complaints = last.complaints();
        problems.extend(complaints.into_iter().map(|it| format!("after a stop in good order: {it}")));
    }
    problems
}

fn median(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

fn most(sorted: &[u64]) -> u64 {
    sorted.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(logs: &[Log], orders: &Value, shop_holds: bool) -> Verdict {
        let plan = Plan { times: 2, seed: 1, report: None };
        let kill =
            |ms, moved| Kill { served: Duration::from_secs(1), back_after: Duration::from_millis(ms), moved };
        Summary::new(&plan, &[kill(300, 0), kill(100, 7)], logs, orders, shop_holds).verdict()
    }

    #[test]
    fn a_torn_end_is_fine_and_anything_odd_is_not() {
        let orders = json!({ "orders": 9, "checks": [{ "name": "every order ended", "holds": true }] });
        let torn = || Log { torn: 2, broker_open_ms: Some(5), ..Log::default() };
        let good = verdict(&[torn(), Log::default()], &orders, true);
        assert!(good.holds, "{}", good.detail);
        assert_eq!((&good.figures["back_ms_max"], &good.figures["torn_logs"]), (&json!(300), &json!(2)));
        assert_eq!((&good.figures["kills_idle"], &good.figures["orders"]), (&json!(1), &json!(9)));

        assert!(!verdict(&[Log::default(), torn()], &orders, true).holds, "torn after a stop in good order");
        let odd = Log { odd: vec!["panicked".to_owned()], ..Log::default() };
        assert!(!verdict(&[odd, Log::default()], &orders, true).holds);
        assert!(!verdict(&[torn(), Log::default()], &json!({ "orders": 0 }), true).holds, "nothing was sent");
        let broken = json!({ "orders": 9, "checks": [{ "name": "the books balance", "holds": false }] });
        let broken = verdict(&[torn(), Log::default()], &broken, false);
        assert!(!broken.holds && broken.detail.contains("the books balance"), "{}", broken.detail);
    }
}
