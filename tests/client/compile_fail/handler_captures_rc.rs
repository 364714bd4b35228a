//! A handler that captures what cannot go to another thread.
//!
//! says: `Rc<Cell<u32>>` cannot be sent between threads safely

use std::cell::Cell;
use std::rc::Rc;

fn wrong(hub: hubwire::HubConnection) {
    let count = Rc::new(Cell::new(0));
    hub.on("Count", move |n: u32| count.set(n));
}
