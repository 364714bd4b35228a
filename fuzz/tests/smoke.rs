//! Every target on its seeds, and on a few thousand inputs made of them: the same ones in every run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use hubwire_fuzz::{Mutator, Target};

const RUNS: u32 = 20_000;

/// Of a target whose inputs take much longer than those of the others.
const FEW_RUNS: u32 = 1_000;

fn smoke(name: &str) {
    let runs = if name == "hub" { FEW_RUNS } else { RUNS };
    let target = Target::find(name).expect("a target");
    let seeds = target.seeds().expect("seeds");
    assert!(!seeds.is_empty(), "{name} has no seeds");
    for seed in &seeds {
        run(target, seed);
    }
    let mut mutator = Mutator::new(1);
    for _ in 0..runs {
        run(target, &mutator.input(&seeds));
    }
}

fn run(target: &Target, input: &[u8]) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-fault", target.name));
        std::fs::write(&file, input).expect("a file for the input");
        eprintln!("{} on {:?}, kept in {}", target.name, String::from_utf8_lossy(input), file.display());
        std::panic::resume_unwind(panic);
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                smoke(stringify!($name));
            }
        )*

        #[test]
        fn no_target_is_left_out() {
            let names: Vec<_> = hubwire_fuzz::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$(stringify!($name)),*]);
        }
    };
}

targets! { client framing hub json msgpack negotiate pair server_connection service_protocol sse stateful token }
