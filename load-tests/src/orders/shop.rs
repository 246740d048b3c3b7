//! The workers of the shop, and its courier.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millrace_schemas::cloud_event::signal_event;
use millrace_schemas::{EventId, InstanceId};
use millrace_worker::{Task, TaskFailure, WorkerBuilder};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::generate::{Order, number};
use super::ledger::{EffectKind, Ledger};
use crate::publish::Publisher;

/// A step goes well at this try at the latest, or else an order's end would depend on the workflow's patience.
const GOOD_TRY: u32 = 3;

/// Everything that the workers share.
#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) run: String,
    pub(crate) orders: Arc<[Order]>,
    pub(crate) seed: u64,
    /// How often a try fails although another one may help, in percent.
    pub(crate) fail_percent: f64,
    pub(crate) ledger: Mutex<Ledger>,
    /// Orders whose courier is on the way.
    pub(crate) courier: mpsc::UnboundedSender<usize>,
}

/// When a try fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Before anything has happened.
    Before,
    /// After the effect, so that only the idempotency key saves the books.
    After,
}

impl Shop {
    /// The books.
    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the shop's functions to a worker.
    pub(crate) fn serve(self: &Arc<Self>, builder: WorkerBuilder) -> WorkerBuilder {
        let functions = [
            ("reserve-stock", EffectKind::Reserve),
            ("release-stock", EffectKind::Release),
            ("charge-payment", EffectKind::Charge),
            ("refund-payment", EffectKind::Refund),
            ("request-courier", EffectKind::Courier),
        ];
        functions.into_iter().fold(builder, |builder, (name, kind)| {
            let shop = self.clone();
            builder.function(name, move |task: Task| {
                let shop = shop.clone();
                async move { shop.perform(&task, kind) }
            })
        })
    }

    fn perform(&self, task: &Task, kind: EffectKind) -> Result<Value, TaskFailure> {
        let id = task.instance().as_str();
        let number = number(&self.run, id).filter(|it| *it < self.orders.len());
        let Some(number) = number else {
            return Err(TaskFailure::permanent(format!("{id} is no order of this run")));
        };
        let order = &self.orders[number];
        let key = task.idempotency_key();
        let mut ledger = self.ledger();
        let trouble = self.trouble(key, ledger.count_use(key));
        if trouble == Some(Trouble::Before) {
            return Err(unreachable("the other side does not answer", 503));
        }
        match kind {
            EffectKind::Reserve if order.fate.out_of_stock => {
                return Err(TaskFailure::permanent("out of stock")
                    .with_type("https://shop.example/errors/out-of-stock")
                    .with_status(409));
            }
            EffectKind::Charge if order.fate.declined => {
                return Err(TaskFailure::permanent("card declined")
                    .with_type("https://shop.example/errors/declined")
                    .with_status(402));
            }
            _ => {}
        }
        // The workflow says how much, not the generator: that it asks for the right thing is what the books check.
        let (output, is_new) = match kind {
            EffectKind::Reserve => (json!({ "reservation": key }), ledger.enter(key, kind, number, 0)),
            EffectKind::Release => (json!({ "released": true }), ledger.enter(key, kind, number, 0)),
            EffectKind::Courier => (json!({ "courier": "on the way" }), ledger.enter(key, kind, number, 0)),
            EffectKind::Charge => {
                let cents = task.argument("amount")?;
                (json!({ "charged": cents }), ledger.enter(key, kind, number, cents))
            }
            EffectKind::Refund => {
                let cents = ledger.refund(key, number, task.argument("charged")?);
                (json!({ "refunded": cents }), true)
            }
        };
        drop(ledger);
        if is_new && kind == EffectKind::Courier && !order.fate.lost {
            // The receiver ends after the workers; without it nobody waits for the courier any more.
            let _ = self.courier.send(number);
        }
        if trouble == Some(Trouble::After) {
            return Err(unreachable("the other side's answer was lost", 504));
        }
        Ok(output)
    }

