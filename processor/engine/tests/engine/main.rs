//! What instances do: scripts and the conversations they make, and properties that hold for all of them.

mod bounds;
mod calls;
mod catching;
mod channels;
mod children;
mod compensating;
mod conversation;
mod data;
mod extensions;
mod flow;
mod fork;
mod halting;
mod lifecycle;
mod listening;
mod looking;
mod properties;
mod restarting;
mod schedules;
mod secrets;
mod signals;
mod standstill;
mod table;
mod timeouts;
