//! The object that every client of the benchmark sends and receives; the reference server pushes the same.

use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    id: u32,
    customer: String,
    total: f64,
    open: bool,
    lines: Vec<Line>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Line {
    sku: String,
    quantity: u32,
}

impl Order {
    pub(crate) fn sample() -> Self {
        let line = |sku: &str, quantity| Line { sku: sku.to_owned(), quantity };
        let lines = vec![line("A-1", 2), line("B-2", 1)];
        Self { id: 12345, customer: "Contoso Ltd".to_owned(), total: 99.95, open: true, lines }
    }
}
