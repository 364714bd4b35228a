//! The tests, by what they are about.

mod calls;
mod handlers;
mod hydration;
mod provider;
mod resource;
mod served;
mod streams;
mod typed;
