//! Sockets, fetch, timers and tasks, under the same names on both targets. This is the one file that looks at the
//! target.

cfg_if::cfg_if! {
    if #[cfg(all(target_family = "wasm", target_os = "unknown"))] {
        /// Items that exist natively only.
        macro_rules! native_only { ($($item:item)*) => {} }
    } else {
        /// Items that exist natively only.
        macro_rules! native_only { ($($item:item)*) => { $($item)* } }

        mod native;
        #[allow(unused_imports, reason = "which of them are used depends on the features")]
        pub(crate) use native::*;
    }
}
