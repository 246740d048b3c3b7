//! Which handler runs which function.

use std::collections::BTreeMap;
use std::fmt;

use crate::TaskFailure;
use crate::handler::{AnyHandler, Handler};

/// Handlers by the name of their function.
#[derive(Default)]
pub(crate) struct Router {
    handlers: BTreeMap<String, Box<dyn AnyHandler>>,
}

impl Router {
    /// Adds a function; false when there is one of that name already.
    pub(crate) fn add(&mut self, function: String, handler: impl Handler) -> bool {
        self.handlers.insert(function, Box::new(handler)).is_none()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.handlers.is_empty()
    }

    /// Their names.
    pub(crate) fn functions(&self) -> impl Iterator<Item = &str> {
        self.handlers.keys().map(String::as_str)
    }

    /// # Errors
    /// A permanent failure that names the known functions: the workflow and this worker do not fit together.
    pub(crate) fn find(&self, function: &str) -> Result<&dyn AnyHandler, TaskFailure> {
        self.handlers.get(function).map(AsRef::as_ref).ok_or_else(|| {
            let known: Vec<&str> = self.handlers.keys().map(String::as_str).collect();
            TaskFailure::configuration(format!("the worker has no function {function:?}")).with_detail(format!(
                "it has {}; correct the name in the workflow, send the task to another queue, or deploy a worker that has it",
                known.join(", ")
            ))
        })
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.handlers.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::Value;

    use super::*;
    use crate::Task;

    async fn nothing(_: Task) -> Result<Value, TaskFailure> {
        Ok(Value::Null)
    }

    #[test]
    fn an_unknown_function_is_a_permanent_failure_that_names_the_known_ones() {
        let mut router = Router::default();
        assert!(router.add("refund".to_owned(), nothing));
        assert!(router.add("charge".to_owned(), nothing));
        assert!(!router.add("charge".to_owned(), nothing));
        assert!(router.find("charge").is_ok());
        let Err(failure) = router.find("chrage") else { panic!("there is no such function") };
        assert!(!failure.retriable);
        assert!(failure.error.error_type.ends_with("/configuration"));
        assert!(failure.error.detail.unwrap().starts_with("it has charge, refund;"));
    }
}
