//! A Microsoft Entra authority for one machine: [`authority`] issues and verifies tokens, for [`application`]s by a
//! secret or an [`assertion`], and for the managed identities ([`identity`]).

pub(crate) mod application;
mod assertion;
pub(crate) mod authority;
pub(crate) mod identity;
mod signer;
