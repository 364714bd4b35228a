//! Azure SignalR Service for Rust services.

mod jwt;
