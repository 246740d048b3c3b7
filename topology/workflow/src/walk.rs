//! The tasks of a definition as they stand in its text, before anything is known to be right about them.
//!
//! What has the wrong shape is passed over in silence: admission says what is wrong with it.

use serde_json::Value;

use crate::admission::escape;

/// Where a task may have a list of tasks, from the task on.
const LISTS: [&[&str]; 7] = [
    &["do"],
    &["try"],
    &["catch", "do"],
    &["fork", "branches"],
    &["foreach", "do"],
    &["with", "subscription", "foreach", "do"],
    &["metadata", "millrace", "compensate"],
];

/// A task, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Found<'d> {
    /// JSON pointer into the definition.
    pub(crate) pointer: String,
    pub(crate) name: &'d str,
    pub(crate) task: &'d Value,
}

/// The entries of a list of tasks that stands at `pointer`.
pub(crate) fn entries<'d>(list: &'d Value, pointer: &str) -> Vec<Found<'d>> {
    let entry = |(index, entry): (usize, &'d Value)| {
        let (name, task) = entry.as_object().filter(|it| it.len() == 1)?.iter().next()?;
        Some(Found { pointer: format!("{pointer}/{index}/{}", escape(name)), name, task })
    };
    list.as_array().into_iter().flatten().enumerate().filter_map(entry).collect()
}

/// The lists of tasks in a task, with their pointers.
pub(crate) fn lists<'d>(found: &Found<'d>) -> Vec<(&'d Value, String)> {
    let list = |path: &&[&str]| {
        let relative = format!("/{}", path.join("/"));
        // What a call of a function has in its `with` is data, whatever it looks like.
        if path[0] == "with" && found.task.get("call").and_then(Value::as_str) != Some("asyncapi") {
            return None;
        }
        Some((found.task.pointer(&relative)?, format!("{}{relative}", found.pointer)))
    };
    LISTS.iter().filter_map(list).collect()
}

/// The entries of `use.functions`: each is a task.
pub(crate) fn functions(definition: &Value) -> Vec<Found<'_>> {
    let entries = definition.pointer("/use/functions").and_then(Value::as_object);
    entries
        .into_iter()
        .flatten()
        .map(|(name, task)| Found { pointer: format!("/use/functions/{}", escape(name)), name, task })
        .collect()
}

/// The entry `name` of `use.functions`.
pub(crate) fn function<'d>(definition: &'d Value, name: &str) -> Option<Found<'d>> {
    let (name, task) = definition.pointer("/use/functions")?.as_object()?.get_key_value(name)?;
    Some(Found { pointer: format!("/use/functions/{}", escape(name)), name, task })
}

/// The lists of tasks that extensions add, with their pointers.
pub(crate) fn additions(definition: &Value) -> Vec<(&Value, String)> {
    let extensions = definition.pointer("/use/extensions").unwrap_or(&Value::Null);
    entries(extensions, "/use/extensions")
        .into_iter()
        .flat_map(|it| {
            ["before", "after"]
                .into_iter()
                .filter_map(move |key| Some((it.task.get(key)?, format!("{}/{key}", it.pointer))))
        })
        .collect()
}

/// Every task of the definition: those of its `do`, its functions and its extensions, and those in them.
pub(crate) fn all(definition: &Value) -> Vec<Found<'_>> {
    let mut open = functions(definition);
    for (list, pointer) in additions(definition) {
        open.extend(entries(list, &pointer));
    }
    open.extend(entries(definition.get("do").unwrap_or(&Value::Null), "/do"));
    let mut found = Vec::new();
    while let Some(next) = open.pop() {
        for (list, pointer) in lists(&next) {
            open.extend(entries(list, &pointer));
        }
        found.push(next);
    }
    found
}
