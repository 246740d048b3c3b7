//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::{Args, Parser, Subcommand};

use crate::cluster::Given;
use crate::report::{self, Verdict};
use crate::workspace::{Profile, Workspace};
use crate::{
    api_fuzz, bench, ci, console, ctk, dashboards, dev_kill, faults, fuzz, instructions, operations, orders,
    quickstart, setup, sim,
};

/// The checks of this repository: one name for each
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true,
    max_term_width = 120
)]
#[command(
    after_help = "Last line: `PASS <name>: …` or `FAIL <name>: …`. Exit code: 0 only when the check holds.\n\
    Logs of what a check runs: target/xtask/<name>-<time>/."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    check: Check,

    /// Write the verdict and its figures to this file, as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Check {
    /// Start servers, deploy the order example, run a processor, and see orders end
    Quickstart {
        /// Then go on, so that you can try things, until Ctrl-C
        #[arg(long)]
        stay: bool,
    },
    /// Install what this machine lacks to build and test; without the rights to, print the commands
    Setup,
    /// Everything that must hold before a change lands: format, lints, tests, tests on real servers, orders through a kill, faults
    Ci,
    /// What the pure hot paths cost in instructions, against load-tests/hot-paths/instructions.json
    Instructions {
        /// Write what is counted as the new budget
        #[arg(long)]
        write: bool,
    },
    /// The same as `ci`
    Test,
    /// Orders from event to end on real servers, checked against the ledger of the payments
    Orders {
        /// How many orders
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
        count: u64,
        /// End the processor with SIGKILL when 40 % of the orders have ended, and start it again
        #[arg(long)]
        kill: bool,
        /// The orders are a function of it
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Use optimised builds
        #[arg(long)]
        release: bool,
        #[command(flatten)]
        given: Given,
    },
    /// Measure (always optimised builds)
    #[command(subcommand)]
    Bench(Bench),
    /// The simulated world: seeds that must hold, and broken code that it must see
    Sim(Sim),
    /// The fleet on real servers while brokers, store and processors are killed, paused and cut off
    Faults {
        /// For how long; a fraction is possible
        #[arg(long, default_value = "10", value_name = "MINUTES", value_parser = faults::minutes)]
        minutes: Duration,
        /// The faults, and what is drawn for the load, are a function of it
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/faults.md")]
        report: Option<PathBuf>,
    },
    /// The HTTP API against its own OpenAPI document, by schemathesis
    ApiFuzz {
        /// How long
        #[arg(long, default_value_t = api_fuzz::SECONDS, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// To see the same requests again
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Hostile bytes for what reads sockets and disks in the embedded broker, by libFuzzer
    Fuzz {
        /// For each of the two targets
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        minutes: u32,
    },
    /// Orders through a `millrace dev` that is killed at random moments and started again at once
    #[command(name = "dev-kill")]
    DevKill {
        /// How many kills
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        times: u32,
        /// The moments and the orders are a function of it
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/dev-kill.md")]
        report: Option<PathBuf>,
    },
    /// The conformance kit of the workflow language, and features of our own in its words
    Ctk {
        /// Then all of it again, with the processor killed after so many records of the instance, for each of these
        #[arg(long, value_name = "N,M", value_delimiter = ',', num_args = 0..=1, default_missing_values = ["1", "2", "3"])]
        kill_points: Vec<u32>,
    },
    /// Every query of the dashboards and every rule, on a Prometheus that scrapes a fleet at work
    Dashboards {
        #[command(flatten)]
        given: Given,
    },
    /// The page that the API serves: types, lints, unit tests, that what is committed is what is built, and the page in a browser
    Console {
        /// Take the pictures of the README anew
        #[arg(long)]
        screenshots: bool,
    },
    /// What deploys and watches it: Helm chart, container image, Compose file, alert rules and dashboards
    #[command(name = "ops-check")]
    Operations,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// The broker of `millrace dev` beside Apache Kafka: records a second, and whether what it gives is exact
    Broker {
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/broker.md")]
        report: Option<PathBuf>,
    },
    /// Three tasks in a row, answered at once by an outside worker: latency at a rate, then throughput against a bare consume-transform-produce loop
    W1 {
        /// For how long each, in seconds
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Starts a second for the latency
        #[arg(long, default_value_t = 200, value_name = "STARTS", value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Of each topic, a power of two
        #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
        partitions: u32,
        /// On the store and the broker of `millrace dev`
        #[arg(long)]
        embedded: bool,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/w1.md")]
        report: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
    /// W1 as fast as it goes, by the number of processors and of partitions
    Scaling {
        /// For how long each, in seconds
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/scaling.md")]
        report: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
    /// Each kind of work as fast as it goes: tasks in a row, a fork, the pure engine, large payloads, one hot key, events to a million open instances
    Workloads {
        /// For how long each, in seconds
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Instances that are open when events come to random ones of them
        #[arg(long, default_value_t = 1_000_000, value_name = "INSTANCES", value_parser = clap::value_parser!(u64).range(1..))]
        open: u64,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/workloads.md")]
        report: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
    /// W1 as fast as it goes for long: whether it is as fast at the end as in the fifth minute
    Soak {
        /// For how long
        #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(14..))]
        minutes: u64,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/soak.md")]
        report: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
    /// How long a partition stands still when its owner is stopped or killed, by the number of live instances on it
    Takeover {
        /// Numbers of live instances, ascending
        #[arg(long, value_delimiter = ',', default_value = "1000,1000000", value_name = "N,M")]
        live: Vec<u64>,
        /// How often each is measured
        #[arg(long, default_value_t = 5)]
        times: u32,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/takeover.md")]
        report: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
    /// Three processors restarted one after the other under load: latency, errors that clients see, what is lost
    Rolling {
        /// For how long from the first restart on, in seconds
        #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Starts of W1 a second
        #[arg(long, default_value_t = 50, value_name = "STARTS", value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/rolling.md")]
        report: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
    /// Pending timers: memory, restart, lateness, a herd that is due at one instant, and `kill -9` in the middle of one
    Timers {
        /// How many stay pending
        #[arg(long, default_value_t = 10_000_000)]
        pending: u64,
        /// How many are due at one instant
        #[arg(long, default_value_t = 1_000_000)]
        herd: u64,
        /// How many are, of the herd whose owner is killed
        #[arg(long, default_value_t = 200_000)]
        killed: u64,
        /// On the store and the broker of `millrace dev`
        #[arg(long)]
        embedded: bool,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/timers.md")]
        report: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
    /// Events that find one of many instances that listen, by a value: how many a second, and what each costs, by how many listen
    Listens {
        /// Numbers of open listens, ascending; a fleet for each
        #[arg(long, value_delimiter = ',', default_value = "10000,1000000", value_name = "N,M", value_parser = clap::value_parser!(u64).range(1..))]
        open: Vec<u64>,
        /// Events of one measurement, at most as many as the fewest listens
        #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
        events: u64,
        /// How often the fleets are measured in turn, with all events at once
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        times: u32,
        /// Then once at so many events a second, for the latency; 0 leaves that out
        #[arg(long, default_value_t = 500, value_name = "EVENTS")]
        rate: u32,
        /// How long the listens have been left alone before that, in seconds; after a minute nothing of them is in memory
        #[arg(long, default_value_t = 75, value_name = "SECONDS")]
        rest: u64,
        /// On the store and the broker of `millrace dev`
        #[arg(long)]
        embedded: bool,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/listens.md")]
        report: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
    /// What idle instances cost a processor in memory
    Idle {
        /// How many
        #[arg(long, default_value_t = 1_000_000)]
        live: u64,
        /// Write the report for people, too
        #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "load-tests/reports/idle.md")]
        report: Option<PathBuf>,
        #[command(flatten)]
        given: Given,
    },
}

#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
struct Sim {
    /// How many seeds
    #[arg(long, conflicts_with = "mutants")]
    seeds: Option<u64>,
    /// The first of them
    #[arg(long, requires = "seeds", value_name = "SEED")]
    from: Option<u64>,
    /// Break the code on purpose, in every known way: each must be seen
    #[arg(long)]
    mutants: bool,
}

/// The file of a report that was not named is another one for `millrace dev`.
fn of_kind(report: Option<PathBuf>, embedded: bool) -> Option<PathBuf> {
    report.map(|file| match file.file_stem().and_then(|it| it.to_str()) {
        Some(stem) if embedded && file.starts_with("load-tests/reports") && !stem.ends_with("-embedded") => {
            file.with_file_name(format!("{stem}-embedded.md"))
        }
        _ => file,
    })
}

impl Cli {
    pub(crate) fn run(self) -> ExitCode {
        let name = self.check.name();
        let begun = Instant::now();
        let verdict = self.check.run().unwrap_or_else(|error| Verdict::fails(format!("{error:#}")));
        match report::conclude(&name, &verdict, begun.elapsed(), self.json.as_deref()) {
            Ok(()) if verdict.holds => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}

impl Check {
    fn name(&self) -> String {
        match self {
            Self::Quickstart { .. } => "quickstart".to_owned(),
            Self::Setup => "setup".to_owned(),
            Self::Ci => "ci".to_owned(),
            Self::Test => "test".to_owned(),
            Self::Orders { .. } => "orders".to_owned(),
            Self::Bench(Bench::Broker { .. }) => "bench broker".to_owned(),
            Self::Bench(Bench::W1 { .. }) => "bench w1".to_owned(),
            Self::Bench(Bench::Scaling { .. }) => "bench scaling".to_owned(),
            Self::Bench(Bench::Workloads { .. }) => "bench workloads".to_owned(),
            Self::Bench(Bench::Soak { .. }) => "bench soak".to_owned(),
            Self::Bench(Bench::Takeover { .. }) => "bench takeover".to_owned(),
            Self::Bench(Bench::Rolling { .. }) => "bench rolling".to_owned(),
            Self::Bench(Bench::Timers { .. }) => "bench timers".to_owned(),
            Self::Bench(Bench::Listens { .. }) => "bench listens".to_owned(),
            Self::Bench(Bench::Idle { .. }) => "bench idle".to_owned(),
            Self::Instructions { .. } => "instructions".to_owned(),
            Self::Sim(_) => "sim".to_owned(),
            Self::Faults { .. } => "faults".to_owned(),
            Self::ApiFuzz { .. } => "api-fuzz".to_owned(),
            Self::Fuzz { .. } => "fuzz".to_owned(),
            Self::DevKill { .. } => "dev-kill".to_owned(),
            Self::Ctk { .. } => "ctk".to_owned(),
            Self::Dashboards { .. } => "dashboards".to_owned(),
            Self::Console { .. } => "console".to_owned(),
            Self::Operations => "ops-check".to_owned(),
        }
    }

    fn run(self) -> anyhow::Result<Verdict> {
        let workspace = || Workspace::load();
        match self {
            Self::Quickstart { stay } => quickstart::run(&workspace()?, stay),
            Self::Setup => setup::run(),
            Self::Ci | Self::Test => ci::run(&workspace()?),
            Self::Orders { count, kill, seed, release, given } => {
                let profile = if release { Profile::Release } else { Profile::Dev };
                orders::run(&workspace()?, &orders::Plan { count, kill, seed, profile, given })
            }
            Self::Bench(Bench::Broker { report }) => {
                bench::broker(&workspace()?, &bench::BrokerPlan { report })
            }
            Self::Bench(Bench::W1 { seconds, rate, partitions, embedded, report, given }) => {
                let report = of_kind(report, embedded);
                bench::w1(
                    &workspace()?,
                    &bench::W1Plan { seconds, rate, partitions, embedded, report, given },
                )
            }
            Self::Bench(Bench::Scaling { seconds, report, given }) => {
                bench::scaling(&workspace()?, &bench::ScalingPlan { seconds, report, given })
            }
            Self::Bench(Bench::Workloads { seconds, open, report, given }) => {
                bench::workloads(&workspace()?, &bench::WorkloadsPlan { seconds, open, report, given })
            }
            Self::Bench(Bench::Soak { minutes, report, given }) => {
                bench::soak(&workspace()?, &bench::SoakPlan { minutes, report, given })
            }
            Self::Bench(Bench::Takeover { live, times, report, given }) => {
                bench::takeover(&workspace()?, &bench::TakeoverPlan { live, times, report, given })
            }
            Self::Bench(Bench::Rolling { seconds, rate, report, given }) => {
                bench::rolling(&workspace()?, &bench::RollingPlan { seconds, rate, report, given })
            }
            Self::Bench(Bench::Timers { pending, herd, killed, embedded, report, given }) => {
                let report = of_kind(report, embedded);
                let plan = bench::TimersPlan { pending, herd, killed, embedded, report, given };
                bench::timers(&workspace()?, &plan)
            }
            Self::Bench(Bench::Listens { open, events, times, rate, rest, embedded, report, given }) => {
                let (rest, report) = (Duration::from_secs(rest), of_kind(report, embedded));
                let plan = bench::ListensPlan { open, events, times, rate, rest, embedded, report, given };
                bench::listens(&workspace()?, &plan)
            }
            Self::Bench(Bench::Idle { live, report, given }) => {
                bench::idle(&workspace()?, &bench::IdlePlan { live, report, given })
            }
            Self::Faults { minutes, seed, report } => faults::run(
                &workspace()?,
                &faults::Plan { duration: minutes, seed, rate: faults::RATE, report },
            ),
            Self::Instructions { write } => instructions::run(&workspace()?, &instructions::Plan { write }),
            Self::ApiFuzz { seconds, seed } => {
                api_fuzz::run(&workspace()?, &api_fuzz::Plan { seconds, seed })
            }
            Self::Fuzz { minutes } => fuzz::run(&workspace()?, minutes),
            Self::DevKill { times, seed, report } => {
                dev_kill::run(&workspace()?, &dev_kill::Plan { times, seed, report })
            }
            Self::Sim(Sim { seeds, from, mutants }) => {
                let workspace = workspace()?;
                let seeds = seeds
                    .map(|count| sim::run(&workspace, sim::Plan::Seeds { count, from: from.unwrap_or(0) }));
                let mutants = mutants.then(|| sim::run(&workspace, sim::Plan::Mutants { enough: 20 }));
                seeds.or(mutants).unwrap_or_else(|| bail!("give --seeds or --mutants"))
            }
            Self::Dashboards { given } => dashboards::run(&workspace()?, &dashboards::Plan { given }),
            Self::Ctk { kill_points } => {
                ctk::run(&workspace()?, &ctk::Plan { own_kill_points: kill_points.clone(), kill_points })
            }
            Self::Console { screenshots } => console::run(&workspace()?, &console::Plan { screenshots }),
            Self::Operations => operations::run(&workspace()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn kill_points_are_asked_for() {
        for (arguments, points) in [
            (&["x", "ctk"][..], &[][..]),
            (&["x", "ctk", "--kill-points"], &[1, 2, 3]),
            (&["x", "ctk", "--kill-points", "2,5"], &[2, 5]),
        ] {
            let Check::Ctk { kill_points } = Cli::try_parse_from(arguments).expect("is a check").check else {
                panic!("{arguments:?}")
            };
            assert_eq!(kill_points, points);
        }
    }
}
