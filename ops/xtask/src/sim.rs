//! `sim`: the simulation, optimised: unoptimised it takes ten times as long.

use serde_json::Value;

use crate::report::{Verdict, read_json};
use crate::steps;
use crate::workspace::Workspace;

/// Within so many seeds each mutant must be caught; most are within some hundred.
const MUTANT_SEEDS: u64 = 20_000;

/// What is run.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Plan {
    /// Seeds that must hold.
    Seeds { count: u64, from: u64 },
    /// Broken protocols that must be caught, each by so many seeds before the next one's turn.
    Mutants { enough: u64 },
}

pub(crate) fn run(workspace: &Workspace, plan: Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("sim")?;
    let json = folder.join("sim.json");
    let mut arguments: Vec<String> =
        ["run", "--quiet", "--release", "-p", "millrace-sim", "--", "--json"].map(str::to_owned).to_vec();
    arguments.push(json.display().to_string());
    match plan {
        Plan::Seeds { count, from } => {
            arguments.extend([
                "--seeds".to_owned(),
                count.to_string(),
                "--from".to_owned(),
                from.to_string(),
            ]);
        }
        Plan::Mutants { enough } => {
            arguments.extend(["--mutants".to_owned(), "--seeds".to_owned(), MUTANT_SEEDS.to_string()]);
            arguments.extend(["--enough".to_owned(), enough.to_string()]);
        }
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let shown = steps::show("sim", &mut workspace.cargo(&arguments));
    let figures = read_json(&json)?;
    let detail = match plan {
        Plan::Seeds { .. } => seeds(&figures),
        Plan::Mutants { .. } => format!("{} mutants", figures["mutants"].as_array().map_or(0, Vec::len)),
    };
    Ok(Verdict::new(shown.is_ok(), detail).figures_of(figures))
}

fn seeds(figures: &Value) -> String {
    let worlds = figures.as_object().into_iter().flatten();
    let each =
        worlds.map(|(world, it)| format!("{world}: {} seeds, {} violations", it["seeds"], it["violations"]));
    each.collect::<Vec<_>>().join("; ")
}
