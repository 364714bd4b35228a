//! The command line program, started as its users start it.

mod bench;
mod connect;
mod context;
mod hub;
mod local;
mod program;
mod upstream;
mod usage;
