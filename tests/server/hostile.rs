//! Requests that no good client makes, and clients that take more than they should.
