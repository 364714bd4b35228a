//! `cargo xtask bench`: the programs in `benches/`.

use anyhow::Result;

use crate::{
    command::{cargo, run},
    step::step,
};

/// Runs the benchmarks; the arguments are theirs.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    step("benchmarks", || run(cargo().args(["bench", "--all-features", "--benches", "--"]).args(arguments)))
}
