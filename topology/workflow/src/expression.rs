//! Expressions: jq, by `jaq`, with guards.
