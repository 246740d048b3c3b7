//! What a mix file says: which kinds of work there are, how often each comes, and what the worker answers.

use std::path::Path;

use anyhow::{Context, ensure};
use millrace_schemas::WorkflowName;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::orders::workflow_name;

/// A mix: kinds of work, chosen by weight for each arrival.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// The queue of the functions.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// Functions that the worker answers at once; without any, there is no worker.
    #[serde(default)]
    pub functions: Vec<String>,
    /// The kinds of work.
    pub work: Vec<Work>,
}

/// One kind of work.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// What reports call it: letters, digits, `.` and `_`.
    pub name: String,
    /// How often it comes, in relation to the others.
    #[serde(default = "one")]
    pub weight: u32,
    /// Starts an instance of this workflow, as namespace/name. It is done when that has ended.
    pub start: Option<String>,
    /// Of the input of what is started, as JSON text; 200, if not given.
    pub input_bytes: Option<usize>,
    /// Sends an event of this type to one of `instances`. It is done when that has taken it in.
    pub signal: Option<String>,
    /// How many instances are signalled, `live-0`, `live-1`, …: those of `millrace-load-tests live`. One, if not given.
    pub instances: Option<u64>,
}

/// What a kind of work does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Start { workflow: WorkflowName, input_bytes: usize },
    Signal { event_type: String, instances: u64 },
}

fn default_queue() -> String {
    "default".to_owned()
}

fn one() -> u32 {
    1
}

const INPUT_BYTES: usize = 200;

/// The least that an input takes: `{"text":""}`.
pub(super) const INPUT_FRAME_BYTES: usize = r#"{"text":""}"#.len();

impl Mix {
    /// # Errors
    /// When the file cannot be read, or says what makes no sense.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("the mix {} cannot be read", file.display()))?;
        Self::parse(&text).with_context(|| format!("the mix {}", file.display()))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mix: Self = toml::from_str(text)?;
        ensure!(mix.work.iter().any(|it| it.weight > 0), "no kind of work has a weight");
        for work in &mix.work {
            work.kind().with_context(|| format!("work {:?}", work.name))?;
        }
        Ok(mix)
    }

    /// One of the kinds, by weight.
    pub(super) fn choose(&self, rng: &mut ChaCha8Rng) -> usize {
        let all: u32 = self.work.iter().map(|it| it.weight).sum();
        let mut place = rng.random_range(0..all);
        for (index, work) in self.work.iter().enumerate() {
            match place.checked_sub(work.weight) {
                Some(rest) => place = rest,
                None => return index,
            }
        }
        unreachable!("the place is less than the sum of the weights")
    }
}

impl Work {
    pub(super) fn kind(&self) -> anyhow::Result<Kind> {
        let is_plain = |it: char| it.is_ascii_alphanumeric() || it == '.' || it == '_';
        ensure!(
            !self.name.is_empty() && self.name.chars().all(is_plain),
            "a name has letters, digits, `.` and `_`"
        );
        let input_bytes = self.input_bytes.unwrap_or(INPUT_BYTES);
        ensure!(input_bytes >= INPUT_FRAME_BYTES, "`input_bytes` must be {INPUT_FRAME_BYTES} or more");
        let instances = self.instances.unwrap_or(1);
        ensure!(instances > 0, "`instances` must be 1 or more");
        match (&self.start, &self.signal) {
            (Some(workflow), None) => {
                ensure!(self.instances.is_none(), "`instances` are for what is signalled");
                Ok(Kind::Start { workflow: workflow_name(workflow)?, input_bytes })
            }
            (None, Some(event_type)) => {
                ensure!(self.input_bytes.is_none(), "`input_bytes` are for what is started");
                Ok(Kind::Signal { event_type: event_type.clone(), instances })
            }
            _ => anyhow::bail!("it must either `start` a workflow or `signal` instances"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_mixes_of_the_repository_make_sense() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mixes");
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|it| it.unwrap().path()).collect();
        assert!(files.len() >= 7, "{files:?}");
        for file in files {
            Mix::read(&file).unwrap();
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let error = |text: &str| format!("{:#}", Mix::parse(text).unwrap_err());
        assert!(error("work = []").contains("weight"));
        assert!(error("[[work]]\nname = 'a'").contains("either `start` a workflow or `signal`"));
        assert!(error("[[work]]\nname = 'a b'\nstart = 'load/w1'").contains("letters"));
        assert!(error("[[work]]\nname = 'a'\nstart = 'load/w1'\ninput_bytes = 3").contains("11 or more"));
        assert!(error("[[work]]\nname = 'a'\nstart = 'load/w1'\nwieght = 3").contains("wieght"));
    }

    #[test]
    fn kinds_come_by_their_weight() {
        let text =
            "[[work]]\nname = 'a'\nstart = 'load/w1'\nweight = 3\n[[work]]\nname = 'b'\nstart = 'load/w1'";
        let mix = Mix::parse(text).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let first = (0..10_000).filter(|_| mix.choose(&mut rng) == 0).count();
        assert!((7_300..7_700).contains(&first), "{first}");
    }
}
