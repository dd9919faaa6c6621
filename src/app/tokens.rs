//! The use cases of tokens.

mod create;
mod delete;
mod read;

pub use create::{CreateToken, CreatedToken};
pub use read::ListTokens;

use crate::domain::id::TokenId;

use super::{Error, error::FieldError};

/// How many bytes of a token ID are looked at.
const MAX_ID_BYTES: usize = 256;

/// The token ID that a request names. `None`: it cannot be one of ours, which is answered like one that is
/// not there.
fn parse_token_id(text: &str) -> Result<Option<TokenId>, Error> {
    match text.len() {
        0 => Err(FieldError::new("token_id", "is required").into()),
        1..=MAX_ID_BYTES => Ok(TokenId::parse(text)),
        _ => Err(FieldError::new("token_id", "must be at most 256 bytes").into()),
    }
}
