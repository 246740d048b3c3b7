//! A program as text, for people: what will run, with names resolved and defaults filled in.

use std::fmt::{self, Write as _};

use crate::program::{
    Backoff, Beginning, Block, Call, Catch, Child, Decoding, DurationSource, Emit, EventFilter, EventSource,
    Extended, Flow, For, Foreach, Function, History, Kind, Lifecycle, Listen, Matcher, OnFault, Program,
    Read, Retry, Strategy, Task, TaskIndex, Try,
};
use crate::schedule::{Rhythm, Schedule, shown};

impl Program {
    /// The compiled program as indented text: a line for each task and branch.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut describer = Describer { program: self, out: String::new() };
        // Writing to a `String` cannot fail.
        describer.workflow().expect("text is written to memory");
        describer.out
    }
}

struct Describer<'p> {
    program: &'p Program,
    out: String,
}

impl Describer<'_> {
    fn workflow(&mut self) -> fmt::Result {
        let program = self.program;
        writeln!(self.out, "workflow {}", program.workflow)?;
        let mut notes = Vec::new();
        input_notes(&program.input, &mut notes);
        output_notes(&program.output, &mut notes);
        if let Some(timeout) = &program.timeout {
            notes.push(format!("timeout {}", duration(timeout)));
        }
        match program.history {
            History::Default => {}
            History::Off => notes.push("history off".to_owned()),
            History::Keep { retention: Some(retention) } => {
                notes.push(format!("history kept for {retention:?}"));
            }
            History::Keep { retention: None } => notes.push("history kept for ever".to_owned()),
        }
        match program.lifecycle {
            None => {}
            Some(Lifecycle::Off) => notes.push("no lifecycle events".to_owned()),
            Some(Lifecycle::Workflow) => notes.push("lifecycle events of instances".to_owned()),
            Some(Lifecycle::Task) => notes.push("lifecycle events of instances and tasks".to_owned()),
        }
        if !program.attributes.is_empty() {
            let names: Vec<_> = program.attributes.iter().map(|(name, it)| format!("{name} {it}")).collect();
            notes.push(format!("found by {}", names.join(", ")));
        }
        if !program.queries.is_empty() {
            let names: Vec<_> = program.queries.keys().map(|it| &**it).collect();
            notes.push(format!("queries {}", names.join(", ")));
        }
        if let Some(schedule) = &program.schedule {
            notes.push(schedule_note(schedule));
        }
        notes.extend(program.sources.iter().map(source_note));
        match program.on_fault {
            None => {}
            Some(OnFault::Fault) => notes.push("ends with an error that nothing catches".to_owned()),
            Some(OnFault::Incident) => {
                notes.push("stands still with an error that nothing catches".to_owned())
            }
        }
        for note in notes {
            writeln!(self.out, "  {note}")?;
        }
        self.block(&program.body, 1)
    }

    fn block(&mut self, block: &Block, depth: usize) -> fmt::Result {
        block.tasks.iter().try_for_each(|it| self.task(*it, depth))
    }

    fn task(&mut self, index: TaskIndex, depth: usize) -> fmt::Result {
        let task = self.program.task(index);
        let indent = "  ".repeat(depth);
        write!(self.out, "{indent}{}: {}", task.name, summary(&task.kind))?;
        for note in notes(task) {
            write!(self.out, " | {note}")?;
        }
        writeln!(self.out, "{}", self.arrow(task.then))?;
        let inner = format!("{indent}  ");
        self.inside(task, depth, &indent, &inner)?;
        if let Some(compensation) = task.compensation
            && let Kind::Do { body } = &self.program.task(compensation).kind
        {
            writeln!(self.out, "{indent}undone by")?;
            self.block(body, depth + 1)?;
        }
        Ok(())
    }

    fn inside(&mut self, task: &Task, depth: usize, indent: &str, inner: &str) -> fmt::Result {
        match &task.kind {
            Kind::Do { body }
            | Kind::For(For { body, .. })
            | Kind::Function(Function { body, .. })
            | Kind::Extended(Extended { body, .. })
            | Kind::Listen(Listen { foreach: Some(Foreach { body, .. }), .. }) => self.block(body, depth + 1),
            Kind::Fork { branches, .. } => branches.iter().try_for_each(|it| self.task(*it, depth + 1)),
            Kind::Switch { cases } => cases.iter().try_for_each(|case| {
                let when = case
                    .when
                    .as_ref()
                    .map_or_else(|| "otherwise".to_owned(), |it| format!("when {}", it.text()));
                let arrow = self.arrow(case.then);
                let arrow = if arrow.is_empty() { " -> continue".to_owned() } else { arrow };
                writeln!(self.out, "{inner}{}: {when}{arrow}", case.name)
            }),
            Kind::Try(Try { body, catch }) => {
                self.block(body, depth + 1)?;
                writeln!(self.out, "{indent}{}", catch_line(catch))?;
                self.block(&catch.body, depth + 1)
            }
            Kind::Set { .. }
            | Kind::Raise { .. }
            | Kind::Wait { .. }
            | Kind::Emit(_)
            | Kind::Listen(_)
            | Kind::Call(_)
            | Kind::Child(_) => Ok(()),
        }
    }

    /// Where the flow goes, unless it just goes on.
    fn arrow(&self, flow: Flow) -> String {
        match flow {
            Flow::Continue => String::new(),
            Flow::Exit => " -> exit".to_owned(),
            Flow::End => " -> end".to_owned(),
            Flow::Goto(target) => format!(" -> {}", self.program.task(target).name),
        }
    }
}

