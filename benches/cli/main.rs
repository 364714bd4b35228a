//! Whether the figures of `hubwire bench` can be believed: `cargo xtask bench --cli`.
//!
//! The same workloads by `hubwire bench` and by the official .NET client, on the same server; medians of the rounds. What is
//! off by more than a tenth is marked. Only figures are compared that the server decides, not the client: rates and latencies
//! where the hub or the clock is the limit, both sides at the same time; and by turns how many messages and connections there
//! were, where a hub counts them, and the bytes of each call, which have to be the same.
//!
//! Arguments are parts of the names of servers and workloads; `--rounds=5` repeats them so often.

mod agreement;
mod ours;
#[allow(dead_code, reason = "other benchmarks use all of it")]
#[path = "../server/process.rs"]
mod process;
mod proxy;
mod servers;
#[allow(dead_code, reason = "other benchmarks use all of it")]
#[path = "../table/mod.rs"]
mod table;
mod theirs;
mod workloads;

use std::path::PathBuf;

use crate::{agreement::Agreement, servers::Place};

/// An error is printed, and ends the program.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How often each workload is run on each side.
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    // `cargo test` runs benches as well; there they need only compile.
    if !table::is_wanted() {
        return Ok(());
    }
    measure()
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Theirs,
    Ours,
}

fn measure() -> Result<()> {
    let reference = std::env::var_os("HUBWIRE_REFERENCE_DIR").filter(|dir| !dir.is_empty());
    let reference = PathBuf::from(reference.ok_or("HUBWIRE_REFERENCE_DIR has to name the .NET client")?);
    let rounds = std::env::args().find_map(|argument| argument.strip_prefix("--rounds=")?.parse().ok());
    let rounds = rounds.unwrap_or(ROUNDS);
    let workloads = workloads::all();
    let mut all = Vec::new();
    for start in [servers::reference_hub, servers::hosted_hub, servers::local_service] {
        let place = start(&reference)?;
        let wanted: Vec<_> = workloads
            .iter()
            .filter(|workload| workload.suits(&place) && is_wanted(&place, workload.name()))
            .collect();
        let mut agreement = Agreement::new(place.name);
        for workload in wanted {
            for round in 0..rounds {
                eprintln!("{}: {}, {} of {rounds}", place.name, workload.name(), round + 1);
                if workload.is_timed() {
                    let (theirs, ours) = workload.run_both(&place)?;
                    agreement.add(workload.name(), Side::Theirs, theirs);
                    agreement.add(workload.name(), Side::Ours, ours);
                    continue;
                }
                let mut sides = [Side::Theirs, Side::Ours];
                // What warms up or cools down in the course of a round falls on either by turns.
                if round % 2 == 1 {
                    sides.reverse();
                }
                for side in sides {
                    agreement.add(workload.name(), side, workload.run(&place, side, round)?);
                }
            }
        }
        agreement.print();
        all.push(agreement);
    }
    agreement::summary(&all);
    Ok(())
}

fn is_wanted(place: &Place, workload: &str) -> bool {
    table::has_row(&format!("{}: {workload}", place.name))
}
