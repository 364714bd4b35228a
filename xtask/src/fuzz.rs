//! `cargo xtask fuzz`: drives the fuzz targets by coverage, with libFuzzer, on a stable toolchain. It needs a C++
//! compiler. The corpus grows in `target/fuzz`; the seeds are never written to.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, command, output, root, run, run_lines, target_dir};

/// What `cargo fuzz` sets as well, less the sanitizers, which need a nightly toolchain: the code is safe Rust.
const FLAGS: &str = "--cfg fuzzing --cap-lints warn -C debug-assertions -C overflow-checks -C codegen-units=1 \
    -C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares";

/// Runs one target, or all of them one after the other, each for so many seconds.
pub(crate) fn fuzz(arguments: &[String]) -> Result<()> {
    let (mut names, mut seconds) = (Vec::new(), 60);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--seconds" {
            seconds = arguments.next().and_then(|n| n.parse().ok()).context("--seconds wants a number")?;
        } else {
            names.push(argument.clone());
        }
    }
    let all = targets()?;
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    let fuzzer = build()?;
    for name in if names.is_empty() { &all } else { &names } {
        println!("\n--- {name}, {seconds} s");
        drive(&fuzzer, name, seconds)?;
    }
    Ok(())
}

/// Each has a folder of seeds.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/seeds"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn build() -> Result<std::path::PathBuf> {
    let version = output(command("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    // With a target given, build scripts and macros are spared the flags.
    run(cargo()
        .args(["build", "--release", "--package", "hubwire-fuzz", "--target", host])
        .env("RUSTFLAGS", FLAGS))?;
    Ok(target_dir().join(host).join("release/hubwire-fuzz"))
}

fn drive(fuzzer: &Path, name: &str, seconds: u32) -> Result<()> {
    let folder = target_dir().join("fuzz").join(name);
    let (corpus, faults) = (folder.join("corpus"), folder.join("faults/"));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&faults)?;
    let mut fuzzer = command(fuzzer);
    fuzzer
        .arg(&corpus)
        .arg(root().join("fuzz/seeds").join(name))
        .arg(format!("-artifact_prefix={}", faults.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .env("HUBWIRE_FUZZ_TARGET", name);
    // Every input that reaches something new is a line.
    let ended = run_lines(&mut fuzzer, |line| !line.contains("NEW  ") && !line.contains("REDUCE"));
    ended.with_context(|| {
        format!(
            "the input is in {}; `cargo run -p hubwire-fuzz -- {name} FILE` runs it again",
            faults.display()
        )
    })
}
