//! An Azure SignalR Service with its own Entra authority, for one machine.