    /// Drawn from the key and the number of the try, so that it does not depend on which worker is first.
    fn trouble(&self, key: &str, uses: u32) -> Option<Trouble> {
        if uses >= GOOD_TRY {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        (self.seed, key, uses).hash(&mut hasher);
        let mut rng = ChaCha8Rng::seed_from_u64(hasher.finish());
        let fails = rng.random_bool((self.fail_percent / 100.0).clamp(0.0, 1.0));
        fails.then(|| if rng.random_bool(0.5) { Trouble::Before } else { Trouble::After })
    }
}

/// Nobody knows whether the effect has happened.
fn unreachable(title: &str, status: u16) -> TaskFailure {
    TaskFailure::retriable(title)
        .with_type("https://serverlessworkflow.io/spec/1.0.0/errors/communication")
        .with_status(status)
}

/// Reports each delivery when its time has come. Ends when the shop is gone.
pub(crate) async fn deliver(
    orders: Arc<[Order]>,
    mut requested: mpsc::UnboundedReceiver<usize>,
    publisher: Publisher,
) {
    while let Some(number) = requested.recv().await {
        let (orders, publisher) = (orders.clone(), publisher.clone());
        tokio::spawn(async move {
            let order = &orders[number];
            sleep(Duration::from_millis(order.delivery_ms)).await;
            let instance = InstanceId::new(&order.id).expect("the generator's ids are short");
            let id = EventId { source: "/shop/courier".to_owned(), id: format!("{}-delivered", order.id) };
            let event = signal_event(
                id,
                &instance,
                "shop.courier.delivered",
                Some(json!({ "signedBy": "a neighbour" })),
            );
            if let Err(error) = publisher.send(&event).await {
                eprintln!("courier: {error:#}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use millrace_schemas::task::TaskCommand;
    use millrace_schemas::{Attempt, ExecutionId, Payload, TaskToken};

    use super::*;
    use crate::orders::generate::{Odds, order};

    fn shop(fail_percent: f64, odds: Odds) -> (Arc<Shop>, mpsc::UnboundedReceiver<usize>) {
        let orders: Arc<[Order]> = (0..3).map(|number| order(1, "run", number, odds, "PT20S")).collect();
        let (courier, requested) = mpsc::unbounded_channel();
        let shop =
            Shop { run: "run".to_owned(), orders, seed: 1, fail_percent, ledger: Mutex::default(), courier };
        (Arc::new(shop), requested)
    }

    fn task(order: &str, key: &str, arguments: Value) -> Task {
        Task::detached(TaskCommand {
            instance: InstanceId::new(order).unwrap(),
            token: TaskToken { execution: ExecutionId(1), dispatch: 1 },
            workflow: "shop/order/1.0.0".parse().unwrap(),
            task: "/do/0".into(),
            iteration: "".into(),
            attempt: Attempt::FIRST,
            idempotency_key: key.to_owned(),
            function: "any".into(),
            arguments: Payload::from(arguments),
            deadline: None,
            heartbeat_ms: None,
            secrets: Vec::new(),
        })
    }

    const GOOD: Odds = Odds { refused_percent: 0.0, lost_percent: 0.0 };

    #[test]
    fn a_step_fails_at_most_twice_and_its_effect_counts_once() {
        let (shop, _requested) = shop(100.0, GOOD);
        for key in 0..50 {
            let charge = task("order-run-1", &format!("key-{key}"), json!({ "amount": 100 }));
            let tries: Vec<bool> =
                (0..4).map(|_| shop.perform(&charge, EffectKind::Charge).is_ok()).collect();
            assert_eq!(tries, [false, false, true, true]);
        }
        let account = shop.ledger().accounts(3)[1];
        assert_eq!((account.charged, account.charged_cents), (50, 5_000));
        assert!(shop.ledger().repeated() > 50, "some tries failed after their effect");
    }

    #[test]
    fn the_courier_is_sent_once_and_never_for_a_lost_order() {
        let (shop, mut requested) = shop(0.0, GOOD);
        for _ in 0..2 {
            shop.perform(&task("order-run-2", "key", json!({})), EffectKind::Courier).unwrap();
        }
        assert_eq!(requested.try_recv(), Ok(2));
        assert!(requested.try_recv().is_err());

        let (lossy, mut requested) = self::shop(0.0, Odds { lost_percent: 100.0, ..GOOD });
        lossy.perform(&task("order-run-2", "key", json!({})), EffectKind::Courier).unwrap();
        assert!(requested.try_recv().is_err());
    }

    #[test]
    fn what_is_refused_has_no_effect() {
        let (shop, _requested) = shop(0.0, Odds { refused_percent: 100.0, ..GOOD });
        for kind in [EffectKind::Reserve, EffectKind::Charge] {
            assert!(
                !shop
                    .perform(&task("order-run-0", "key", json!({ "amount": 5 })), kind)
                    .unwrap_err()
                    .retriable
            );
        }
        assert_eq!(shop.ledger().accounts(1)[0], super::super::ledger::Account::default());
        assert!(shop.perform(&task("order-other-0", "key", json!({})), EffectKind::Release).is_err());
    }
}
