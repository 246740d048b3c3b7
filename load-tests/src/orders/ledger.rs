//! The books: the shop's stock, its payment provider and its courier, as the world outside of the workflows has them.
//!
//! Each of them keeps to the idempotency key, as good providers do: the same key again has the answer of the first time and no
//! second effect.

use std::collections::HashMap;

use serde::Serialize;

/// What can happen to an order in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectKind {
    /// Goods are set aside.
    Reserve,
    /// Goods go back to the shelf.
    Release,
    /// Money comes.
    Charge,
    /// Money goes back.
    Refund,
    /// A courier is on the way.
    Courier,
}

/// One effect, under its idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Effect {
    kind: EffectKind,
    order: usize,
    cents: u64,
}

/// All effects of one run.
#[derive(Debug, Default)]
pub struct Ledger {
    effects: HashMap<String, Effect>,
    /// Charges less refunds of each order, in cents.
    kept: HashMap<usize, u64>,
    /// How often each key was used.
    uses: HashMap<String, u32>,
    /// Effects that came again under their key, and were not counted again.
    repeated: u64,
    /// Keys that stood for two different effects, and refunds that do not fit their charge.
    conflicts: Vec<String>,
}

/// What the books say about one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Number of effects of each kind.
    pub reserved: u32,
    /// See `reserved`.
    pub released: u32,
    /// See `reserved`.
    pub charged: u32,
    /// See `reserved`.
    pub refunded: u32,
    /// Charges, in cents.
    pub charged_cents: u64,
    /// Refunds, in cents.
    pub refunded_cents: u64,
}

impl Ledger {
    /// Counts a use of `key`; says how many there have been, this one counted.
    pub fn count_use(&mut self, key: &str) -> u32 {
        let uses = self.uses.entry(key.to_owned()).or_insert(0);
        *uses += 1;
        *uses
    }

    /// Enters an effect. True when it is new.
    pub fn enter(&mut self, key: &str, kind: EffectKind, order: usize, cents: u64) -> bool {
        let effect = Effect { kind, order, cents };
        match self.effects.get(key) {
            None => {
                self.effects.insert(key.to_owned(), effect);
                let kept = self.kept.entry(order).or_insert(0);
                match kind {
                    EffectKind::Charge => *kept += cents,
                    EffectKind::Refund => *kept = kept.saturating_sub(cents),
                    EffectKind::Reserve | EffectKind::Release | EffectKind::Courier => {}
                }
                true
            }
            Some(known) => {
                self.repeated += 1;
                if *known != effect {
                    self.conflicts.push(format!("{key}: first {known:?}, then {effect:?}"));
                }
                false
            }
        }
    }

    /// Gives back what is kept of an order's money, perhaps nothing. Says how much, in cents: as the first time, for a known key.
    /// `asked` is what the workflow takes for charged, if it knows.
    pub fn refund(&mut self, key: &str, order: usize, asked: Option<u64>) -> u64 {
        let known = self.effects.get(key).filter(|it| it.kind == EffectKind::Refund);
        let cents = known.map_or_else(|| self.kept.get(&order).copied().unwrap_or(0), |it| it.cents);
        self.enter(key, EffectKind::Refund, order, cents);
        if let Some(asked) = asked.filter(|it| *it != cents) {
            self.conflicts.push(format!("{key}: {asked} cents are to be refunded, {cents} were charged"));
        }
        cents
    }

    /// What the books say about each of `count` orders.
    #[must_use]
    pub fn accounts(&self, count: usize) -> Vec<Account> {
        let mut accounts = vec![Account::default(); count];
        for effect in self.effects.values() {
            let account = &mut accounts[effect.order];
            match effect.kind {
                EffectKind::Reserve => account.reserved += 1,
                EffectKind::Release => account.released += 1,
                EffectKind::Charge => {
                    account.charged += 1;
                    account.charged_cents += effect.cents;
                }
                EffectKind::Refund => {
                    account.refunded += 1;
                    account.refunded_cents += effect.cents;
                }
                EffectKind::Courier => {}
            }
        }
        accounts
    }

    /// Effects that came again under their key.
    #[must_use]
    pub fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Keys that stood for two different effects, and refunds that do not fit their charge.
    #[must_use]
    pub fn conflicts(&self) -> &[String] {
        &self.conflicts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_counts_once() {
        let mut ledger = Ledger::default();
        assert!(ledger.enter("a", EffectKind::Charge, 0, 500));
        assert!(!ledger.enter("a", EffectKind::Charge, 0, 500));
        assert!(ledger.enter("b", EffectKind::Refund, 0, 200));
        let account = ledger.accounts(1)[0];
        assert_eq!((account.charged, account.charged_cents, account.refunded_cents), (1, 500, 200));
        assert_eq!((ledger.repeated(), ledger.conflicts()), (1, &[][..]));
    }

    #[test]
    fn a_refund_gives_back_what_was_charged_and_its_repetition_says_the_same() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.refund("early", 1, None), 0);
        ledger.enter("a", EffectKind::Charge, 0, 500);
        assert_eq!(ledger.refund("b", 0, Some(500)), 500);
        assert_eq!(ledger.refund("b", 0, Some(500)), 500);
        assert_eq!(ledger.accounts(2)[0].refunded_cents, 500);
        assert!(ledger.conflicts().is_empty());
        ledger.refund("b", 0, Some(400));
        assert_eq!(ledger.conflicts().len(), 1);
    }

    #[test]
    fn one_key_for_two_effects_is_a_conflict() {
        let mut ledger = Ledger::default();
        ledger.enter("a", EffectKind::Charge, 0, 500);
        ledger.enter("a", EffectKind::Charge, 1, 500);
        assert_eq!(ledger.conflicts().len(), 1);
    }
}
