//! Figures of both sides, and whether they agree.

use crate::Side;

/// Further apart is marked.
const TOLERANCE: f64 = 0.1;

/// What one run of a workload says.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

/// The figures of a server.
#[derive(Debug)]
pub(crate) struct Agreement {
    server: &'static str,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    theirs: Vec<f64>,
    ours: Vec<f64>,
}

impl Row {
    /// The medians: theirs, and ours.
    fn medians(&self) -> (f64, f64) {
        (median(&self.theirs), median(&self.ours))
    }

    fn agrees(&self) -> bool {
        let (theirs, ours) = self.medians();
        (ours / theirs - 1.0).abs() <= TOLERANCE
    }
}

impl Agreement {
    pub(crate) fn new(server: &'static str) -> Self {
        Self { server, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, workload: &str, side: Side, figures: Vec<Figure>) {
        for Figure { name, value } in figures {
            let name = format!("{workload}: {name}");
            let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
                self.rows.push(Row { name, theirs: Vec::new(), ours: Vec::new() });
                self.rows.len() - 1
            });
            match side {
                Side::Theirs => self.rows[at].theirs.push(value),
                Side::Ours => self.rows[at].ours.push(value),
            }
        }
    }

    pub(crate) fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        println!("\n{:<72} {:>10} {:>10} {:>7}", self.server, ".NET", "hubwire", "ratio");
        for row in &self.rows {
            let (theirs, ours) = row.medians();
            let mark = if row.agrees() { "" } else { "  OFF" };
            println!("{:<72} {theirs:>10.2} {ours:>10.2} {:>7.3}{mark}", row.name, ours / theirs);
        }
    }
}

pub(crate) fn summary(all: &[Agreement]) {
    let rows = || all.iter().flat_map(|agreement| &agreement.rows);
    let apart = rows().filter(|row| !row.agrees()).count();
    println!("\n{apart} of {} figures are off by more than {:.0} %", rows().count(), TOLERANCE * 100.0);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("the machine's load now, and of the last minutes: {}", load.trim());
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
