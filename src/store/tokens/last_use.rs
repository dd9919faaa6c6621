//! Writing down when and from where tokens were last used.

use crate::{
    domain::{id::TokenId, token::LastUse},
    store::{error::Error, tx::Tx},
};

/// Writes the uses down, where they are later than what stands there; a token that is no more is passed over.
///
/// Nothing that decides on a token changes, so the credentials that are kept in memory stay: they are no place
/// to read a last use from.
pub fn note_uses(tx: &Tx<'_>, uses: &[(TokenId, LastUse)]) -> Result<(), Error> {
    uses.iter()
        .try_for_each(|(id, last_use)| tx.set_last_use(*id, last_use))
}