fn schedule_note(schedule: &Schedule) -> String {
    let Schedule { rhythm, overlap, catch_up, start_at, end_at, input } = schedule;
    let mut note = format!("starts {rhythm}");
    if !matches!(rhythm, Rhythm::After(_)) {
        // Writing to a `String` cannot fail.
        let _ = write!(note, "; overlap {overlap}; up to {} late", shown(*catch_up));
    }
    for (what, at) in [("from", start_at), ("to", end_at)] {
        if let Some(at) = at.and_then(|it| jiff::Timestamp::from_millisecond(it.0).ok()) {
            let _ = write!(note, "; {what} {at}");
        }
    }
    if !input.is_empty() {
        let _ = write!(note, "; with {}", serde_json::Value::Object(input.clone()));
    }
    note
}

fn summary(kind: &Kind) -> String {
    match kind {
        Kind::Do { .. } => "do".to_owned(),
        Kind::Set { value } => format!("set {value}"),
        Kind::Switch { .. } => "switch".to_owned(),
        Kind::For(For { each, at, items, condition, .. }) => {
            let condition = condition.as_ref().map_or_else(String::new, |it| format!(" while {}", it.text()));
            format!("for ${each}, ${at} in {}{condition}", items.text())
        }
        Kind::Fork { compete, .. } => if *compete { "fork, the first wins" } else { "fork" }.to_owned(),
        Kind::Try(_) => "try".to_owned(),
        Kind::Raise { error } => format!("raise {}", error.template),
        Kind::Wait { duration: it } => format!("wait {}", duration(it)),
        Kind::Emit(Emit { event, topic }) => {
            let topic = topic.as_ref().map_or_else(String::new, |it| format!(" to topic {it}"));
            format!("emit {event}{topic}")
        }
        Kind::Listen(it) => listening(it),
        Kind::Function(Function { arguments, .. }) => {
            let arguments = arguments.as_ref().map_or_else(String::new, |it| format!(" with {it}"));
            format!("call of the function below{arguments}")
        }
        Kind::Extended(Extended { when, .. }) => {
            let when = when.as_ref().map_or_else(String::new, |it| format!(" when {}", it.text()));
            format!("extension{when}")
        }
        Kind::Child(Child { workflow, version, input, is_awaited }) => {
            let version = version.as_ref().map_or("newest", |it| &**it);
            let awaited = if *is_awaited { "" } else { ", not awaited" };
            format!("run workflow {workflow}/{version} with {input}{awaited}")
        }
        Kind::Call(Call { function, queue, arguments, heartbeat, secrets: _, scheme: _ }) => {
            let arguments = arguments.as_ref().map_or_else(String::new, |it| format!(" with {it}"));
            let heartbeat = heartbeat.map_or_else(String::new, |it| format!(", heartbeat {it:?}"));
            format!("call {function}{arguments}, queue {queue}{heartbeat}")
        }
    }
}

fn listening(listen: &Listen) -> String {
    let Listen { filters, strategy, read, foreach, is_addressed } = listen;
    let filters: Vec<String> = filters.iter().map(filter).collect();
    let events = match strategy {
        Strategy::First => filters.join(" or for "),
        Strategy::All => filters.join(" and for "),
        Strategy::UntilTrue(condition) => format!("{}, until {}", filters.join(" or for "), condition.text()),
        Strategy::UntilHeard { first, all } => {
            let (wanted, ends) = filters.split_at(*first);
            let word = if *all { " and for " } else { " or for " };
            format!("{}, until there is one for {}", wanted.join(" or for "), ends.join(word))
        }
    };
    let read = match read {
        Read::Data => "data",
        Read::Envelope => "envelope",
        Read::Raw => "raw",
    };
    let foreach =
        foreach.as_ref().map_or_else(String::new, |it| format!(", for each ${}, ${}", it.item, it.at));
    let addressed = if *is_addressed { ", addressed ones only" } else { "" };
    format!("listen for {events}, read {read}{foreach}{addressed}")
}

