//! What is allowed and most likely not meant. Warnings only, and only about definitions that have no errors: what a mistake leads to is
//! not known before it is corrected.

use std::collections::BTreeSet;

use serde_json::Value;

use super::report::Report;
use crate::expression;
use crate::walk::{self, Found};

/// Tasks that a warning names; it counts the others.
const NAMED_MAX: usize = 3;

/// Warns of what somebody should look at.
pub(super) fn lint(definition: &Value, report: &mut Report<'_>) {
    for found in walk::all(definition) {
        constant_conditions(&found, report);
        swallowed_errors(&found, report);
        for (list, pointer) in walk::lists(&found) {
            fall_through(&walk::entries(list, &pointer), report);
        }
    }
    fall_through(&walk::entries(definition.get("do").unwrap_or(&Value::Null), "/do"), report);
    for (list, pointer) in walk::additions(definition) {
        fall_through(&walk::entries(list, &pointer), report);
    }
    endless_waiting(definition, report);
}

/// What a condition says whatever the data: `true`, `false`, and `null`, which counts as `false`.
fn constant(holder: &Value, key: &str) -> Option<bool> {
    let text = holder.get(key)?.as_str()?;
    match expression::unwrap(text).unwrap_or(text).trim() {
        "true" => Some(true),
        "false" | "null" => Some(false),
        _ => None,
    }
}

fn constant_conditions(found: &Found<'_>, report: &mut Report<'_>) {
    let at = |key: &str| format!("{}/{key}", found.pointer);
    match constant(found.task, "if") {
        Some(false) => {
            let message = format!("the task `{}` never runs: its `if` is always false", found.name);
            report.warning(&at("if"), message, "correct the condition, or remove the task");
        }
        Some(true) => {
            report.warning(&at("if"), "this `if` is always true", "correct the condition, or remove it");
        }
        None => {}
    }
    for key in ["when", "exceptWhen"] {
        let catch = found.task.get("catch").unwrap_or(&Value::Null);
        if let Some(is) = constant(catch, key) {
            let message = if is == (key == "when") {
                format!("this `{key}` is always {is}, and changes nothing")
            } else {
                format!("this `{key}` is always {is}: nothing is ever caught")
            };
            report.warning(&at(&format!("catch/{key}")), message, "correct the condition, or remove it");
        }
    }
    let switch = found.task.get("switch").unwrap_or(&Value::Null);
    let cases = walk::entries(switch, &at("switch"));
    for (index, case) in cases.iter().enumerate() {
        let pointer = format!("{}/when", case.pointer);
        match constant(case.task, "when") {
            Some(false) => {
                let message = format!("the case `{}` is never taken: its `when` is always false", case.name);
                report.warning(&pointer, message, "correct the condition, or remove the case");
            }
            Some(true) if index + 1 < cases.len() => {
                let message = format!("the case `{}` is always taken, and none after it ever", case.name);
                report.warning(
                    &pointer,
                    message,
                    "correct the condition, or make it the last case, without `when`",
                );
            }
            Some(true) | None => {}
        }
    }
}

/// Without `catch.do`, the workflow goes on as if nothing had happened.
fn swallowed_errors(found: &Found<'_>, report: &mut Report<'_>) {
    let Some(catch) = found.task.get("catch").filter(|_| found.task.get("try").is_some()) else { return };
    if catch.get("do").and_then(Value::as_array).is_some_and(|it| !it.is_empty()) {
        return;
    }
    let when = if catch.get("retry").is_some() { "when nothing is retried any more, " } else { "" };
    let message = format!("{when}the error is swallowed, and the output is the input of the `try`");
    let fix = "say in `catch.do` what follows: `set` an output that tells, or `raise` the error";
    report.warning(&format!("{}/catch", found.pointer), message, fix);
}

