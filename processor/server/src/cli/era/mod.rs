//! `millrace era show|open`: whether checkpoints and changelogs fit together, and how a partition begins again when they do not.
//! What that means for the instances is decided in `millrace_partition::Remains`; the runbook is `ops/runbooks/changelog-lost.md`.

mod fleet;
mod members;
mod open;
mod show;

use clap::Subcommand;
use millrace_partition::Remains;

use crate::config::Global;
use crate::exit::Exit;
use crate::output::Output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the era of each partition, and whether its checkpoint and its changelog fit together
    Show(show::Arguments),
    /// Let a partition begin again whose changelog was lost, cut or restored; what is in no snapshot is given up
    #[command(long_about = open::ABOUT)]
    Open(open::Arguments),
}

pub(crate) async fn run(global: &Global, output: Output, command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Show(arguments) => Box::pin(show::run(global, output, &arguments)).await,
        Command::Open(arguments) => Box::pin(open::run(global, output, &arguments)).await,
    }
}

/// How checkpoint and changelog fit together, as documents name it, and for people.
fn found(remains: &Remains) -> (&'static str, String) {
    let (start, end) = (remains.changelog_start.0, remains.changelog_end.0);
    match (&remains.checkpoint, remains.checkpoint_stamp) {
        (Some(checkpoint), _) if checkpoint.changelog_offset > remains.changelog_end => {
            let at = checkpoint.changelog_offset.0;
            let text = format!(
                "the changelog ends at {end}, before the checkpoint at {at}: it was truncated or made anew"
            );
            ("end_lost", text)
        }
        (Some(checkpoint), _) if checkpoint.changelog_offset < remains.changelog_start => {
            let at = checkpoint.changelog_offset.0;
            let text = format!(
                "the changelog begins at {start}, behind the checkpoint at {at}: what is between is lost"
            );
            ("beginning_lost", text)
        }
        (Some(checkpoint), _) => {
            let at = checkpoint.changelog_offset.0;
            ("whole", format!("the checkpoint at {at} is within the changelog, {start} to {end}"))
        }
        (None, Some(_)) => {
            let text = format!("the checkpoint row cannot be read; the changelog has {start} to {end}");
            ("checkpoint_unreadable", text)
        }
        (None, None) => {
            ("no_checkpoint", format!("there is no checkpoint; the changelog has {start} to {end}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use millrace_schemas::partition::{Checkpoint, Positions};
    use millrace_schemas::{Offset, Stamp, Timestamp};

    use super::*;

    #[test]
    fn every_way_to_fit_has_its_name() {
        let checkpoint = Checkpoint {
            era: 1,
            era_base: Offset(0),
            changelog_offset: Offset(5),
            positions: Positions { sources: Vec::new() },
            timers_low_watermark: Timestamp(0),
            timers_from: None,
            newest_id: None,
            api_url: None,
            at: Timestamp(0),
            key_groups: Vec::new(),
            released: Vec::new(),
            hot_keys: Vec::new(),
        };
        let found = |checkpoint, checkpoint_stamp, start, end| {
            let (changelog_start, changelog_end) = (Offset(start), Offset(end));
            let all = Remains {
                checkpoint,
                checkpoint_stamp,
                changelog_start,
                changelog_end,
                ..Remains::default()
            };
            found(&all).0
        };
        let stamp = Some(Stamp::new(1, Offset(0), Offset(5)));
        assert_eq!(found(Some(checkpoint.clone()), stamp, 0, 5), "whole");
        assert_eq!(found(Some(checkpoint.clone()), stamp, 0, 4), "end_lost");
        assert_eq!(found(Some(checkpoint), stamp, 6, 9), "beginning_lost");
        assert_eq!(found(None, stamp, 0, 9), "checkpoint_unreadable");
        assert_eq!(found(None, None, 0, 9), "no_checkpoint");
    }
}
