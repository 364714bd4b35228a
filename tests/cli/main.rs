//! The command line program, started as its users start it.

mod local;
mod program;
mod usage;
