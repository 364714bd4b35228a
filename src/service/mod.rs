//! Azure SignalR Service for Rust services.
