//! What the commands print: for people or for programs. One document a command, on stdout; progress goes to stderr.

use std::fmt::Write as _;
use std::future::Future;
use std::io::Write as _;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::Problem;

/// `--output`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables and sentences.
    #[default]
    Human,
    /// One JSON document.
    Json,
}

/// Anything slower than this says that it is still at it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where a command's answer goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
}

impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// The command's answer: `document` for programs, `text` for people.
    pub(crate) fn show(self, document: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.format {
            Format::Human => {
                let mut text = text();
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                write_stdout(&text)
            }
            Format::Json => write_stdout(&format!("{}\n", serde_json::to_string_pretty(document)?)),
        }
    }

    /// An error. People read it on stderr; programs find it on stdout, where they look for a document.
    pub(crate) fn problem(self, problem: &Problem) {
        #[derive(Serialize)]
        struct Document<'a> {
            error: &'a Problem,
        }
        match self.format {
            Format::Human => say(problem.text().trim_end()),
            Format::Json => {
                // Nobody is left to tell when stdout is gone as well.
                let _ = self.show(&Document { error: problem }, String::new);
            }
        }
    }

    /// A remark that is no part of the answer.
    pub(crate) fn note(self, text: &str) {
        say(text);
    }

    /// Awaits `work`, and says so on stderr if that takes long. `doing` reads like `creating topics`.
    pub(crate) async fn patiently<T>(self, doing: &str, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut waited = Duration::ZERO;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = tokio::time::sleep(PATIENCE) => {
                    waited += PATIENCE;
                    say(&format!("{doing}, {} s …", waited.as_secs()));
                }
            }
        }
    }
}

/// A line on stderr. Failing to write there is no reason to stop.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A reader that has seen enough (`millrace list … | head -1`) is no error.
fn write_stdout(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Rows in aligned columns, under a head.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|it| it.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let head: Vec<String> = head.iter().map(|it| (*it).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `1 record`, `2 records`.
pub(crate) fn count(number: usize, singular: &str) -> String {
    if number == 1 { format!("1 {singular}") } else { format!("{number} {singular}s") }
}

/// At most `max` characters, the cut marked.
pub(crate) fn shorten(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(std::iter::once('…')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [vec!["a".to_owned(), "running".to_owned()], vec!["order-17".to_owned(), "completed".to_owned()]];
        expect_test::expect![[r#"
            ID        STATUS
            a         running
            order-17  completed
        "#]]
        .assert_eq(&table(&["ID", "STATUS"], &rows));
    }

    #[test]
    fn shortening_counts_characters_and_not_bytes() {
        assert_eq!(shorten("über", 4), "über");
        assert_eq!(shorten("überall", 4), "übe…");
    }
}
