//! What one evaluation may use: steps, bytes, depth. Everything is counted, nothing is timed, so the same expression on the same data
//! ends in the same way on every machine.
//!
//! The interpreter has no place to ask whether it may go on, and `try … catch` would catch an error. So what passes a bound unwinds, with
//! a [`Stop`] and past jaq's handlers, up to [`bounded`].

use std::any::Any;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Most work of one evaluation, in units: a step of the interpreter costs [`STEP`], an element that is copied or compared costs 1, as do
/// 32 bytes of text. A tenth of a second or so.
pub const FUEL_MAX: u64 = 20_000_000;

/// Most work of all evaluations that follow from one command, in units. Some seconds.
pub const COMMAND_FUEL_MAX: u64 = 10 * FUEL_MAX;

/// Most memory that one evaluation may take at once, in bytes, besides what it is given: its values, and what the interpreter keeps to go
/// on with, such as a loop that has another value to give.
pub const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Longest text that an expression may make, in bytes: four times what it may give.
pub const TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Deepest nesting of a value while an expression runs. All of jaq's operations on values go down by calling themselves.
pub const VALUE_DEPTH_MAX: usize = 256;

/// Longest path that is followed, in keys. jaq drops a path by calling itself for each key.
pub const PATH_MAX: usize = 1_000;

/// Most digits of a number: arithmetic and text take the square of it.
pub const DIGITS_MAX: usize = 3_000;

/// How much of the thread's stack the interpreter may take, in bytes. Only a function that goes down with its data, such as
/// `repeat(.) |= 1`, comes near it. Frames are several times as large without optimisation, so tests are built with a little of it
/// (the workspace's `Cargo.toml`).
pub const STACK_BYTES_MAX: usize = 384 * 1024;

/// Bytes that the interpreter keeps with each of its contexts, or more.
const PLACE_BYTES: usize = 1024;

/// What a step of the interpreter costs.
pub(super) const STEP: u64 = 10;

/// The bound that was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    Fuel,
    CommandFuel,
    Bytes,
    Text,
    Depth,
    Path,
    Digits,
    Stack,
    Regex,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fuel => write!(
                f,
                "it takes more than {} steps: give it less data, or split it into several tasks; does it have a loop without an end?",
                FUEL_MAX / STEP
            ),
            Self::CommandFuel => write!(
                f,
                "with the others since the workflow last waited for something, it takes more than {} steps: put a `wait` between them, or give them less data",
                COMMAND_FUEL_MAX / STEP
            ),
            Self::Bytes => write!(
                f,
                "it takes more than {} MiB at once: give it less data, or split it into several tasks",
                BYTES_MAX / 1024 / 1024
            ),
            Self::Text => write!(
                f,
                "it makes a text of more than {} MiB: give it less data, or repeat less of it",
                TEXT_BYTES_MAX / 1024 / 1024
            ),
            Self::Depth => write!(f, "it nests values more than {VALUE_DEPTH_MAX} deep: flatten them"),
            Self::Path => {
                write!(
                    f,
                    "it follows a path of more than {PATH_MAX} keys: does it have a loop without an end?"
                )
            }
            Self::Digits => {
                write!(f, "it makes a number of more than {DIGITS_MAX} digits: keep such numbers as text")
            }
            Self::Stack => {
                write!(
                    f,
                    "it goes too deep: do not update (`|=`) what a loop such as `repeat` or `recurse` gives"
                )
            }
            Self::Regex => write!(f, "its regular expression is too large: repeat less of it (`{{n,m}}`)"),
        }
    }
}

struct Meter {
    /// Whether an evaluation is running on this thread.
    is_running: Cell<bool>,
    fuel_left: Cell<u64>,
    /// What the evaluation began with.
    fuel: Cell<u64>,
    /// What all evaluations of a command may take yet.
    command_fuel_left: Cell<u64>,
    /// Negative when what the evaluation was given has gone already.
    bytes: Cell<i64>,
    /// An address on the stack, where the evaluation began.
    base: Cell<usize>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            is_running: Cell::new(false),
            fuel_left: Cell::new(0),
            fuel: Cell::new(0),
            command_fuel_left: Cell::new(u64::MAX),
            bytes: Cell::new(0),
            base: Cell::new(0),
        }
    };
}

/// Ends the budget, whichever way the evaluation went.
struct Running;

impl Drop for Running {
    fn drop(&mut self) {
        METER.with(|it| {
            let spent = it.fuel.get() - it.fuel_left.get();
            it.command_fuel_left.set(it.command_fuel_left.get().saturating_sub(spent));
            it.is_running.set(false);
        });
    }
}

