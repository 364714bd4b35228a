//! What the workflows and the container file name exists: they run on other machines, long after a name has changed.

use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{
    command::{cargo, output, root},
    format::tracked,
};

const CONTAINER: &str = ".github/Containerfile";

/// The names that there are.
struct Names {
    features: Vec<String>,
    programs: Vec<String>,
    profiles: Vec<String>,
    commands: Vec<String>,
    files: Vec<String>,
    /// The sources of the command line program.
    sources: String,
}

/// Profiles, features, programs, commands of this tool and files in the workflows; the program, its variables and its port in
/// the container file.
pub(crate) fn names_exist() -> Result<()> {
    let names = Names::read()?;
    let mut unknown = Vec::new();
    for file in tracked(&[".github/workflows/*.yml"])? {
        let text = fs::read_to_string(root().join(&file))?;
        unknown.extend(names.unknown_in_workflow(&text).into_iter().map(|name| format!("{file}: {name}")));
    }
    let text = fs::read_to_string(root().join(CONTAINER)).context("there is no container file")?;
    unknown.extend(names.unknown_in_container(&text).into_iter().map(|name| format!("{CONTAINER}: {name}")));
    if !unknown.is_empty() {
        bail!("these names mean nothing (any more):\n{}", unknown.join("\n"));
    }
    Ok(())
}

impl Names {
    fn read() -> Result<Self> {
        let metadata = output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
        let metadata: Value = serde_json::from_str(&metadata)?;
        let packages = metadata["packages"].as_array().context("there are packages")?;
        let package =
            packages.iter().find(|package| package["name"] == "hubwire").context("one is hubwire")?;
        let programs = package["targets"].as_array().into_iter().flatten();
        let programs = programs.filter(|target| target["kind"][0] == "bin");
        let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
        let profiles = manifest.lines().filter_map(|line| line.strip_prefix("[profile.")?.strip_suffix(']'));
        let commands = crate::USAGE.lines().filter_map(|line| line.strip_prefix("  "));
        let mut sources = String::new();
        for file in tracked(&["src/cli/*.rs", "src/local/*.rs"])? {
            sources += &fs::read_to_string(root().join(file))?;
        }
        Ok(Self {
            features: package["features"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect(),
            programs: programs.filter_map(|target| Some(target["name"].as_str()?.to_owned())).collect(),
            profiles: profiles.map(str::to_owned).collect(),
            commands: commands.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect(),
            files: tracked(&["."])?,
            sources,
        })
    }

    fn unknown_in_workflow(&self, text: &str) -> Vec<String> {
        let words = words(text);
        let mut unknown = Vec::new();
        for pair in words.windows(2) {
            let [flag, name] = pair else { continue };
            let known = match flag.as_str() {
                "--profile" => &self.profiles,
                "--features" => &self.features,
                "--bin" => &self.programs,
                "xtask" => &self.commands,
                _ => continue,
            };
            let missing = name.split(',').filter(|name| !known.iter().any(|known| known == name));
            unknown.extend(missing.map(|name| format!("{flag} {name}")));
        }
        for word in words {
            // What a build leaves: target/TRIPLE/PROFILE/PROGRAM.
            if let Some((folder, program)) =
                word.rsplit('=').next().and_then(|path| path.rsplit_once("/dist/"))
            {
                let is_built = self.profiles.iter().any(|profile| profile == "dist");
                if !(folder.starts_with("target/")
                    && is_built
                    && self.programs.iter().any(|name| name == program))
                {
                    unknown.push(word.clone());
                }
            }
            if is_file_name(&word) && !self.files.contains(&word) {
                unknown.push(word);
            }
        }
        unknown
    }

    fn unknown_in_container(&self, text: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            for word in words(line) {
                let is_known = match word.split('=').next() {
                    Some(name) if name.starts_with("HUBWIRE_") => {
                        self.sources.contains(&format!("\"{name}\""))
                    }
                    _ => match word.rsplit_once('/') {
                        Some(("/usr/bin" | "${TARGETARCH}", program)) => {
                            self.programs.iter().any(|name| name == program)
                        }
                        _ => true,
                    },
                };
                if !is_known {
                    unknown.push(word);
                }
            }
            if let Some(port) = line.strip_prefix("EXPOSE ")
                && !self.sources.contains(&format!("EMULATOR_PORT: u16 = {port};"))
            {
                unknown.push(line.to_owned());
            }
        }
        unknown
    }
}

/// Words of a shell or of YAML, without the quotes around or in them.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| c.is_whitespace() || "()[]".contains(c))
        .map(|word| word.replace(['"', '\'', '`'], ""))
        .map(|word| word.trim_matches(|c: char| ";,:".contains(c)).to_owned())
        .filter(|word| !word.is_empty())
        .collect()
}

/// Whether a word is a file of the repository, by how such files are named.
fn is_file_name(word: &str) -> bool {
    let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    let ends = [".md", ".toml", ".lock", ".rs", ".mjs"].iter().any(|end| word.ends_with(end));
    is_plain && (ends || word.starts_with("LICENSE-") || word.starts_with(".github/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Names {
            features: list(&["cli", "local"]),
            programs: list(&["hubwire"]),
            profiles: list(&["dist"]),
            commands: list(&["test"]),
            files: list(&["README.md", "LICENSE-MIT", ".github/Containerfile"]),
            sources: "env = \"HUBWIRE_LOCAL_ADDRESS\" pub const EMULATOR_PORT: u16 = 8888;".to_owned(),
        }
    }

    #[test]
    fn unknown_names_of_workflows_are_found() {
        let names = names();
        let good = "- run: cargo build --profile dist --features cli,local --bin hubwire --target \"$TARGET\"
            target/\"$TARGET\"/dist/hubwire --version; program=\"target/$TARGET/dist/hubwire\"
            cp README.md LICENSE-MIT \"pack/$name/\"
            docker build --file .github/Containerfile --tag x target/container
            - run: cargo xtask test";
        assert_eq!(names.unknown_in_workflow(good), [""; 0]);
        for (bad, expected) in [
            ("cargo build --profile fast", "--profile fast"),
            ("cargo build --features cli,gone", "--features gone"),
            ("cargo build --bin other", "--bin other"),
            ("run: cargo xtask gone", "xtask gone"),
            ("cp READTHIS.md x", "READTHIS.md"),
            ("hashFiles('rust-toolchain.toml')", "rust-toolchain.toml"),
            ("--file .github/Dockerfile", ".github/Dockerfile"),
        ] {
            assert_eq!(names.unknown_in_workflow(bad), [expected], "{bad}");
        }
    }

    #[test]
    fn unknown_names_of_the_container_are_found() {
        let names = names();
        let good = "COPY ${TARGETARCH}/hubwire /usr/bin/hubwire
ENV HUBWIRE_LOCAL_ADDRESS=0.0.0.0
EXPOSE 8888
HEALTHCHECK CMD [\"/usr/bin/hubwire\", \"local\", \"health\"]";
        assert_eq!(names.unknown_in_container(good), [""; 0]);
        for bad in ["/usr/bin/other", "${TARGETARCH}/other", "HUBWIRE_LOCAL_ADRESS=0.0.0.0", "EXPOSE 8889"] {
            let line = if bad.starts_with("EXPOSE") { bad.to_owned() } else { format!("ENV {bad}") };
            assert_eq!(names.unknown_in_container(&line), [bad], "{bad}");
        }
    }
}
