//! The tests, by what they are about.

mod calls;
mod handlers;
mod provider;
mod resource;
mod streams;
