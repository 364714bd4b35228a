//! What numbers and headers in messages of the service protocol mean, at either end.

/// The header of a client that names the instance of the service which has its socket.
pub const INSTANCE: &str = "Asrs-Instance-Id";
/// The header of a client that names the app server it comes from, which has answered its handshake.
pub const MIGRATE_FROM: &str = "Asrs-Migrate-From";
/// The header of a client that names the app server it goes to.
pub const MIGRATE_TO: &str = "Asrs-Migrate-To";

/// Outcomes of what an app server asks for: the status of an `Ack`.
pub mod outcome {
    /// It is done; the answer to a question is yes.
    pub const OK: i32 = 1;
    /// There is no such connection; the answer to a question is no.
    pub const NOT_FOUND: i32 = 2;
    /// It is not allowed; of a refresh: it is for another user.
    pub const FORBIDDEN: i32 = 5;
}

/// Kinds of the bytes of a client.
pub mod data {
    /// A handshake, or the answer to one.
    pub const HANDSHAKE: i32 = 1;
    /// One hub message that stateful reconnect counts.
    pub const INVOCATION: i32 = 2;
    /// Any other hub message.
    pub const OTHER: i32 = 3;
    /// A hub message that ends the connection.
    pub const CLOSE: i32 = 4;
}
