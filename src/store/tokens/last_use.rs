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
    let sql = "UPDATE tokens SET last_use_time = ?2, last_use_ip = ?3 \
               WHERE id = ?1 AND (last_use_time IS NULL OR last_use_time < ?2)";
    for (id, last_use) in uses {
        let ip = last_use.ip.map(|ip| ip.to_canonical().to_string());
        tx.execute_aside(
            sql,
            &[(*id).into(), last_use.time.into(), ip.as_deref().into()],
        )?;
    }
    Ok(())
}
