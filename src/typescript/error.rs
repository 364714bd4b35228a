//! What can be wrong with a hub in TypeScript.

use std::io;
use std::path::PathBuf;

/// Why a hub cannot be written in TypeScript, or why a file is not what it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TypeScriptError {
    /// One name would stand for two types. Rename one of them, by `#[ts(rename = "…")]` or `#[serde(rename = "…")]`.
    #[error(
        "there would be two types of the name `{name}` in TypeScript; `#[ts(rename = \"…\")]` renames one"
    )]
    DuplicateType {
        /// The name.
        name: String,
    },
    /// A type has a name that means something in TypeScript, such as `Date`. Rename it, by `#[ts(rename = "…")]`.
    #[error("a type of the name `{name}` would hide that of TypeScript; `#[ts(rename = \"…\")]` renames it")]
    ReservedType {
        /// The name.
        name: String,
    },
    /// A trait describes two methods of one name on the wire. In TypeScript a name has one type.
    #[error(
        "`{interface}` has two methods of the name `{method}`, which can have only one type in TypeScript"
    )]
    DuplicateMethod {
        /// The trait.
        interface: String,
        /// The name on the wire.
        method: String,
    },
    /// The file on disk is not what the contract says, or there is none. Write it again.
    #[error("{} is out of date, from line {line} on: write it again", path.display())]
    OutOfDate {
        /// The file.
        path: PathBuf,
        /// The first line that differs.
        line: usize,
    },
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("{} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}
