//! One hot path, again and again: for profilers, and for counting instructions.

use std::io::Write as _;

use anyhow::Context as _;
use clap::Parser;
use millrace_hot_paths::{ALL, Run};

/// That of the processor: what its pure paths cost depends on it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Runs one pure path of the processor, once so that everything is in place, and then so many times in a function `measured`, which a
/// counter can look for.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// Which.
    #[arg(required_unless_present = "list")]
    name: Option<String>,
    /// How often.
    #[arg(long, default_value_t = 1)]
    times: u64,
    /// Prints the names, as JSON, and runs none.
    #[arg(long)]
    list: bool,
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if cli.list {
        let list: Vec<_> =
            ALL.iter().map(|it| serde_json::json!({"name": it.name, "unit": it.unit})).collect();
        let text = serde_json::to_string_pretty(&list)? + "\n";
        return std::io::stdout().lock().write_all(text.as_bytes()).context("stdout is closed");
    }
    let name = cli.name.as_deref().context("a name is needed")?;
    let path = ALL.iter().find(|it| it.name == name).with_context(|| {
        let names: Vec<&str> = ALL.iter().map(|it| it.name).collect();
        format!("there is no hot path {name}; there are: {}", names.join(", "))
    })?;
    let mut run = (path.prepare)();
    run();
    measured(&mut run, cli.times);
    Ok(())
}

#[inline(never)]
fn measured(run: &mut Run, times: u64) {
    for _ in 0..times {
        run();
    }
}
