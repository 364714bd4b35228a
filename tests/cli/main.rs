//! The command line program, started as its users start it.

mod context;
mod local;
mod program;
mod usage;
