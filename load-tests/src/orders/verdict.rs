//! What must hold at the end of a run, and whether it does.

use serde::Serialize;

use super::board::{Board, End, Life};
use super::generate::Order;
use super::ledger::{Account, Ledger};

/// Examples shown of what breaks a check.
const EXAMPLES_MAX: usize = 10;

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Stable name.
    pub name: &'static str,
    /// Whether it does.
    pub holds: bool,
    /// What was counted.
    pub detail: String,
    /// Some of the orders that break it.
    pub examples: Vec<String>,
}

/// The sums of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Orders whose workflow said `delivered`.
    pub delivered: usize,
    /// Orders whose workflow said `cancelled`.
    pub cancelled: usize,
    /// Orders whose instance faulted, or was cancelled.
    pub failed: usize,
    /// In cents.
    pub charged_cents: u64,
    /// In cents.
    pub refunded_cents: u64,
    /// What the delivered orders cost, in cents.
    pub delivered_cents: u64,
    /// Effects that came again under their idempotency key.
    pub repeated_effects: u64,
}

/// Checks a run.
#[must_use]
pub fn judge(orders: &[Order], board: &Board, ledger: &Ledger) -> (Sums, Vec<Check>) {
    let accounts = ledger.accounts(orders.len());
    let mut sums = Sums { repeated_effects: ledger.repeated(), ..Sums::default() };
    for ((order, life), account) in orders.iter().zip(&board.lives).zip(&accounts) {
        match status(life) {
            Some("delivered") => {
                sums.delivered += 1;
                sums.delivered_cents += order.amount_cents;
            }
            Some("cancelled") => sums.cancelled += 1,
            _ => sums.failed += usize::from(life.ended > 0),
        }
        sums.charged_cents += account.charged_cents;
        sums.refunded_cents += account.refunded_cents;
    }
    let all = || {
        orders.iter().zip(&board.lives).zip(&accounts).map(|((order, life), account)| (order, life, account))
    };
    let check = |name, broken: &dyn Fn(&Order, &Life, &Account) -> Option<String>| {
        let broken: Vec<String> = all()
            .filter_map(|(order, life, account)| {
                Some(format!("{}: {}", order.id, broken(order, life, account)?))
            })
            .collect();
        Check {
            name,
            holds: broken.is_empty(),
            detail: format!("{} of {} orders break it", broken.len(), orders.len()),
            examples: broken.into_iter().take(EXAMPLES_MAX).collect(),
        }
    };
    let more_than_once = |what: &str, count: u32| (count > 1).then(|| format!("{what} {count} times"));
    let mut checks = vec![
        check("every order ended", &|_, life, _| {
            (life.ended == 0).then(|| format!("started {} times", life.started))
        }),
        check("no order ended twice", &|_, life, _| more_than_once("ended", life.ended)),
        check("no order started twice", &|_, life, _| more_than_once("started", life.started)),
        check("every order ended as its fate has it", &|order, life, _| {
            let expected = if order.fate.is_delivered() { "delivered" } else { "cancelled" };
            let end = life.end.as_ref()?;
            (status(life) != Some(expected))
                .then(|| format!("{end:?} instead of {expected}; {:?}", order.fate))
        }),
        check("every effect happened once", &|_, _, account| {
            let Account { reserved, released, charged, refunded, .. } = *account;
            (reserved.max(released).max(charged).max(refunded) > 1).then(|| format!("{account:?}"))
        }),
        check(
            "every order that ended is paid if it was delivered, and only then",
            &|order, life, account| {
                let due = if status(life) == Some("delivered") { order.amount_cents } else { 0 };
                let paid = i128::from(account.charged_cents) - i128::from(account.refunded_cents);
                (life.ended > 0 && paid != i128::from(due)).then(|| format!("{paid} cents paid, {due} due"))
            },
        ),
        check("every order that ended says what was charged and refunded", &|_, life, account| {
            let Some(End::Completed(output)) = &life.end else { return None };
            let says = (output["charged"].as_u64(), output["refunded"].as_u64());
            let books = (Some(account.charged_cents), Some(account.refunded_cents));
            (says != books).then(|| format!("{output}; {account:?}"))
        }),
        check(
            "every order that ended holds stock if it was delivered, and only then",
            &|_, life, account| {
                let holds = account.reserved > account.released;
                (life.ended > 0 && holds != (status(life) == Some("delivered")))
                    .then(|| format!("{account:?}"))
            },
        ),
    ];
    let kept = i128::from(sums.charged_cents) - i128::from(sums.refunded_cents);
    checks.push(Check {
        name: "the books balance",
        holds: kept == i128::from(sums.delivered_cents),
        detail: format!(
            "charged {} - refunded {} = {kept} cents; delivered {} cents",
            sums.charged_cents, sums.refunded_cents, sums.delivered_cents
        ),
        examples: Vec::new(),
    });
    checks.push(Check {
        name: "an idempotency key stands for one effect, and a refund for its charge",
        holds: ledger.conflicts().is_empty(),
        detail: format!(
            "{} conflicts, {} effects came again under their key",
            ledger.conflicts().len(),
            ledger.repeated()
        ),
        examples: ledger.conflicts().iter().take(EXAMPLES_MAX).cloned().collect(),
    });
    (sums, checks)
}

