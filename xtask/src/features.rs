//! Every feature of the crate compiles alone, and with each other one that shares code with it, on both targets and
//! without warnings; and all of them with the oldest Rust that the crate supports.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use crate::{
    command::{cargo, command, output, run, show},
    tools::WASM,
};

/// Features that meet in the code: a condition, or a type, of one is used by another. Each two of a group are checked
/// together, and each feature alone. Two of different groups (say `actix` and `leptos`) meet in no line but those of the
/// first group, which both imply; checking all pairs finds nothing more, and takes a quarter of an hour, since nearly every
/// pair compiles its dependencies anew.
const GROUPS: [&[&str]; 10] = [
    &["client", "msgpack", "service", "unstable-machines"],
    &["js"],
    &["typescript"],
    &["axum", "actix"],
    &["server", "service", "redis", "metrics"],
    &["local", "dashboard"],
    &["cli"],
    &["yew"],
    &["leptos"],
    &["leptos-ssr"],
];

/// Those for browsers: what is native only adds nothing there, and is checked alone.
const BROWSER_GROUPS: [&[&str]; 1] = [&["client", "msgpack", "js", "unstable-machines"]];

/// Features that are expensive alone and checked elsewhere. Natively Leptos is checked as a server has it, with
/// `leptos-ssr`. For browsers, clippy checks the example apps, which have the crate with one framework each. The builds with
/// every feature have all of them on both targets.
const NATIVE_ELSEWHERE: [&str; 1] = ["leptos"];
const BROWSER_ELSEWHERE: [&str; 3] = ["yew", "leptos", "leptos-ssr"];

/// The features of a build, with those that they imply.
type Set = BTreeSet<String>;

/// Checks the library with no feature, with each, and with each two of a group. Features for the other kind of target
/// compile as well: they add nothing.
pub(crate) fn check_each(target: Option<&str>) -> Result<()> {
    let (elsewhere, groups) = match target {
        Some(_) => (&BROWSER_ELSEWHERE[..], &BROWSER_GROUPS[..]),
        None => (&NATIVE_ELSEWHERE[..], &GROUPS[..]),
    };
    let mut features = implied(&package()?)?;
    features.retain(|name, _| !elsewhere.contains(&name.as_str()));
    let sets = sets(&features, groups);
    println!("{} sets of features", sets.len());
    for set in sets {
        let features: Vec<&str> = set.iter().map(String::as_str).collect();
        let mut check = cargo();
        check.args(["check", "--quiet", "--package", "hubwire", "--lib", "--no-default-features"]);
        check.args(["--features", &features.join(",")]);
        check.args(target.iter().flat_map(|target| ["--target", target]));
        let answer = check.output().with_context(|| format!("cannot start: {}", show(&check)))?;
        // A quiet cargo prints errors and warnings only.
        if !answer.status.success() || !answer.stderr.is_empty() {
            bail!("{}: {}\n{}", answer.status, show(&check), String::from_utf8_lossy(&answer.stderr));
        }
    }
    Ok(())
}

/// The oldest Rust that the crate supports, as `Cargo.toml` says.
pub(crate) fn oldest_rust() -> Result<String> {
    let package = package()?;
    package["rust_version"].as_str().map(str::to_owned).context("Cargo.toml names no rust-version")
}

/// Makes sure of the toolchain of a version of Rust and of the browser's target for it.
pub(crate) fn ensure_toolchain(version: &str) -> Result<()> {
    let installed = |toolchain: &str| {
        let rustc = output(command("rustup").args(["run", toolchain, "rustc", "--print", "sysroot"]));
        rustc.is_ok_and(|root| std::path::Path::new(root.trim()).join("lib/rustlib").join(WASM).is_dir())
    };
    if installed(version) {
        return Ok(());
    }
    let mut install = command("rustup");
    install.args([
        "toolchain",
        "install",
        version,
        "--profile",
        "minimal",
        "--target",
        WASM,
        "--no-self-update",
    ]);
    run(&mut install)
}

/// Checks the library with the given version of Rust: natively with every feature, for browsers with those of the npm
/// package and of the client. The front-end frameworks, which take longest, are in the first.
pub(crate) fn oldest(version: &str) -> Result<()> {
    for arguments in [&["--all-features"][..], &["--target", WASM, "--features", "msgpack,js"]] {
        let mut check = command("rustup");
        // The variables of the cargo that runs this program name its own compiler.
        check.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN");
        check.args(["run", version, "cargo", "check", "--locked", "--package", "hubwire", "--lib"]);
        run(check.args(arguments))?;
    }
    Ok(())
}

/// What cargo knows about the crate.
fn package() -> Result<serde_json::Value> {
    let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    packages
        .iter()
        .find(|package| package["name"] == "hubwire")
        .cloned()
        .context("cargo does not know the crate")
}

/// The features of the crate, each with itself and with all that it implies.
fn implied(package: &serde_json::Value) -> Result<BTreeMap<String, Set>> {
    let features = package["features"].as_object().context("cargo names no features")?;
    let mut implied = BTreeMap::new();
    for name in features.keys().filter(|name| *name != "default") {
        let (mut set, mut open) = (Set::new(), vec![name.as_str()]);
        while let Some(name) = open.pop() {
            // Others are features of dependencies.
            let Some(more) = features.get(name).and_then(|more| more.as_array()) else { continue };
            if set.insert(name.to_owned()) {
                open.extend(more.iter().filter_map(|more| more.as_str()));
            }
        }
        implied.insert(name.clone(), set);
    }
    Ok(implied)
}

/// No feature, each, and each two of a group, told apart by all that they imply.
fn sets(features: &BTreeMap<String, Set>, groups: &[&[&str]]) -> BTreeSet<Set> {
    let mut sets = BTreeSet::from([Set::new()]);
    sets.extend(features.values().cloned());
    for group in groups {
        let group: Vec<&Set> = group.iter().filter_map(|name| features.get(*name)).collect();
        sets.extend(group.iter().flat_map(|one| group.iter().map(move |other| *one | *other)));
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_told_apart_by_all_that_they_imply() {
        let package = serde_json::json!({"features": {
            "default": ["a"], "a": ["dep:x"], "b": ["a", "x/y"], "c": [], "d": ["c"],
        }});
        let features = implied(&package).unwrap();
        let names = |groups: &[&[&str]]| -> Vec<String> {
            sets(&features, groups).into_iter().map(|set| set.into_iter().collect::<String>()).collect()
        };
        assert_eq!(names(&[]), ["", "a", "ab", "c", "cd"]);
        assert_eq!(names(&[&["a", "b", "c"]]), ["", "a", "ab", "abc", "ac", "c", "cd"]);
    }

    #[test]
    fn every_feature_is_in_a_group() {
        let features = implied(&package().unwrap()).unwrap();
        let mut grouped: Vec<&str> = GROUPS.concat();
        grouped.sort_unstable();
        grouped.dedup();
        assert_eq!(grouped, features.keys().map(String::as_str).collect::<Vec<_>>());
    }
}
