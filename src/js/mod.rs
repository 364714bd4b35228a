//! The exports of the npm package: the client's machine, and what reads negotiate answers and tokens. The package's own
//! JavaScript (`pkg-template/src`) does the I/O, and gives it all the shape that users know.

#![allow(unreachable_pub, reason = "what is exported is reached from JavaScript")]

mod codec;
mod error;
mod list;
mod machine;
mod parse;

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
