//! The orders of one run: a function of the seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

/// Things that the shop sells: name and price in cents.
const CATALOGUE: [(&str, u64); 8] = [
    ("tea-green-100g", 690),
    ("tea-black-250g", 1_190),
    ("kettle-1l", 3_950),
    ("teapot-clay", 5_400),
    ("cup-porcelain", 1_250),
    ("strainer-steel", 480),
    ("tray-bamboo", 2_200),
    ("honey-500g", 875),
];

/// How often things go wrong for good, in percent of the orders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Odds {
    /// The stock is empty; and, drawn apart, the card is declined.
    pub refused_percent: f64,
    /// The courier never says that it has delivered.
    pub lost_percent: f64,
}

/// What will become of an order, whatever else fails on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Nothing can be reserved for it.
    pub out_of_stock: bool,
    /// The card is declined.
    pub declined: bool,
    /// Its delivery is never reported.
    pub lost: bool,
}

impl Fate {
    /// Whether it ends with the customer having the goods, and the shop the money.
    #[must_use]
    pub fn is_delivered(self) -> bool {
        !(self.out_of_stock || self.declined || self.lost)
    }
}

/// One order.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The instance id.
    pub id: String,
    /// What the workflow is started with.
    pub input: Value,
    /// What it costs, in cents.
    pub amount_cents: u64,
    /// What will become of it.
    pub fate: Fate,
    /// How long the courier takes, in milliseconds.
    pub delivery_ms: u64,
}

/// Order `number` of a run. Each order has a random stream of its own, so the first orders of a long run are those of a short one.
#[must_use]
pub fn order(seed: u64, run: &str, number: usize, odds: Odds, lost_deadline: &str) -> Order {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number as u64);
    let items: Vec<(&str, u64, u64)> = (0..rng.random_range(1..=4))
        .map(|_| {
            let (sku, price) = CATALOGUE[rng.random_range(0..CATALOGUE.len())];
            (sku, rng.random_range(1..=3), price)
        })
        .collect();
    let amount_cents = items.iter().map(|(_, quantity, price)| quantity * price).sum();
    let customer = format!("customer-{}", rng.random_range(0..100_000));
    let mut chance = |percent: f64| rng.random_bool((percent / 100.0).clamp(0.0, 1.0));
    let fate = Fate {
        out_of_stock: chance(odds.refused_percent),
        declined: chance(odds.refused_percent),
        lost: chance(odds.lost_percent),
    };
    let delivery_ms = rng.random_range(20..=1_500);
    let id = format!("order-{run}-{number}");
    let items: Vec<Value> = items
        .iter()
        .map(|(sku, quantity, price)| json!({ "sku": sku, "quantity": quantity, "price": price }))
        .collect();
    let address = json!({ "name": customer, "street": "Mill Lane 1", "city": "Bath" });
    let mut input = json!({ "orderId": id, "items": items, "amount": amount_cents, "currency": "EUR", "address": address });
    if fate.lost {
        input["courierDeadline"] = lost_deadline.into();
    }
    Order { id, input, amount_cents, fate, delivery_ms }
}

/// The number of an order of this run, from its id.
#[must_use]
pub fn number(run: &str, id: &str) -> Option<usize> {
    id.strip_prefix("order-")?.strip_prefix(run)?.strip_prefix('-')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODDS: Odds = Odds { refused_percent: 1.0, lost_percent: 3.0 };

    #[test]
    fn orders_are_a_function_of_the_seed_and_the_number() {
        let of = |seed, number| order(seed, "run", number, ODDS, "PT20S");
        assert_eq!(of(7, 3), of(7, 3));
        assert_ne!(of(7, 3).input, of(7, 4).input);
        assert_ne!(of(7, 3).input, of(8, 3).input);
        assert_eq!(number("run", &of(7, 3).id), Some(3));
        assert_eq!(number("nur", &of(7, 3).id), None);
    }

    #[test]
    fn fates_come_as_often_as_asked_and_lost_orders_have_a_short_deadline() {
        let orders: Vec<Order> = (0..20_000).map(|number| order(1, "run", number, ODDS, "PT20S")).collect();
        let percent = |is: fn(&Order) -> bool| orders.iter().filter(|it| is(it)).count() as f64 / 200.0;
        assert!((0.7..1.3).contains(&percent(|it| it.fate.out_of_stock)));
        assert!((0.7..1.3).contains(&percent(|it| it.fate.declined)));
        assert!((2.6..3.4).contains(&percent(|it| it.fate.lost)));
        assert!(orders.iter().all(|it| it.fate.lost == (it.input["courierDeadline"] == "PT20S")));
        assert!(orders.iter().all(|it| it.amount_cents > 0 && it.input["amount"] == it.amount_cents));
    }
}