/// A `switch` without a match goes on to the next task. Where the next task is one of those that its cases choose between, somebody
/// has thought of cases that match, and not of data that has none.
fn fall_through(list: &[Found<'_>], report: &mut Report<'_>) {
    for (index, found) in list.iter().enumerate() {
        let Some(next) = list.get(index + 1) else { continue };
        let cases = walk::entries(found.task.get("switch").unwrap_or(&Value::Null), "");
        let always =
            |case: &Found<'_>| case.task.get("when").is_none() || constant(case.task, "when") == Some(true);
        if cases.is_empty() || found.task.get("then").is_some() || cases.iter().any(always) {
            continue;
        }
        // A jump back makes a loop, and going on is its end.
        let leads_on = |case: &Found<'_>| {
            let then = case.task.get("then").and_then(Value::as_str);
            list[index + 1..].iter().any(|it| Some(it.name) == then)
        };
        if cases.iter().any(leads_on) {
            let message =
                format!("if no case matches, this `switch` goes on to the next task, `{}`", next.name);
            let fix = "add a case without `when` at the end, or say by a `then` of the task where to go (`then: continue` if this is meant)";
            report.warning(&format!("{}/switch", found.pointer), message, fix);
        }
    }
}

/// Tasks that wait for somebody, and that nothing ends if nobody answers. One warning for all of them.
fn endless_waiting(definition: &Value, report: &mut Report<'_>) {
    if definition.get("timeout").is_some() {
        return;
    }
    let mut search = Search { definition, calling: Vec::new(), seen: BTreeSet::new(), waiting: Vec::new() };
    for found in walk::entries(definition.get("do").unwrap_or(&Value::Null), "/do") {
        search.visit(&found);
    }
    let waiting = search.waiting;
    let Some((pointer, _)) = waiting.first() else { return };
    let mut names: Vec<String> = waiting.iter().take(NAMED_MAX).map(|it| format!("`{}`", it.1)).collect();
    if waiting.len() > NAMED_MAX {
        names.push(format!("and {} more", waiting.len() - NAMED_MAX));
    }
    let waits = if waiting.len() == 1 { "waits" } else { "wait" };
    let message = format!("{} {waits} for ever if nobody answers: there is no `timeout`", names.join(", "));
    report.warning(pointer, message, "set one on the task, on a task around it, or on the workflow");
}

struct Search<'d> {
    definition: &'d Value,
    /// The functions around.
    calling: Vec<&'d str>,
    /// Functions are called from several places.
    seen: BTreeSet<String>,
    /// Pointers and names.
    waiting: Vec<(String, &'d str)>,
}

impl<'d> Search<'d> {
    fn visit(&mut self, found: &Found<'d>) {
        // What undoes a task runs when no `timeout` of the task, or of what is around it, counts any more.
        for (list, pointer) in walk::lists(found) {
            if pointer.ends_with("/metadata/millrace/compensate") {
                walk::entries(list, &pointer).iter().for_each(|it| self.visit(it));
            }
        }
        if found.task.get("timeout").is_some() || constant(found.task, "if") == Some(false) {
            return;
        }
        if let Some(call) = found.task.get("call").and_then(Value::as_str) {
            return self.call(found, call);
        }
        let run = found.task.get("run").and_then(|it| it.get("await"));
        let is_run = found.task.get("run").is_some() && run != Some(&Value::Bool(false));
        if is_run || found.task.get("listen").is_some() {
            self.waits(found);
        }
        for (list, pointer) in walk::lists(found) {
            // Each attempt ends in time.
            if found.task.get("try").is_some()
                && pointer.ends_with("/try")
                && self.limits_attempts(found.task)
            {
                continue;
            }
            for inner in walk::entries(list, &pointer) {
                self.visit(&inner);
            }
        }
    }

    fn call(&mut self, found: &Found<'d>, call: &str) {
        let Some(function) = walk::function(self.definition, call) else {
            return self.waits(found);
        };
        // Functions that call themselves are refused elsewhere.
        if !self.calling.contains(&function.name) {
            self.calling.push(function.name);
            self.visit(&function);
            self.calling.pop();
        }
    }

    fn waits(&mut self, found: &Found<'d>) {
        if self.seen.insert(found.pointer.clone()) {
            self.waiting.push((found.pointer.clone(), found.name));
        }
    }

    fn limits_attempts(&self, task: &Value) -> bool {
        let retry = task.pointer("/catch/retry").unwrap_or(&Value::Null);
        let policy = match retry.as_str() {
            Some(name) => self.definition.pointer("/use/retries").and_then(|it| it.get(name)),
            None => Some(retry),
        };
        policy.and_then(|it| it.pointer("/limit/attempt/duration")).is_some()
    }
}
