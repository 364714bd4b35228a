//! Without libFuzzer: `hubwire-fuzz TARGET FILE…` runs a target on files, such as one that found a fault.

#![cfg_attr(fuzzing, no_main)]

use hubwire_fuzz::Target;

#[cfg(fuzzing)]
static RUN: std::sync::OnceLock<fn(&[u8])> = std::sync::OnceLock::new();

// libFuzzer has a `main` of its own; which target it is to drive stands in the environment.
#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("HUBWIRE_FUZZ_TARGET").unwrap_or_default();
        let target = Target::find(&name).expect("HUBWIRE_FUZZ_TARGET names a target");
        let _ = RUN.set(target.run);
    },
    |data: &[u8]| RUN.get().expect("a target")(data)
);

#[cfg(not(fuzzing))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let target =
        arguments.next().and_then(|name| Target::find(&name)).ok_or("usage: hubwire-fuzz TARGET FILE…")?;
    for file in arguments {
        println!("{file}");
        (target.run)(&std::fs::read(file)?);
    }
    Ok(())
}
