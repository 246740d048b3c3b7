//! The catalogue as a page for people.

use std::fmt::Write as _;

use crate::catalogue::{Entry, Kind};

/// A part of the page: what one kind of process shows.
#[derive(Debug)]
pub struct Part<'a> {
    /// Its heading.
    pub title: &'a str,
    /// Where it is served.
    pub intro: &'a str,
    /// What there is.
    pub entries: &'a [Entry],
}

/// The page.
#[must_use]
pub fn markdown(title: &str, intro: &str, parts: &[Part<'_>]) -> String {
    let mut page = format!("# {title}\n\n{intro}\n");
    for part in parts {
        write(&mut page, format_args!("\n## {}\n\n{}\n", part.title, part.intro));
        let mut topic = "";
        for entry in part.entries {
            if entry.topic != topic {
                topic = entry.topic;
                write(
                    &mut page,
                    format_args!(
                        "\n### {topic}\n\n| metric | type, unit | labels | meaning | look when |\n|---|---|---|---|---|\n"
                    ),
                );
            }
            write(&mut page, format_args!("{}\n", row(entry)));
        }
        let mut labels: Vec<_> = part.entries.iter().flat_map(|it| &it.labels).collect();
        labels.sort_by_key(|it| it.name);
        labels.dedup_by_key(|it| (it.name, it.bound()));
        if !labels.is_empty() {
            page.push_str("\n### Labels\n\n| label | values |\n|---|---|\n");
            for label in labels {
                write(&mut page, format_args!("| `{}` | {} |\n", label.name, label.bound()));
            }
        }
    }
    page
}

fn write(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("a string takes everything");
}

fn row(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let labels: Vec<String> = entry.labels.iter().map(|it| format!("`{}`", it.name)).collect();
    let about = entry.about;
    format!(
        "| `{}` | {kind}, {} | {} | {} | {} |",
        about.name,
        unit(about.name),
        if labels.is_empty() { "–".to_owned() } else { labels.join(" ") },
        about.help,
        about.look
    )
}

/// What a name says of its unit: it stands at the end, before `_total`.
fn unit(name: &str) -> &str {
    let last = name.trim_end_matches("_total").rsplit('_').next().unwrap_or_default();
    match last {
        "seconds" | "bytes" | "records" | "entries" | "instances" => last,
        _ => "count",
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use prometheus::Registry;

    use super::*;
    use crate::{About, Catalogue, Label, buckets};

    #[test]
    fn the_page() {
        let registry = Registry::new();
        let mut catalogue = Catalogue::new(&registry);
        catalogue.topic("Tests");
        let outcome = Label::known("outcome", &["passed", "failed"]);
        catalogue.counters(
            About { name: "millrace_tests_total", help: "Tests.", look: "One failed." },
            &[outcome],
        );
        catalogue.histogram(
            About { name: "millrace_test_duration_seconds", help: "How long one takes.", look: "You wait." },
            buckets::SECONDS,
        );
        let entries = catalogue.into_entries();
        let part = Part { title: "Runner", intro: "At its end.", entries: &entries };
        expect![[r"
            # Metrics

            All.

            ## Runner

            At its end.

            ### Tests

            | metric | type, unit | labels | meaning | look when |
            |---|---|---|---|---|
            | `millrace_tests_total` | counter, count | `outcome` | Tests. | One failed. |
            | `millrace_test_duration_seconds` | histogram, seconds | – | How long one takes. | You wait. |

            ### Labels

            | label | values |
            |---|---|
            | `outcome` | `passed`, `failed` |
        "]]
        .assert_eq(&markdown("Metrics", "All.", &[part]));
    }
}
