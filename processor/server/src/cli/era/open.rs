//! `millrace era open`

use std::fmt::Write as _;

use clap::Args;
use millrace_partition::{ERA_MAX, Remains, Reopening};
use millrace_placement::PartitionIndex;
use millrace_runtime::store::SnapshotStore as _;
use millrace_schemas::partition::{Checkpoint, Positions, SourcePosition};
use millrace_schemas::{Offset, Stamp};
use serde::Serialize;

use super::fleet::{Fleet, number};
use super::found;
use super::members::Members;
use crate::clients::{self, StoreSettings};
use crate::config::Global;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::view::time;

pub(super) const ABOUT: &str = "\
Let a partition begin again whose changelog was lost, cut or restored.

For a partition that stands still because its checkpoint and its changelog do not fit together, when neither can be restored. The \
snapshots are accepted as they are; what is in no snapshot, and not in the changelog either, is given up. If the changelog is still \
the same log and only its beginning is gone, the era stays and the checkpoint moves to what is left; otherwise a new era begins at \
the changelog's end.

Nothing is changed without --yes. A processor that waits with the partition takes it up within seconds.";

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    which: Which,

    /// The changelog is another one than the checkpoint was written for, though it may look whole: restored from a copy, or made anew
    #[arg(long)]
    log_replaced: bool,

    /// A processor to ask whether the partition has failed, if it serves no other partition; may be repeated
    #[arg(long, value_name = "URL")]
    processor: Vec<String>,

    /// Do it
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    store: StoreSettings,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
struct Which {
    /// This partition
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,

    /// Every partition that needs it
    #[arg(long)]
    all: bool,
}

#[derive(Serialize)]
struct Document {
    /// `opened`, `planned` (it takes --yes), or `not_needed`.
    outcome: &'static str,
    partitions: Vec<ChangeView>,
}

#[derive(Clone, Serialize)]
struct ChangeView {
    partition: u32,
    /// As `era show` names it.
    found: &'static str,
    /// `new_era`, `checkpoint_moved` or `none`.
    action: &'static str,
    log_start: i64,
    log_end: i64,
    /// What the checkpoint says from now on.
    #[serde(flatten)]
    begin: Option<BeginView>,
    #[serde(skip)]
    text: String,
}

#[derive(Clone, Serialize)]
struct BeginView {
    era: u32,
    era_base: i64,
    checkpoint_offset: i64,
    sources: Vec<SourceView>,
    /// Timers due since then are looked at again.
    timers_from: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct SourceView {
    topic: String,
    partition: i32,
    offset: i64,
    /// `to_start` or `to_end`: the topic does not hold the position that was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved: Option<&'static str>,
}

/// A row to write.
struct Change {
    partition: u32,
    end: Offset,
    stamp: Stamp,
    checkpoint: Checkpoint,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let fleet = output.patiently("connecting", Fleet::connect(global, &arguments.store)).await?;
    let chosen = fleet.chosen(arguments.which.partition)?;
    let look = async {
        let (mut views, mut changes) = (Vec::new(), Vec::new());
        for partition in chosen {
            let (view, change) = plan(&fleet, partition, arguments.log_replaced).await?;
            views.push(view);
            changes.extend(change);
        }
        anyhow::Ok((views, changes))
    };
    let (views, changes) = output.patiently("reading checkpoints and changelogs", look).await?;
    if changes.is_empty() {
        return finish(output, Document { outcome: "not_needed", partitions: views }, Exit::Success);
    }
    let members =
        output.patiently("asking the processors", Members::ask(&fleet, &arguments.processor)).await?;
    for change in &changes {
        members.allow(change.partition)?;
        let era = change.checkpoint.era;
        if era > ERA_MAX {
            let fix = "use another --prefix and --keyspace for a new fleet: a store may refuse stamps of later eras";
            return Err(
                Failure::new(format!("partition {} would need era {era}", change.partition), fix).into()
            );
        }
    }
    if !arguments.yes {
        let ended = finish(output, Document { outcome: "planned", partitions: views }, Exit::Unconfirmed);
        output.note("nothing was changed; if you accept that, say it again with --yes");
        return ended;
    }
    for change in &changes {
        output.patiently("writing the checkpoint", write(&fleet, change)).await?;
    }
    finish(output, Document { outcome: "opened", partitions: views }, Exit::Success)
}

fn finish(output: Output, document: Document, exit: Exit) -> anyhow::Result<Exit> {
    output.show(&document, || {
        let texts = document.partitions.iter().map(|it| it.text.as_str());
        texts.chain((document.outcome == "opened").then_some("done\n")).collect()
    })?;
    Ok(exit)
}

/// What would be done for a partition.
async fn plan(
    fleet: &Fleet,
    partition: u32,
    is_replaced: bool,
) -> anyhow::Result<(ChangeView, Option<Change>)> {
    let mut remains = fleet.rows(partition).await?;
    remains.is_replaced = is_replaced;
    let in_log = fleet.read_log(partition, &mut remains).await?;
    // The log says more than a checkpoint of the same log; of another log it says nothing about that one.
    let known = match (&remains.checkpoint, remains.reopening()) {
        (Some(checkpoint), Reopening::NewEra { .. } | Reopening::NotNeeded) => checkpoint.positions.clone(),
        (checkpoint, _) => {
            let of_checkpoint = checkpoint.as_ref().map(|it| it.positions.clone());
            in_log.or(of_checkpoint).unwrap_or(Positions { sources: Vec::new() })
        }
    };
    let mut sources = Vec::new();
    let own = [fleet.topics.internal(), fleet.topics.events()];
    for known in &known.sources {
        // A users' topic may be gone; whoever reads it looks at its bounds first.
        let (start, end) = match own.contains(&known.topic) {
            true => fleet.kafka.bounds(&known.topic, known.partition).await?,
            false => (known.offset, known.offset),
        };
        sources.push(SourceView::new(known, start, end));
    }
    let positions = Positions { sources: sources.iter().map(SourceView::position).collect() };
    let row = remains.checkpoint(positions, clients::now());
    let begin = row.as_ref().map(|(_, checkpoint)| BeginView {
        era: checkpoint.era,
        era_base: checkpoint.era_base.0,
        checkpoint_offset: checkpoint.changelog_offset.0,
        sources,
        timers_from: time(checkpoint.timers_low_watermark),
    });
    let view = ChangeView::new(partition, &remains, begin);
    let end = remains.changelog_end;
    Ok((view, row.map(|(stamp, checkpoint)| Change { partition, end, stamp, checkpoint })))
}

/// Writes the row, and looks whether it counts: a newer one may have come, or somebody may have written to the log.
async fn write(fleet: &Fleet, change: &Change) -> anyhow::Result<()> {
    let index = PartitionIndex(change.partition);
    let value = fleet.codec.encode_checkpoint(&change.checkpoint);
    fleet.store.save_checkpoint(index, change.stamp, value.into()).await?;
    let row = fleet.store.load_checkpoint(index).await?;
    let (_, end) = fleet.kafka.bounds(&fleet.topics.changelog(), number(change.partition)).await?;
    // The owner that waits may have taken it up already: its claim is of this era, and the row is as it was or newer.
    let is_ours = row.is_some_and(|(stamp, _)| stamp >= change.stamp && stamp.era() == change.checkpoint.era);
    let is_taken_up = fleet.store.load_owner(index).await?.is_some_and(|it| it.stamp >= change.stamp);
    if is_ours && (end == change.end || is_taken_up) {
        return Ok(());
    }
    let what = format!("partition {} was served by a processor while its era was opened", change.partition);
    Err(Failure::new(what, "stop the processors, and say it again: millrace era open").into())
}

impl SourceView {
    /// A position, moved into what the topic holds.
    fn new(known: &SourcePosition, start: Offset, end: Offset) -> Self {
        let offset = known.offset.clamp(start, end);
        let moved = match offset.cmp(&known.offset) {
            std::cmp::Ordering::Less => Some("to_end"),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some("to_start"),
        };
        Self { topic: known.topic.clone(), partition: known.partition, offset: offset.0, moved }
    }

