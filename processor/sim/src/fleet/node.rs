//! A processor process: what the shell of `runtime` and `kafka-log` holds, as data. The steps that it takes are in `world`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use millrace_partition::{
    FlushId, FlushRequest, Input, LoadedRow, OutgoingRecord, Partition, Source, TimerSlice, Transaction,
    TransactionId,
};
use millrace_schemas::{InstanceId, Offset};

use crate::fleet::broker::group::{MemberId, Metadata};
use crate::fleet::broker::transactions::Epoch;
use crate::fleet::store::{Token, Write};

/// Marks one assignment of one partition as alive (F2).
#[derive(Clone, Debug)]
pub(crate) struct Incarnation {
    pub(crate) number: u64,
    pub(crate) index: usize,
    alive: Rc<Cell<bool>>,
}

impl Incarnation {
    pub(crate) fn new(number: u64, index: usize) -> Self {
        Self { number, index, alive: Rc::new(Cell::new(true)) }
    }

    pub(crate) fn kill(&self) {
        self.alive.set(false);
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.alive.get()
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) number: usize,
    pub(crate) state: State,
    /// Milliseconds that its clock is ahead.
    pub(crate) skew_ms: i64,
    pub(crate) member: Option<MemberId>,
    pub(crate) metadata: Option<Metadata>,
    /// As the rebalance callbacks have said.
    pub(crate) assigned: BTreeMap<usize, Incarnation>,
    pub(crate) owned: BTreeMap<usize, Owned>,
    pub(crate) lanes: Vec<Lane>,
    /// Partitions that the group takes away, and until when they may drain.
    pub(crate) revoking: BTreeMap<usize, i64>,
    /// It goes, in good order.
    pub(crate) is_leaving: bool,
    /// Mutant: where the reader of the sources has got to, across incarnations.
    pub(crate) follower: BTreeMap<Source, Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Up,
    /// Until then, or until a fault ends.
    Down {
        until: i64,
    },
    /// SIGSTOP: nothing moves, but what it has sent is on its way.
    Frozen {
        until: i64,
    },
}

/// A partition of this process.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) incarnation: Incarnation,
    pub(crate) partition: Partition,
    pub(crate) is_paused: bool,
    pub(crate) is_drained: bool,
    /// What is read, and the next offset of each.
    pub(crate) reads: BTreeMap<Source, Offset>,
    pub(crate) effects: BTreeMap<u64, Effect>,
    /// Mutant: last offset of each key that no acknowledged flush holds.
    pub(crate) last_dirty: BTreeMap<InstanceId, Offset>,
    /// Mutant: rows of the timer index that go with the next flush.
    pub(crate) late_timers: Vec<Write>,
    /// Mutant: proposals that go with the next transaction.
    pub(crate) late_proposals: Vec<OutgoingRecord>,
    /// Of the last checkpoint that was sent.
    pub(crate) checkpoint: Option<Bytes>,
}

/// Something that takes time.
#[derive(Debug)]
pub(crate) enum Effect {
    Acquire(Acquiring),
    /// The restore has failed; another one begins then.
    AcquireAgain {
        until: i64,
    },
    ReadChangelog {
        position: Offset,
        until: Offset,
        bytes_left: usize,
    },
    Follow(Vec<(Source, Offset)>),
    /// The bounds of a partition of the users' topic.
    Locate(Source),
    LoadSnapshots {
        ids: Vec<InstanceId>,
        rows: Vec<(InstanceId, LoadedRow)>,
        /// The answer arrives no earlier.
        until: i64,
    },
    LoadTimers(TimerSlice),
    ReadCheckpoint,
    TrimChangelog(Offset),
    /// Rows that have not been acknowledged.
    Flush {
        id: FlushId,
        request: Box<FlushRequest>,
        waiting: BTreeMap<Token, Write>,
    },
    /// One row that nobody waits for.
    Save {
        waiting: BTreeMap<Token, Write>,
    },
    /// An answer on its way back.
    Answer(Box<Input>),
}

/// State protocol 2.3, steps 2 to 4.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Acquiring {
    /// Mutant: an end that was read too early.
    StableOffset {
        early_end: Option<Offset>,
    },
    Bounds {
        internal: Option<Offset>,
        early_end: Option<Offset>,
    },
    Checkpoint {
        internal: Option<Offset>,
        start: Offset,
        end: Offset,
    },
}

