//! From the crate to the wasm module of the npm package and its JavaScript glue.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustc_demangle::demangle;
use walrus::{FunctionBuilder, FunctionKind, Module};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    command::{cargo, command, output, root, run, target_dir},
    tools::WASM,
};

/// What the optimiser may use. All of it is in every browser since 2021; `--all-features` would bring in encodings
/// that no browser reads.
pub(crate) const WASM_FEATURES: [&str; 6] = [
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Compiles the crate with the exports of the npm package.
pub(crate) fn compile() -> Result<PathBuf> {
    // The module's panics name source files: the paths of this machine must not be in them.
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let registry = home.context("there is no home directory")?.join("registry/src");
    let remap = format!("--remap-path-prefix={}=", registry.display());
    let own = std::env::var("RUSTFLAGS").unwrap_or_default();
    let flags: Vec<&str> = own.split_whitespace().chain([remap.as_str()]).collect();
    run(cargo()
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .args(["rustc", "--lib", "--crate-type", "cdylib", "--target", WASM])
        .args(["--profile", "wasm-release", "--no-default-features", "--features", "js"]))?;
    Ok(target_dir().join(WASM).join("wasm-release/hubwire.wasm"))
}

/// What a panic ends in: by what their names begin with, functions that put its message together and print it.
const PANICS: [&str; 10] = [
    "__rustc::rust_begin_unwind",
    "alloc::alloc::handle_alloc_error",
    "alloc::raw_vec::capacity_overflow",
    "alloc::raw_vec::handle_error",
    "core::option::expect_failed",
    "core::option::unwrap_failed",
    "core::panicking::",
    "core::result::unwrap_failed",
    "core::slice::index::slice_index_fail",
    "core::str::slice_error_fail",
];

/// What writes a whole number traps as well: only panics do that, and the package's own code leaves it to JavaScript.
fn writes_a_number(name: &str) -> bool {
    let kind = name.strip_prefix('<').and_then(|name| name.strip_suffix(" as core::fmt::Display>::fmt"));
    kind.is_some_and(|kind| kind.starts_with(['i', 'u']) && kind.len() <= "usize".len())
}

/// The table that they are written with.
const DIGITS: &str = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

/// The module with panics that only trap. Their messages would go to the standard error stream, which a page does not
/// have: with them or without, JavaScript is thrown the same `RuntimeError`.
fn without_messages(module: &Path) -> Result<Module> {
    let mut module = Module::from_file(module)?;
    let functions: Vec<_> = module.funcs.iter_local().map(|(id, _)| id).collect();
    for id in functions {
        let name = module.funcs.get(id).name.as_deref().unwrap_or_default();
        let name = format!("{:#}", demangle(name));
        if !PANICS.iter().any(|panic| name.starts_with(panic)) && !writes_a_number(&name) {
            continue;
        }
        let kind = module.types.get(module.funcs.get(id).ty());
        let (parameters, results) = (kind.params().to_vec(), kind.results().to_vec());
        let mut trap = FunctionBuilder::new(&mut module.types, &parameters, &results);
        trap.func_body().unreachable();
        let arguments = parameters.iter().map(|kind| module.locals.add(*kind)).collect();
        module.funcs.get_mut(id).kind = FunctionKind::Local(trap.local_func(arguments));
    }
    // What they name and say, too.
    let data: Vec<_> = module.data.iter().map(|data| data.id()).collect();
    for id in data {
        let value = &mut module.data.get_mut(id).value;
        clear_file_names(value);
        PANIC_TEXTS.iter().chain(&[DIGITS]).for_each(|text| clear(value, text.as_bytes()));
    }
    Ok(module)
}

/// What the panics of the standard library say.
const PANIC_TEXTS: [&str; 12] = [
    ") should be < len (is ",
    "LayoutError",
    "assertion failed: self.is_char_boundary(new_len)",
    "attempt to join into collection with len > usize::MAX",
    "called `Result::unwrap()` on an `Err` value",
    "capacity overflow",
    "description() is deprecated; use Display",
    "mid > len",
    "overflow in Duration::new",
    "overflow when adding durations",
    "overflow when multiplying duration by scalar",
    "removal index (is ",
];

fn clear(data: &mut [u8], text: &[u8]) {
    if let Some(start) = data.windows(text.len()).position(|part| part == text) {
        data.iter_mut().skip(start).take(text.len()).for_each(|byte| *byte = 0);
    }
}

/// Zeroes take no room in the optimised module.
fn clear_file_names(data: &mut [u8]) {
    const END: &[u8] = b".rs";
    for start in 0..data.len() {
        let rest = data.get_mut(start..).unwrap_or_default();
        if !FILES.iter().any(|begin| rest.starts_with(begin.as_bytes())) {
            continue;
        }
        let is_path = |byte: &u8| byte.is_ascii_alphanumeric() || b"/_-.".contains(byte);
        let path = rest.iter().position(|byte| !is_path(byte)).unwrap_or(rest.len());
        let end = rest.get(..path).and_then(|path| path.windows(END.len()).position(|end| end == END));
        if let Some(end) = end {
            rest.iter_mut().take(end + END.len()).for_each(|byte| *byte = 0);
        }
    }
}

/// How the paths of source files begin, of the standard library, of dependencies and of this crate.
const FILES: [&str; 3] = ["/rustc/", "index.crates.io-", "src/"];

/// Writes `bindings.js` and `bindings_bg.wasm`.
pub(crate) fn bind(module: &Path, out: &Path) -> Result<()> {
    let module = without_messages(module)?;
    Bindgen::new()
        .input_module("bindings", module)
        .web(true)
        .and_then(|bindgen| {
            bindgen.omit_default_module_path(true).typescript(false).out_name("bindings").generate(out)
        })
        .context("wasm-bindgen refused the module")
}

/// Makes the module small, and its glue with it. Debug information, names and the list of producers go; what the two
/// know each other by becomes one letter or two.
pub(crate) fn optimise(bound: &Path, module: &Path, glue: &Path) -> Result<()> {
    let names = output(
        command("node")
            .arg(root().join("node_modules/binaryen/bin/wasm-opt"))
            // The second round finds more; functions that are called once are smaller when they are not inlined.
            .args([
                "-Oz",
                "--flatten",
                "--rereloop",
                "-Oz",
                "-Oz",
                "--one-caller-inline-max-function-size",
                "50",
                // What has names alike is alike, and takes less room side by side once it is compressed.
                "--reorder-functions-by-name",
            ])
            .args(WASM_FEATURES)
            .args(["--strip-debug", "--strip-producers", "--strip-target-features"])
            .arg("--minify-imports-and-exports-and-modules")
            .arg("-o")
            .arg(module)
            .arg(bound.join("bindings_bg.wasm")),
    )?;
    let long = fs::read_to_string(bound.join("bindings.js"))?;
    let needed = trim(&long).context("wasm-bindgen's glue is not what it was")?;
    Ok(fs::write(glue, shorten(&needed, &names).context("the glue lacks a name that the module has")?)?)
}

/// The glue without what it has for every module, page and caller, and this package does not need. `None` where
/// wasm-bindgen has changed it.
fn trim(glue: &str) -> Option<String> {
    let mut glue = glue.to_owned();
    let mut replace = |from: &str, to: &str, instead: &str| {
        let start = glue.find(from)?;
        let end = start + glue.get(start..)?.find(to)? + to.len();
        glue.replace_range(start..end, instead);
        Some(())
    };
    // `engine.js` loads and compiles the module.
    replace("let wasmModule, wasmInstance, wasm;", "export { initSync, __wbg_init as default };", INIT)?;
    // The driver frees its machine.
    replace("const MachineFinalization", "wasm.__wbg_machine_free(ptr, 1));\n", "")?;
    replace("        MachineFinalization.unregister(", ";\n", "")?;
    replace("        MachineFinalization.register(", ";\n", "")?;
    replace("if (Symbol.dispose)", ";\n", "")?;
    // Texts are short, and nearly all of them ASCII.
    replace("    if (realloc === undefined) {", "    }\n", "")?;
    replace("        if (offset !== 0) {", "realloc(ptr, len, offset, 1) >>> 0;\n", ENCODE)?;
    replace("if (!('encodeInto' in cachedTextEncoder)) {", "\n}\n", "")?;
    replace("const MAX_SAFARI_DECODE_BYTES", ";\nlet numBytesDecoded = 0;\n", "")?;
    replace("    numBytesDecoded += bytes.length;", "    }\n", "")?;
    // Arguments are of the right type: nothing fails while they are passed.
    while replace("        try {", "\n", "").is_some() {
        replace("        } catch (e) {", "throw e;\n        }\n", "")?;
    }
    Some(without_conversions(&glue))
}

/// WebAssembly makes numbers of its arguments itself.
fn without_conversions(glue: &str) -> String {
    let (mut values, mut lines) = (Vec::new(), Vec::new());
    for line in glue.lines() {
        let value =
            line.trim().strip_prefix("const ").and_then(|line| line.strip_suffix(';')?.split_once(" = +"));
        if let Some((value, argument)) = value {
            values.push((format!(" {value}"), format!(" {argument}")));
            continue;
        }
        let mut line = line.to_owned();
        if line.contains("wasm.machine_") {
            for (value, argument) in values.drain(..) {
                for end in [",", ")"] {
                    line = line.replace(&format!("{value}{end}"), &format!("{argument}{end}"));
                }
            }
        }
        lines.push(line);
    }
    lines.join("\n")
}

const INIT: &str = "let wasm;
export function initSync({ module }) {
    if (wasm) return;
    wasm = new WebAssembly.Instance(module, __wbg_get_imports()).exports;
    wasm.__wbindgen_start();
}";

const ENCODE: &str = "        const bytes = cachedTextEncoder.encode(arg);
        offset = bytes.length;
        ptr = realloc(ptr, len, offset, 1) >>> 0;
        getUint8ArrayMemory0().set(bytes, ptr);
";

/// The glue by the names that wasm-opt gave the module: `{"imports": [[module, name, new]], "exports": [[name, new]]}`,
/// where every import's new module is `a`.
fn shorten(glue: &str, names: &str) -> Option<String> {
    let names: serde_json::Value = serde_json::from_str(names).ok()?;
    let mut glue = glue.to_owned();
    let mut replace = |from: &str, to: &str| {
        let found = glue.contains(from);
        glue = glue.replace(from, to);
        found
    };
    for import in names["imports"].as_array()? {
        let (name, new) = (import[1].as_str()?, import[2].as_str()?);
        if !replace(&format!(" {name}: "), &format!(" {new}: ")) {
            return None;
        }
    }
    replace("\"./bindings_bg.js\": ", "a: ").then_some(())?;
    // The package's own way to them, for where the page does not have them.
    replace("new TextDecoder('utf-8', ", "textDecoder(").then_some(())?;
    replace("new TextEncoder()", "textEncoder()").then_some(())?;
    let mut exports = Vec::new();
    for export in names["exports"].as_array()? {
        exports.push((export[0].as_str()?, export[1].as_str()?));
    }
    // A name may begin with another.
    exports.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (name, new) in exports {
        // The glue does not use every export. `wasm ` keeps what was replaced from being replaced again.
        replace(&format!("wasm.{name}"), &format!("wasm .{new}"));
    }
    let glue = glue.replace("wasm .", "wasm.");
    Some(format!("import {{ textDecoder, textEncoder }} from \"../text.js\";\n{glue}"))
}

/// The crate with every feature, as a library that holds all its code, not only what is exported.
pub(crate) fn compile_everything() -> Result<Vec<u8>> {
    let mut build = cargo();
    build.args([
        "build",
        "--lib",
        "--target",
        WASM,
        "--all-features",
        "--message-format=json-render-diagnostics",
    ]);
    let messages = output(&mut build)?;
    let library = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "hubwire" && message["reason"] == "compiler-artifact")
        .flat_map(|message| message["filenames"].as_array().cloned().unwrap_or_default())
        .filter_map(|file| file.as_str().map(PathBuf::from))
        .find(|file| file.extension().is_some_and(|extension| extension == "rlib"))
        .context("cargo named no library")?;
    Ok(fs::read(library)?)
}