/// What the workflow said in the end.
fn status(life: &Life) -> Option<&str> {
    match life.end.as_ref()? {
        End::Completed(output) => output["status"].as_str(),
        End::Failed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::event::{ChangelogEntry, Event};
    use millrace_schemas::{EventId, Payload, Timestamp};
    use serde_json::json;

    use super::*;
    use crate::orders::generate::{Odds, order};
    use crate::orders::ledger::EffectKind;

    fn entry(event: Event) -> ChangelogEntry {
        let cause = EventId { source: "test".to_owned(), id: "1".to_owned() };
        ChangelogEntry { at: Timestamp(0), cause, traceparent: None, events: vec![event] }
    }

    fn started() -> ChangelogEntry {
        let workflow = "shop/order/1.0.0".parse().expect("three parts");
        entry(Event::InstanceStarted { workflow, raw_input: Payload::null(), input: None, parent: None })
    }

    fn completed(status: &str, order: &Order) -> ChangelogEntry {
        let cents = order.amount_cents;
        let refunded = if status == "delivered" { 0 } else { cents };
        let output = json!({ "status": status, "charged": cents, "refunded": refunded });
        entry(Event::InstanceCompleted { output: Payload::from(output) })
    }

    /// Order 0 is delivered; order 1 has lost its courier.
    fn good_run() -> (Vec<Order>, Board, Ledger) {
        let never = Odds { refused_percent: 0.0, lost_percent: 0.0 };
        let lost = Odds { refused_percent: 0.0, lost_percent: 100.0 };
        let orders = vec![order(1, "run", 0, never, "PT20S"), order(1, "run", 1, lost, "PT20S")];
        let mut board = Board::new(2);
        let mut ledger = Ledger::default();
        for (number, order) in orders.iter().enumerate() {
            board.see(number, started());
            ledger.enter(&format!("{number}/reserve"), EffectKind::Reserve, number, 0);
            ledger.enter(&format!("{number}/charge"), EffectKind::Charge, number, order.amount_cents);
        }
        ledger.enter("1/refund", EffectKind::Refund, 1, orders[1].amount_cents);
        ledger.enter("1/release", EffectKind::Release, 1, 0);
        board.see(0, completed("delivered", &orders[0]));
        board.see(1, completed("cancelled", &orders[1]));
        (orders, board, ledger)
    }

    fn broken((orders, board, ledger): (Vec<Order>, Board, Ledger)) -> Vec<&'static str> {
        judge(&orders, &board, &ledger).1.into_iter().filter(|it| !it.holds).map(|it| it.name).collect()
    }

    #[test]
    fn a_good_run_passes() {
        let (orders, board, ledger) = good_run();
        let (sums, _) = judge(&orders, &board, &ledger);
        assert_eq!((sums.delivered, sums.cancelled, sums.delivered_cents), (1, 1, orders[0].amount_cents));
        assert_eq!(broken((orders, board, ledger)), [""; 0]);
    }

    #[test]
    fn each_fault_is_seen() {
        let mut run = good_run();
        run.1.see(0, completed("delivered", &run.0[0]));
        assert_eq!(broken(run), ["no order ended twice"]);

        let mut run = good_run();
        run.1.see(1, started());
        assert_eq!(broken(run), ["no order started twice"]);

        let mut run = good_run();
        run.2.enter("0/charge-again", EffectKind::Charge, 0, 5);
        assert_eq!(
            broken(run),
            [
                "every effect happened once",
                "every order that ended is paid if it was delivered, and only then",
                "every order that ended says what was charged and refunded",
                "the books balance"
            ]
        );

        let mut run = good_run();
        run.2.enter("0/charge", EffectKind::Charge, 1, 5);
        assert_eq!(broken(run), ["an idempotency key stands for one effect, and a refund for its charge"]);

        let (orders, _, ledger) = good_run();
        let mut board = Board::new(2);
        board.see(0, completed("cancelled", &orders[0]));
        let names = broken((orders, board, ledger));
        assert!(
            names.contains(&"every order ended") && names.contains(&"every order ended as its fate has it"),
            "{names:?}"
        );
        assert!(names.contains(&"the books balance"));
        assert!(names.contains(&"every order that ended holds stock if it was delivered, and only then"));
    }
}
