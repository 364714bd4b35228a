//! Chromium and its driver, for everything that has to run in a browser.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::{command::find_program, tools};

/// A browser and its driver.
pub(crate) struct Browser {
    /// The browser's program.
    pub(crate) chromium: PathBuf,
    /// The WebDriver server.
    pub(crate) driver: PathBuf,
}

impl Browser {
    /// Finds Chromium; on Debian as root it is installed when it is missing.
    pub(crate) fn ensure() -> Result<Self> {
        if let Some(browser) = Self::find() {
            return Ok(browser);
        }
        tools::install_packages(&["chromium", "chromium-driver"])?;
        Self::find()
            .context("there is no Chromium; install it with its driver (Debian: chromium, chromium-driver)")
    }

    fn find() -> Option<Self> {
        let named = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|file| file.is_file());
        let chromium = named("CHROMIUM").or_else(|| {
            ["chromium", "chromium-browser", "google-chrome"].iter().find_map(|name| find_program(name))
        })?;
        let driver = named("CHROMEDRIVER").or_else(|| find_program("chromedriver"))?;
        Some(Self { chromium, driver })
    }
}
