//! `console`: the page that the API serves. Its types, its lints, its unit tests; that what is committed as built is what is built; then the page in a browser, of
//! a `millrace dev` that has it in its binary.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};

use crate::report::Verdict;
use crate::steps;
use crate::workspace::{Profile, Programs, Workspace};

/// Vite runs on this release of Node.js and on later ones.
const NODE: (u32, u32) = (20, 19);

/// What needs no browser, as `package.json` names it.
const CHECKS: [(&str, &str); 4] =
    [("types of the API", "types:check"), ("types", "check"), ("lints", "lint"), ("unit tests", "unit")];

pub(crate) struct Plan {
    /// Take the pictures of the README anew.
    pub(crate) screenshots: bool,
}

pub(crate) fn run(workspace: &Workspace, plan: &Plan) -> anyhow::Result<Verdict> {
    let folder = workspace.run_folder("console")?;
    let console = Console::new(workspace, &folder)?;
    console.without_browser()?;
    // Only now: what is in the binary is what was just compared.
    console.in_a_browser(&workspace.build(Profile::Dev, &folder)?, plan)
}

/// With programs that were built of what is committed.
pub(crate) fn through(workspace: &Workspace, programs: &Programs, folder: &Path) -> anyhow::Result<Verdict> {
    let console = Console::new(workspace, folder)?;
    console.without_browser()?;
    console.in_a_browser(programs, &Plan { screenshots: false })
}

struct Console<'f> {
    source: PathBuf,
    folder: &'f Path,
    /// Where Node.js is; none if it is in the `PATH`.
    node: Option<PathBuf>,
}

impl<'f> Console<'f> {
    fn new(workspace: &Workspace, folder: &'f Path) -> anyhow::Result<Self> {
        Ok(Self { source: workspace.root.join("processor/console"), folder, node: find_node()? })
    }

    fn without_browser(&self) -> anyhow::Result<()> {
        self.step(
            "packages of the console",
            self.npm(&["ci", "--no-audit", "--no-fund", "--prefer-offline"]),
        )?;
        for (label, script) in CHECKS {
            self.step(label, self.npm(&["run", script]))?;
        }
        let built = self.folder.join("dist");
        let out = built.display().to_string();
        self.step(
            "build of the console",
            self.npm(&["run", "build", "--", "--emptyOutDir", "--outDir", &out]),
        )?;
        self.must_be_as(&built)
    }

    /// What is committed is in the binary; it must be made of the sources beside it.
    fn must_be_as(&self, built: &Path) -> anyhow::Result<()> {
        let committed = self.source.join("dist");
        let (committed, built) = (files(&committed)?, files(built)?);
        let names = |of: &[(String, Vec<u8>)]| of.iter().map(|it| it.0.clone()).collect::<Vec<_>>();
        ensure!(
            names(&committed) == names(&built),
            "processor/console/dist has {:?}, and what is built has {:?}: `npm run build` there, and commit it",
            names(&committed),
            names(&built)
        );
        for (is, should) in committed.iter().zip(&built) {
            ensure!(
                is.1 == should.1,
                "processor/console/dist/{} is not what its sources give: `npm run build` there, and commit it",
                is.0
            );
        }
        Ok(())
    }

    fn in_a_browser(&self, programs: &Programs, plan: &Plan) -> anyhow::Result<Verdict> {
        let mut pages = self.npm(&["run", "pages"]);
        pages.env("MILLRACE", &programs.millrace).env("CONSOLE_RESULTS", self.folder.join("pages"));
        pages.env_remove("CONSOLE_DIST").env_remove("CONSOLE_SCREENSHOTS");
        if plan.screenshots {
            pages.env("CONSOLE_SCREENSHOTS", self.source.join("screenshots"));
        }
        let log = self.step("pages in a browser", pages)?;
        let text =
            std::fs::read_to_string(&log).with_context(|| format!("could not read {}", log.display()))?;
        let passed = passed(&text);
        // A run without tests has checked nothing.
        let detail = format!("what is built is as committed; {passed} tests of pages in a browser hold");
        Ok(Verdict::new(passed > 0, detail).figure("pages", passed))
    }

    fn npm(&self, arguments: &[&str]) -> Command {
        let mut command = steps::command("npm");
        command.args(arguments).current_dir(&self.source).env("NO_COLOR", "1").env_remove("FORCE_COLOR");
        if let Some(node) = &self.node {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let all = std::iter::once(node.clone()).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(all).unwrap_or(path));
        }
        command
    }

    fn step(&self, label: &str, mut command: Command) -> anyhow::Result<PathBuf> {
        let log = self.folder.join(format!("{}.log", label.replace(' ', "-")));
        steps::run(label, &mut command, &log)?;
        Ok(log)
    }
}

/// How many tests Playwright says have passed.
fn passed(log: &str) -> u64 {
    let lines = log.lines().filter_map(|it| it.trim().split_once(" passed"));
    lines.filter_map(|(count, _)| count.parse::<u64>().ok()).sum()
}

/// All files of a folder, by name.
fn files(folder: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("could not read {}", folder.display()))?;
        let content = std::fs::read(entry.path())
            .with_context(|| format!("could not read {}", entry.path().display()))?;
        files.push((entry.file_name().to_string_lossy().into_owned(), content));
    }
    files.sort();
    Ok(files)
}

/// Node.js as it is on this machine, or as ops/setup.sh has put it into the virtual environment.
fn find_node() -> anyhow::Result<Option<PathBuf>> {
    let has_npm =
        |npm: &Path| Command::new(npm).arg("--version").output().is_ok_and(|it| it.status.success());
    if is_new_enough(Path::new("node")) && has_npm(Path::new("npm")) {
        return Ok(None);
    }
    let bin = crate::setup::venv().join("bin");
    if is_new_enough(&bin.join("node")) && bin.join("npm").exists() {
        return Ok(Some(bin));
    }
    bail!("Node.js {}.{} or newer, or npm, is missing: ops/setup.sh", NODE.0, NODE.1)
}

fn is_new_enough(node: &Path) -> bool {
    let said = Command::new(node).arg("--version").output();
    said.is_ok_and(|it| version(&String::from_utf8_lossy(&it.stdout)) >= Some(NODE))
}

/// Of `v20.19.5`, the first two parts.
fn version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_in_a_browser_are_counted() {
        assert_eq!(
            passed("  ✓  1 pages/a.spec.ts › a passed way (1.0s)\n\n  1 skipped\n  27 passed (1.2m)\n"),
            27
        );
        assert_eq!(passed("  1 failed\n"), 0);
    }

    #[test]
    fn releases_of_node_are_compared() {
        assert!(version("v20.19.5\n") >= Some(NODE) && version("v24.0.0") >= Some(NODE));
        assert!(version("v18.20.4") < Some(NODE) && version("") < Some(NODE));
    }
}