/// What is left for evaluations outside of the command, put back whichever way the command went.
struct Command(u64);

impl Drop for Command {
    fn drop(&mut self) {
        METER.with(|it| it.command_fuel_left.set(self.0));
    }
}

/// Runs `decide` with one budget of [`COMMAND_FUEL_MAX`] for all expressions that it evaluates on this thread, besides that of each: so
/// that many slow ones do not hold up more than one slow one does.
pub fn for_command<T>(decide: impl FnOnce() -> T) -> T {
    let _outside = Command(METER.with(|it| it.command_fuel_left.replace(COMMAND_FUEL_MAX)));
    decide()
}

/// Runs `evaluate` with one budget for all that it evaluates: the one that there is, or a fresh one.
pub(super) fn shared<T>(evaluate: impl FnOnce() -> T) -> T {
    let is_outermost = METER.with(|it| {
        if it.is_running.replace(true) {
            return false;
        }
        let fuel = FUEL_MAX.min(it.command_fuel_left.get());
        it.fuel.set(fuel);
        it.fuel_left.set(fuel);
        it.bytes.set(0);
        it.base.set(stack_pointer());
        true
    });
    // Made only by who opened the budget: it is closed when this is dropped.
    let _running = is_outermost.then(|| Running);
    evaluate()
}

/// Runs `evaluate` within the budget.
///
/// # Errors
/// Its own; what passed a bound; and that jaq panicked, which must not end the process.
pub(super) fn bounded<T>(evaluate: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    shared(|| catch_unwind(AssertUnwindSafe(evaluate)).unwrap_or_else(|panic| Err(describe(&*panic))))
}

fn describe(panic: &(dyn Any + Send)) -> String {
    match panic.downcast_ref::<Stop>() {
        Some(stop) => stop.to_string(),
        None => "it asks for more than can be computed".to_owned(),
    }
}

/// Ends the evaluation. Unlike `panic!`, this prints nothing.
#[cold]
pub(super) fn stop(why: Stop) -> ! {
    resume_unwind(Box::new(why))
}

/// Counts work.
pub(super) fn spend(units: u64) {
    METER.with(|it| match it.fuel_left.get().checked_sub(units) {
        Some(left) => it.fuel_left.set(left),
        None => {
            // Whatever runs on after this, in the same budget, stops too.
            it.fuel_left.set(0);
            stop(if it.fuel.get() < FUEL_MAX { Stop::CommandFuel } else { Stop::Fuel })
        }
    });
}

/// Counts the reading or writing of a text.
pub(super) fn spend_text(bytes: usize) {
    spend(1 + bytes as u64 / 32);
}

/// Counts one step of the interpreter.
pub(super) fn step() {
    spend(STEP);
    METER.with(|it| {
        if it.base.get().abs_diff(stack_pointer()) > STACK_BYTES_MAX {
            stop(Stop::Stack);
        }
    });
}

/// Counts bytes that a value takes, before it takes them.
pub(super) fn take(bytes: usize) {
    METER.with(|it| {
        let taken = it.bytes.get().saturating_add_unsigned(bytes as u64);
        if taken > BYTES_MAX as i64 {
            stop(Stop::Bytes);
        }
        it.bytes.set(taken);
    });
}

/// Whether there is room for bytes that are needed for a moment only.
pub(super) fn need(bytes: usize) {
    METER.with(|it| {
        if it.bytes.get().saturating_add_unsigned(bytes as u64) > BYTES_MAX as i64 {
            stop(Stop::Bytes);
        }
    });
}

/// Counts bytes that a value does not take any more. Never stops: it may run while an evaluation is being stopped.
pub(super) fn give_back(bytes: usize) {
    METER.with(|it| it.bytes.set(it.bytes.get().saturating_sub_unsigned(bytes as u64)));
}

/// Bytes that are taken as long as this lives.
pub(super) struct Held(usize);

impl Held {
    pub(super) fn new(bytes: usize) -> Self {
        take(bytes);
        Self(bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        give_back(self.0);
    }
}

/// A place at which the interpreter may go on: there is one in each of jaq's contexts, and whatever jaq keeps has one.
#[derive(Debug)]
pub(super) struct Place(());

impl Place {
    pub(super) fn new() -> Self {
        take(PLACE_BYTES);
        Self(())
    }
}

impl Clone for Place {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        give_back(PLACE_BYTES);
    }
}

#[inline(never)]
fn stack_pointer() -> usize {
    let here = 0_u8;
    std::hint::black_box(&raw const here).addr()
}