    fn position(&self) -> SourcePosition {
        SourcePosition { topic: self.topic.clone(), partition: self.partition, offset: Offset(self.offset) }
    }
}

impl ChangeView {
    fn new(partition: u32, remains: &Remains, begin: Option<BeginView>) -> Self {
        let (found, why) = found(remains);
        let (start, end) = (remains.changelog_start.0, remains.changelog_end.0);
        let mut text = format!("partition {partition}: {why}\n");
        let action = match remains.reopening() {
            Reopening::NotNeeded => {
                text.push_str("  nothing is to be done\n");
                "none"
            }
            Reopening::SameLog { era, offset, .. } => {
                let _ = writeln!(
                    text,
                    "  the log is the same log: era {era} stays, and a restore begins at {offset}\n  \
                     snapshots are accepted as they are; events in the log from {offset} on are applied on top, so far as a snapshot \
                     does not hold them; what was only in the lost part of the log is gone",
                    offset = offset.0
                );
                "checkpoint_moved"
            }
            Reopening::NewEra { era, base } => {
                let _ = writeln!(
                    text,
                    "  era {era} begins at {base}, the end of the log\n  \
                     snapshots are accepted as they are; what the log holds now ({start} to {end}) is not applied; what was only in \
                     the lost part of the log is gone",
                    base = base.0
                );
                "new_era"
            }
        };
        if let Some(begin) = &begin {
            text.push_str(&begin.text());
        }
        Self { partition, found, action, log_start: start, log_end: end, begin, text }
    }
}

impl BeginView {
    fn text(&self) -> String {
        let mut text = String::new();
        for it in &self.sources {
            let moved = match it.moved {
                Some("to_start") => ", its beginning: records before it were deleted unread",
                Some(_) => ", its end: it is shorter than it was, and what it lost is gone",
                None => "",
            };
            let _ = writeln!(text, "  {}/{} is read from {}{moved}", it.topic, it.partition, it.offset);
        }
        if self.sources.is_empty() {
            text.push_str(
                "  how far events were read is not known: they are read again from the beginning\n",
            );
        }
        let _ = writeln!(text, "  timers due since {} are looked at again", self.timers_from);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_moved_into_what_the_topic_holds() {
        let known = SourcePosition { topic: "t.events".to_owned(), partition: 3, offset: Offset(10) };
        let moved = |start, end| {
            let view = SourceView::new(&known, Offset(start), Offset(end));
            (view.offset, view.moved)
        };
        assert_eq!(moved(0, 20), (10, None));
        assert_eq!(moved(12, 20), (12, Some("to_start")));
        assert_eq!(moved(0, 4), (4, Some("to_end")));
    }
}
