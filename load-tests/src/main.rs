//! The command line of the load tests. Exit code 0: all checks hold; 1: some do not; 2: the test could not be run.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use millrace_load_tests::{bare_loop, broker, listens, live, mix, orders, sequence, timers};
use tracing_subscriber::EnvFilter;

/// As the processor: what is compared with it must not differ by that.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Load tests for a Millrace fleet on a Kafka cluster. Create the topics and deploy the workflow first, with `millrace`.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    test: Test,
}

#[derive(Debug, Subcommand)]
enum Test {
    /// The shop: seeded orders, workers that fail now and then, a courier, and the books checked at the end.
    Orders(orders::Settings),
    /// Numbered signals for many keys: what comes out must be what went in, once and in order, whatever fails meanwhile.
    Sequence(sequence::Settings),
    /// Instances that wait for signals: makes many, or keeps a trickle of signals to them going.
    Live(live::Settings),
    /// Puts instances that wait into a snapshot store, as flushes would.
    FillTimers(timers::FillSettings),
    /// Watches such instances: whether each fires, once, and how late.
    WatchTimers(timers::WatchSettings),
    /// Instances that listen for events which find them by a value: opens many, or publishes events, and measures.
    Listens(listens::Settings),
    /// A mix of work from a file, at a given rate or as fast as it goes: throughput and latency, in all and over time.
    Mix(mix::Settings),
    /// A bare consume-transform-produce loop, with the records that a run of W1 has left in the topics.
    BareLoop(bare_loop::Settings),
    /// Any Kafka broker, without a fleet: records a second, plain and in transactions, and whether what comes out is exact.
    Broker(broker::Settings),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made in a new process");
    let result = runtime.block_on(async {
        match cli.test {
            Test::Orders(settings) => Box::pin(orders::run(settings)).await,
            Test::Sequence(settings) => Box::pin(sequence::run(settings)).await,
            Test::Live(settings) => Box::pin(live::run(settings)).await,
            Test::FillTimers(settings) => Box::pin(timers::fill(settings)).await,
            Test::WatchTimers(settings) => Box::pin(timers::watch(settings)).await,
            Test::Listens(settings) => Box::pin(listens::run(settings)).await,
            Test::Mix(settings) => Box::pin(mix::run(settings)).await,
            Test::BareLoop(settings) => bare_loop::run(settings).await,
            Test::Broker(settings) => Box::pin(broker::run(settings)).await,
        }
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
