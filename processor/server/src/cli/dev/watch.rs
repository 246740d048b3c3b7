//! `--watch`: definitions that are deployed again when their files change.
//!
//! A deployed version never changes, since running instances stay on it. Whoever edits a file does not want to raise its version
//! each time, so a changed text with an unchanged version is deployed as `1.0.0+dev.1`, then `+dev.2`, …: newer than the one before,
//! and never mistaken for a version that somebody gave.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use millrace_schemas::definition::Definition;
use millrace_workflow::admission::with_version;

use crate::bundling::{Bundling, Catalogs};
use crate::cli::deploy;
use crate::config::Global;
use crate::exit::Problem;
use crate::output::Output;
use crate::requests::Fleet;
use crate::requests::admission::{Admission, Candidate, admit_named};
use crate::requests::deployment;

/// Between two looks at the files. Looking is cheap, works on every file system, and survives editors that replace a file.
const LOOK: Duration = Duration::from_millis(300);

/// For as long as the process lives.
pub(crate) async fn run(
    global: &Global,
    output: Output,
    catalogs: &Catalogs,
    files: &[PathBuf],
) -> anyhow::Result<()> {
    let mut seen: BTreeMap<&Path, Result<String, String>> = BTreeMap::new();
    loop {
        for file in files {
            let text = std::fs::read_to_string(file).map_err(|error| error.to_string());
            if seen.get(file.as_path()) == Some(&text) {
                continue;
            }
            match &text {
                // An editor may be about to put it back.
                Err(error) => {
                    output.note(&format!("{}: waiting until it can be read: {error}", file.display()))
                }
                Ok(text) => match deploy(global, output, catalogs, file, text.clone()).await {
                    Ok(line) => output.note(&line),
                    Err(error) => {
                        let problem = Problem::of(&error);
                        output.note(&format!(
                            "{}: not deployed\n{}",
                            file.display(),
                            problem.text().trim_end()
                        ));
                    }
                },
            }
            seen.insert(file, text);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// A line that says what has become of it.
pub(crate) async fn deploy(
    global: &Global,
    output: Output,
    catalogs: &Catalogs,
    file: &Path,
    text: String,
) -> anyhow::Result<String> {
    let name = file.display().to_string();
    let candidate_of = |admission| match admission {
        Admission::Admitted { program, definition, warnings } => {
            Ok((Candidate { name: name.clone(), program, definition }, warnings))
        }
        Admission::Refused(findings) => Err(findings),
    };
    let bundling = Bundling { output, catalogs, is_offline: false };
    let (mut candidate, findings) = match candidate_of(deploy::admit_file(file, text, &bundling).await?) {
        Ok((candidate, warnings)) => (candidate, warnings),
        Err(findings) => {
            for finding in &findings {
                output.note(&finding.to_string());
            }
            return Ok(format!("{name}: refused, so what is deployed stays as it is; waiting for a change"));
        }
    };
    for finding in &findings {
        output.note(&finding.to_string());
    }
    let fleet = Fleet::connect(global).await?;
    let known = deployment::deployed(&fleet.kafka, fleet.topics(), &fleet.codec).await?;
    if let Some(version) = next_version(&candidate.definition, known.values().flatten()) {
        let text = candidate.definition.text.clone();
        let text = with_version(&text, &version).unwrap_or(text);
        if let Ok((renamed, _)) = candidate_of(admit_named(&name, text)) {
            candidate = renamed;
        }
    }
    let workflow = candidate.definition.workflow().to_string();
    let outcome = deployment::deploy(&fleet, &[candidate]).await?;
    Ok(format!("{name}: {workflow} {}", outcome.first().copied().unwrap_or("unchanged")))
}

/// The version under which a changed definition can be deployed; none when its own is free, or has the same meaning.
fn next_version<'a>(definition: &Definition, known: impl Iterator<Item = &'a Definition>) -> Option<String> {
    const MARK: &str = "+dev.";
    let is_same = |it: &&Definition| it.namespace == definition.namespace && it.name == definition.name;
    let base = |it: &Definition| it.version.split(MARK).next().unwrap_or_default().to_owned();
    let number = |it: &Definition| match it.version.split_once(MARK) {
        None => Some(0),
        Some((_, number)) => number.parse::<u64>().ok(),
    };
    let mine = base(definition);
    let newest = known.filter(is_same).filter(|it| base(it) == mine).max_by_key(|it| number(it))?;
    if without_version(newest) == without_version(definition) {
        // Under the version that it has there, it is unchanged.
        return Some(newest.version.to_string()).filter(|it| **it != *definition.version);
    }
    Some(format!("{mine}{MARK}{}", number(newest)? + 1))
}

/// Its text as if all versions were one.
fn without_version(definition: &Definition) -> String {
    with_version(&definition.text, "0.0.0").unwrap_or_else(|| definition.text.clone())
}

#[cfg(test)]
mod tests {
    use millrace_schemas::Timestamp;

    use super::*;

    fn definition(version: &str, body: &str) -> Definition {
        Definition {
            namespace: "shop".into(),
            name: "order".into(),
            version: version.into(),
            media_type: "application/yaml".to_owned(),
            text: format!("document:\n  version: {version}\n{body}"),
            digest: String::new(),
            deployed_at: Timestamp(0),
        }
    }

    fn next(version: &str, body: &str, known: &[Definition]) -> Option<String> {
        next_version(&definition(version, body), known.iter())
    }

    #[test]
    fn a_changed_text_gets_the_next_number_and_an_unchanged_one_keeps_its_own() {
        let first = definition("1.0.0", "do: []\n");
        assert_eq!(next("1.0.0", "do: []\n", &[]), None, "its version is free");
        assert_eq!(next("1.0.0", "do: []\n", std::slice::from_ref(&first)), None, "nothing has changed");
        assert_eq!(next("1.0.0", "do: [1]\n", std::slice::from_ref(&first)).as_deref(), Some("1.0.0+dev.1"));
        let known = [first, definition("1.0.0+dev.9", "do: [1]\n"), definition("1.0.0+dev.10", "do: [2]\n")];
        assert_eq!(next("1.0.0", "do: [3]\n", &known).as_deref(), Some("1.0.0+dev.11"));
        assert_eq!(next("1.0.0", "do: [2]\n", &known).as_deref(), Some("1.0.0+dev.10"), "deployed already");
        assert_eq!(next("1.1.0", "do: [3]\n", &known), None, "another version is free");
    }

    #[test]
    fn a_later_number_is_a_newer_version() {
        let version = |text: &str| semver::Version::parse(text).expect("is a version");
        assert!(version("1.0.0") < version("1.0.0+dev.1"));
        assert!(version("1.0.0+dev.9") < version("1.0.0+dev.10"));
        assert!(version("1.0.0+dev.10") < version("1.0.1"));
    }
}
