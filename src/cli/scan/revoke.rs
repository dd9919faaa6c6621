//! `hallpass scan --revoke`.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    app::tokens::{Leak, LeakedToken, Standing},
    domain::id::TokenId,
};

use super::super::{confirmation::Confirmation, failure::Failure, local_app::LocalApp, output};

/// Revokes what of `found` is live here, once somebody has said yes, and says what became of each.
pub(super) fn revoke(
    local: &LocalApp,
    found: Vec<LeakedToken>,
    confirmation: Confirmation,
    json: bool,
) -> Result<(), Failure> {
    let asked = found.clone();
    let leaks = local.run(async |app, caller| app.look_up_leaked(caller, asked).await)?;
    let live = leaks.iter().filter(|leak| is_live(leak)).count();
    if live == 0 {
        return tell(&leaks, &[], json);
    }
    let question = format!(
        "Revoke {live} live tokens of {} found, with their families?",
        leaks.len()
    );
    if let Err(failure) = confirmation.ask(&question) {
        // That tokens were found is what the exit code has to say.
        output::hint(&format!(
            "hallpass: {}",
            failure.message().unwrap_or_default()
        ));
        return Ok(());
    }
    let done = local.run(async |app, caller| app.revoke_leaked(caller, found).await)?;
    tell(&done.leaks, &done.revoked, json)
}

const fn is_live(leak: &Leak) -> bool {
    matches!(leak.standing, Standing::Live { .. })
}

fn tell(leaks: &[Leak], revoked: &[TokenId], json: bool) -> Result<(), Failure> {
    for leak in leaks {
        match leak.standing {
            Standing::Unknown => line(leak.id, "unknown", "unknown here", json)?,
            Standing::OtherSecret => {
                let text = "not ours: the ID is, the secret is not";
                line(leak.id, "other_secret", text, json)?;
            }
            Standing::Dead => line(leak.id, "dead", "already deleted or expired", json)?,
            Standing::Live { .. } => line(leak.id, "revoked", "revoked", json)?,
        }
    }
    let found: BTreeSet<_> = leaks
        .iter()
        .filter(|leak| is_live(leak))
        .map(|leak| leak.id)
        .collect();
    for id in revoked.iter().filter(|id| !found.contains(id)) {
        line(*id, "revoked_with_family", "revoked with its family", json)?;
    }
    Ok(())
}

fn line(id: TokenId, outcome: &str, text: &str, json: bool) -> Result<(), Failure> {
    let line = if json {
        json!({ "tokenId": id.to_string(), "outcome": outcome }).to_string()
    } else {
        format!("{id}: {text}")
    };
    Ok(output::line(&line)?)
}
