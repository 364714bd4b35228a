//! A handler that captures what cannot go to another thread.

use std::cell::Cell;
use std::rc::Rc;

fn wrong(hub: hubwire::HubConnection) {
    let count = Rc::new(Cell::new(0));
    hub.on("Count", move |n: u32| count.set(n));
}

fn main() {}
