//! What instances do: scripts and the conversations they make, and properties that hold for all of them.

mod bounds;
mod calls;
mod catching;
mod conversation;
mod data;
mod flow;
mod fork;
mod properties;
mod signals;
mod standstill;
mod table;
mod timeouts;
