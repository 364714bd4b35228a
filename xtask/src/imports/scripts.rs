//! Which JavaScript modules import which, by `import`, `export … from` and `import()`.

use super::{Arrows, Files};

/// The modules of one folder, which import each other as `./NAME.js`.
pub(super) fn arrows(files: &Files) -> Arrows {
    let mut arrows = Arrows::new();
    for (file, text) in files {
        let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
        for name in imported(text) {
            let target = format!("{folder}/{name}");
            if files.contains_key(&target) {
                arrows.entry((file.clone(), target)).or_default().insert(name.to_owned());
            }
        }
    }
    arrows
}

/// What stands behind `./` in imports.
fn imported(text: &str) -> impl Iterator<Item = &str> {
    let is_comment = |line: &str| ["//", "/*", "*"].iter().any(|mark| line.trim_start().starts_with(mark));
    let code = text.lines().filter(move |line| !is_comment(line));
    code.flat_map(|line| {
        let quoted = line.match_indices("\"./").filter_map(move |(at, mark)| {
            let before = line[..at].trim_end_matches(['(', ' ']);
            let name = line[at + mark.len()..].split('"').next()?;
            (before.ends_with("from") || before.ends_with("import")).then_some(name)
        });
        quoted.collect::<Vec<_>>()
    })
}