pub(crate) fn filter(filter: &EventFilter) -> String {
    let attributes = filter.attributes.iter().map(|(name, matcher)| match matcher {
        Matcher::Equals(value) => format!("{name} = {value}"),
        Matcher::Expression(it) => format!("{name} matches {}", it.text()),
    });
    let correlations = filter.correlations.iter().map(|it| match &it.expect {
        Some(expect) => format!("{} = {expect}", it.from.text()),
        None => format!("the same {}", it.from.text()),
    });
    let all: Vec<String> = attributes.chain(correlations).collect();
    if all.is_empty() { "any event".to_owned() } else { all.join(" and ") }
}

/// What a task has besides its kind.
fn notes(task: &Task) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(condition) = &task.condition {
        notes.push(format!("if {}", condition.text()));
    }
    input_notes(&task.input, &mut notes);
    output_notes(&task.output, &mut notes);
    if let Some(export) = &task.export {
        notes.push(format!("export {}", export.as_));
        if export.schema.is_some() {
            notes.push("export schema".to_owned());
        }
    }
    if let Some(timeout) = &task.timeout {
        notes.push(format!("timeout {}", duration(timeout)));
    }
    notes
}

fn input_notes(model: &crate::program::InputModel, notes: &mut Vec<String>) {
    if model.schema.is_some() {
        notes.push("input schema".to_owned());
    }
    if let Some(from) = &model.from {
        notes.push(format!("input {from}"));
    }
}

fn output_notes(model: &crate::program::OutputModel, notes: &mut Vec<String>) {
    if let Some(as_) = &model.as_ {
        notes.push(format!("output {as_}"));
    }
    if model.schema.is_some() {
        notes.push("output schema".to_owned());
    }
}

fn catch_line(catch: &Catch) -> String {
    let Catch { with, as_, when, except_when, retry, body: _ } = catch;
    let mut line = format!("catch ${as_}");
    let status = with.status.map(|it| it.to_string());
    for (name, wanted) in [
        ("type", &with.error_type),
        ("status", &status),
        ("instance", &with.instance),
        ("title", &with.title),
        ("detail", &with.detail),
    ] {
        if let Some(wanted) = wanted {
            line += &format!(" | {name} = {wanted}");
        }
    }
    for (word, condition) in [("when", when), ("except when", except_when)] {
        if let Some(condition) = condition {
            line += &format!(" | {word} {}", condition.text());
        }
    }
    if let Some(retry) = retry {
        line += &format!(" | {}", retry_text(retry));
    }
    line
}

fn retry_text(retry: &Retry) -> String {
    let Retry { when, except_when, delay, backoff, count_max, attempt_duration_max, duration_max, jitter } =
        retry;
    let times = count_max.map_or_else(|| "retry without limit".to_owned(), |it| format!("retry {it} times"));
    let mut text = times;
    if let Some(delay) = delay {
        let backoff = match backoff {
            Backoff::Constant => "each",
            Backoff::Linear => "linear from",
            Backoff::Exponential => "exponential from",
        };
        text += &format!(", {backoff} {}", duration(delay));
    }
    if let Some((from, to)) = jitter {
        text += &format!(", jitter {} to {}", duration(from), duration(to));
    }
    if let Some(limit) = attempt_duration_max {
        text += &format!(", attempt at most {}", duration(limit));
    }
    if let Some(limit) = duration_max {
        text += &format!(", in all at most {}", duration(limit));
    }
    for (word, condition) in [("when", when), ("except when", except_when)] {
        if let Some(condition) = condition {
            text += &format!(", {word} {}", condition.text());
        }
    }
    text
}

fn source_note(source: &EventSource) -> String {
    let what = match &source.decoding {
        Decoding::CloudEvents => "CloudEvents".to_owned(),
        Decoding::Json { event_type } => format!("JSON, as {event_type}"),
        Decoding::Avro { event_type } => format!("Avro, as {event_type}"),
    };
    let begins = match source.begins {
        Beginning::Earliest => "its oldest record",
        Beginning::Latest => "the deployment",
    };
    format!("events from {}: {what}, since {begins}", source.topic)
}

pub(crate) fn duration(source: &DurationSource) -> String {
    match source {
        DurationSource::Fixed(duration) if duration.is_zero() => "0s".to_owned(),
        DurationSource::Fixed(duration) => format!("{duration:?}"),
        DurationSource::Computed(template) => template.to_string(),
    }
}
