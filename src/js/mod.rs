//! The exports of the npm package: a thin layer over the client. Payloads stay JavaScript values.
//! The package's own JavaScript (`pkg-template/src`) gives them the shape that users know.

#![allow(unreachable_pub, reason = "what is exported is reached from JavaScript")]

mod callbacks;
mod codec;
mod connection;
mod error;
mod parse;

#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();