/// Two transactional producers in turn, and their event loop.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) producers: [Producer; 2],
    /// Whose turn it is.
    pub(crate) turn: usize,
    /// Parts that the producer does not have yet.
    pub(crate) ready: Vec<Share>,
    pub(crate) stage: Stage,
}

#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) id: String,
    /// None until it is initialised.
    pub(crate) epoch: Option<Epoch>,
}

impl Lane {
    /// Of the producer whose turn it is.
    pub(crate) fn id(&self) -> &str {
        &self.producers[self.turn].id
    }

    /// The other producer's turn. None if it has yet to be initialised.
    pub(crate) fn turn(&mut self) -> Option<Epoch> {
        self.turn = 1 - self.turn;
        self.producers[self.turn].epoch
    }

    /// How much likelier a fault is now. After the fence F1 and before the end of a transaction it tells most; and with records still
    /// on their way, the fence has let pass what is not in the log yet.
    pub(crate) fn danger(&self) -> u32 {
        match &self.stage {
            Stage::Producing { offsets_sent: true, shares, done, .. } if *done < shares.len() => 40,
            Stage::Producing { offsets_sent: true, .. } | Stage::Committing { .. } => 8,
            Stage::Open { done, .. } if *done > 0 => 4,
            _ => 1,
        }
    }
}

/// A part of one partition's share of a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) incarnation: Incarnation,
    pub(crate) transaction: Transaction,
    /// Of the changelog records that were produced.
    pub(crate) offsets: Vec<Offset>,
}

impl Share {
    pub(crate) fn id(&self) -> TransactionId {
        self.transaction.id
    }
}

/// The last part of each incarnation, with the offsets of all its parts.
pub(crate) fn whole_shares(parts: &[Share]) -> Vec<Share> {
    let mut whole: BTreeMap<u64, Share> = BTreeMap::new();
    for part in parts {
        let before = whole.remove(&part.incarnation.number).map(|it| it.offsets).unwrap_or_default();
        let mut share = part.clone();
        share.offsets.splice(0..0, before);
        whole.insert(part.incarnation.number, share);
    }
    whole.into_values().collect()
}

/// How far the producer is.
#[derive(Debug)]
pub(crate) enum Stage {
    /// `init_transactions` until it succeeds; then what came of the last transaction is told.
    Initialising {
        shares: Vec<Share>,
        outcome: Outcome,
    },
    Idle(Epoch),
    /// Records travel, and more may be added.
    Open {
        epoch: Epoch,
        shares: Vec<Share>,
        done: usize,
    },
    /// The records travel while the offsets are sent: either may be the first to arrive.
    Producing {
        epoch: Epoch,
        shares: Vec<Share>,
        done: usize,
        offsets_sent: bool,
    },
    Committing {
        epoch: Epoch,
        shares: Vec<Share>,
    },
    Aborting {
        epoch: Epoch,
        shares: Vec<Share>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Committed,
    Aborted,
    Unknown,
}

impl Node {
    pub(crate) fn new(number: usize, lanes: usize, skew_ms: i64) -> Self {
        let lanes = (0..lanes).map(|lane| Lane {
            producers: ["", "-b"]
                .map(|which| Producer { id: format!("app-{number}-{lane}{which}"), epoch: None }),
            turn: 0,
            ready: Vec::new(),
            stage: Stage::Initialising { shares: Vec::new(), outcome: Outcome::Aborted },
        });
        Self {
            number,
            state: State::Up,
            skew_ms,
            member: None,
            metadata: None,
            assigned: BTreeMap::new(),
            owned: BTreeMap::new(),
            lanes: lanes.collect(),
            revoking: BTreeMap::new(),
            is_leaving: false,
            follower: BTreeMap::new(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.state == State::Up
    }

    /// The partition, if this incarnation has it.
    pub(crate) fn owned(&mut self, incarnation: &Incarnation) -> Option<&mut Owned> {
        self.owned.get_mut(&incarnation.index).filter(|it| it.incarnation.number == incarnation.number)
    }

    /// Drops everything of the partition that is not with the producer already.
    pub(crate) fn drop_partition(&mut self, index: usize) {
        if let Some(owned) = self.owned.remove(&index) {
            owned.incarnation.kill();
            let lane = index % self.lanes.len();
            self.lanes[lane].ready.retain(|it| it.incarnation.number != owned.incarnation.number);
        }
    }

    /// The partitions that it works for.
    pub(crate) fn indexes(&self) -> BTreeSet<usize> {
        self.owned.keys().copied().collect()
    }
}
