//! `millrace era show`

use clap::Args;
use millrace_partition::{ERA_MAX, ERA_WARN};
use serde::Serialize;

use super::fleet::Fleet;
use super::found;
use crate::clients::StoreSettings;
use crate::config::Global;
use crate::exit::Exit;
use crate::output::{Output, table};

#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Only this partition
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u32>,

    #[command(flatten)]
    store: StoreSettings,
}

#[derive(Serialize)]
struct Document {
    partitions: Vec<EraView>,
}

#[derive(Serialize)]
struct EraView {
    partition: u32,
    /// `whole`, `beginning_lost`, `end_lost`, `no_checkpoint` or `checkpoint_unreadable`.
    found: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    era: Option<u32>,
    /// Where the era began.
    #[serde(skip_serializing_if = "Option::is_none")]
    era_base: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint_offset: Option<i64>,
    log_start: i64,
    log_end: i64,
    /// How many more can be opened.
    eras_left: u32,
}

pub(crate) async fn run(global: &Global, output: Output, arguments: &Arguments) -> anyhow::Result<Exit> {
    let read = async {
        let fleet = Fleet::connect(global, &arguments.store).await?;
        let mut views = Vec::new();
        for partition in fleet.chosen(arguments.partition)? {
            let remains = fleet.rows(partition).await?;
            let checkpoint = remains.checkpoint.as_ref();
            views.push(EraView {
                partition,
                found: found(&remains).0,
                era: checkpoint.map(|it| it.era),
                era_base: checkpoint.map(|it| it.era_base.0),
                checkpoint_offset: checkpoint.map(|it| it.changelog_offset.0),
                log_start: remains.changelog_start.0,
                log_end: remains.changelog_end.0,
                eras_left: ERA_MAX.saturating_sub(remains.era()),
            });
        }
        anyhow::Ok(views)
    };
    let document = Document { partitions: output.patiently("reading the checkpoints", read).await? };
    for view in document.partitions.iter().filter(|it| it.eras_left <= ERA_MAX - ERA_WARN) {
        output.note(&format!(
            "warning: partition {} has {} of {ERA_MAX} eras left; find out why its changelog is lost so often",
            view.partition, view.eras_left
        ));
    }
    output.show(&document, || document.text())?;
    Ok(Exit::Success)
}

impl Document {
    fn text(&self) -> String {
        let number = |it: Option<i64>| it.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let row = |it: &EraView| {
            vec![
                it.partition.to_string(),
                number(it.era.map(i64::from)),
                number(it.era_base),
                number(it.checkpoint_offset),
                format!("{} to {}", it.log_start, it.log_end),
                it.eras_left.to_string(),
                it.found.replace('_', " "),
            ]
        };
        let rows: Vec<_> = self.partitions.iter().map(row).collect();
        table(&["PARTITION", "ERA", "BASE", "CHECKPOINT", "CHANGELOG", "ERAS LEFT", "FOUND"], &rows)
    }
}
