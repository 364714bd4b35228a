//! The example apps in Rust's front-end frameworks, and the board, whose server is in Rust as well.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::{
    command::{cargo, root, run, target_dir},
    tools::WASM,
};

/// A framework that has an example app: in `www-demo`, and on the demo server, under its name in lower case.
pub(crate) struct Framework {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    package: &'static str,
}

/// All of them.
pub(crate) const FRAMEWORKS: [Framework; 2] =
    [framework("Leptos", "leptos", "hubwire-demo-leptos"), framework("Yew", "yew", "hubwire-demo-yew")];

/// The page of the board, which its own server serves.
pub(crate) const BOARD: Framework = framework("Rust, from end to end", "board", "hubwire-board-page");

const fn framework(name: &'static str, path: &'static str, package: &'static str) -> Framework {
    Framework { name, path, package }
}

impl Framework {
    /// Builds the app to where the demo server serves it.
    pub(crate) fn build(&self) -> Result<()> {
        run(cargo().args(["build", "--package", self.package, "--target", WASM]))?;
        let module = target_dir().join(WASM).join("debug").join(self.package).with_extension("wasm");
        let out = self.folder();
        if out.exists() {
            fs::remove_dir_all(&out)?;
        }
        fs::create_dir_all(&out)?;
        Bindgen::new()
            .input_path(module)
            .web(true)
            .and_then(|bindgen| bindgen.typescript(false).out_name("app").generate(&out))
            .context("wasm-bindgen refused the module")?;
        let shared = root().join("www-demo/frameworks");
        for file in ["start.js", "style.css"] {
            fs::copy(shared.join(file), out.join(file)).with_context(|| file.to_owned())?;
        }
        fs::copy(root().join("src/dashboard/look/icon.svg"), out.join("icon.svg")).context("icon.svg")?;
        let page = fs::read_to_string(shared.join("index.html"))?.replace("@name@", self.name);
        Ok(fs::write(out.join("index.html"), page)?)
    }

    /// What is built is kept beside the page on the npm package.
    fn folder(&self) -> PathBuf {
        root().join("www-demo/page/dist").join(self.path)
    }
}
