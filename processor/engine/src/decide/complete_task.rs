//! `CompleteTask`

use millrace_schemas::{Payload, TaskToken};

use crate::journal::{Journal, Stop};

pub(super) fn decide(journal: &mut Journal<'_>, token: TaskToken, output: &Payload) -> Result<(), Stop> {
    journal.answered = Some(token.execution);
    journal.finish(token.execution, output.clone(), None)?;
    journal.run()
}
