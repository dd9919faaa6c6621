//! The tokens that somebody knows of and does not want to be told of again. The scan reports every other one, even
//! those that look like examples: a thief would try them, too.

use std::{collections::HashSet, fs, path::Path};

use crate::domain::id::TokenId;

use super::super::failure::Failure;

/// Reads a list of IDs of tokens, one a line, with comments behind `#`.
pub(super) fn read(path: &Path) -> Result<HashSet<TokenId>, Failure> {
    let named = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("cannot read the list {named}: {error}")))?;
    let mut ids = HashSet::new();
    for (n, line) in text.lines().enumerate() {
        let id = line.split('#').next().unwrap_or_default().trim();
        if id.is_empty() {
            continue;
        }
        // The line may hold a whole token, so that it is not repeated.
        let id = TokenId::parse(id).ok_or_else(|| {
            Failure::usage(format!("{named}, line {}: not the ID of a token", n + 1))
        })?;
        ids.insert(id);
    }
    Ok(ids)
}
