//! Names for conditions, which rustfmt and editors follow as they follow a feature: `native` and `browser` are the two
//! kinds of target.

use cfg_aliases::cfg_aliases;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    cfg_aliases! {
        // Pages and workers, and Node.js: whatever has a JavaScript engine.
        browser: { all(target_family = "wasm", target_os = "unknown") },
        // Where the roots of TLS cannot be added to.
        android: { target_os = "android" },
        // Where opening a named pipe waits for its writer, unless it is told not to.
        posix: { unix },
        native: { not(all(target_family = "wasm", target_os = "unknown")) },
    }
}
