//! Records when and from where tokens were last used.

use crate::{
    domain::{id::TokenId, token::LastUse},
    store::{error::Error, tx::Tx},
};

/// Stores each use that is later than the stored one. Purged tokens are skipped.
///
/// This does not affect decisions, so credentials in memory stay current. They are therefore not the place to read a
/// last use from.
pub fn record_uses(tx: &Tx<'_>, uses: &[(TokenId, LastUse)]) -> Result<(), Error> {
    uses.iter()
        .try_for_each(|(id, last_use)| tx.set_last_use(*id, last_use))
}
