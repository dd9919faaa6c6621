//! `hallpass scan --revoke`.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    domain::presented_token::PresentedToken,
    proto::hallpass::v1::{
        LeakStatus, LeakedToken, RevokeLeakedTokensRequest, RevokeLeakedTokensResponse,
    },
};

use super::super::{
    client::{Client, Session},
    confirmation::Confirmation,
    failure::Failure,
    output, plural,
};

/// So many tokens go into one call.
const CHUNK: usize = 500;

/// Revokes what of `found` is live, once somebody has said yes, and says what became of each.
pub(super) fn revoke(
    client: &Client,
    found: &[PresentedToken],
    confirmation: Confirmation,
    json: bool,
) -> Result<(), Failure> {
    let found: Vec<_> = found
        .iter()
        .map(|leaked| LeakedToken {
            token_id: leaked.id().to_string(),
            plaintext_sha256: leaked.hash().as_bytes().to_vec(),
        })
        .collect();
    let plan = client.run(async |session| call(session, &found, true).await)?;
    let is_live = |status: LeakStatus| status == LeakStatus::Live;
    let live = plan.statuses().filter(|status| is_live(*status)).count();
    if live == 0 {
        return tell(&found, &plan, json);
    }
    let tokens = plural::count(live, "live token");
    let families = plural::of(live, "its family", "their families");
    let (_, families) = families.split_once(' ').unwrap_or_default();
    let question = format!("Revoke {tokens} of {} found, with {families}?", found.len());
    if let Err(failure) = confirmation.ask(client, &question) {
        // That tokens were found is what the exit code has to say.
        output::hint(&format!(
            "hallpass: {}",
            failure.message().unwrap_or_default()
        ));
        return Ok(());
    }
    let done = client.run(async |session| call(session, &found, false).await)?;
    tell(&found, &done, json)
}

async fn call(
    session: &mut Session,
    found: &[LeakedToken],
    dry_run: bool,
) -> Result<RevokeLeakedTokensResponse, Failure> {
    let mut all = RevokeLeakedTokensResponse::default();
    for chunk in found.chunks(CHUNK) {
        let tokens = chunk.to_vec();
        let request = RevokeLeakedTokensRequest { tokens, dry_run };
        let done = session.call(&request).await?;
        all.statuses.extend(done.statuses);
        all.revoked_token_ids.extend(done.revoked_token_ids);
    }
    Ok(all)
}

fn tell(
    found: &[LeakedToken],
    done: &RevokeLeakedTokensResponse,
    json: bool,
) -> Result<(), Failure> {
    let mut live = BTreeSet::new();
    let mut family: Vec<_> = done.revoked_token_ids.iter().collect();
    for (leaked, status) in found.iter().zip(done.statuses()) {
        let id = &leaked.token_id;
        let (outcome, text) = match status {
            LeakStatus::OtherSecret => ("other_secret", "not ours: the ID is, the secret is not"),
            LeakStatus::NotLive => ("dead", "already deleted or expired"),
            LeakStatus::Live => ("revoked", "revoked"),
            LeakStatus::Unknown | LeakStatus::Unspecified => ("unknown", "unknown here"),
        };
        if status == LeakStatus::Live {
            live.insert(id);
        }
        line(id, outcome, text, json)?;
    }
    family.retain(|id| !live.contains(id));
    for id in family {
        line(id, "revoked_with_family", "revoked with its family", json)?;
    }
    Ok(())
}

fn line(id: &str, outcome: &str, text: &str, json: bool) -> Result<(), Failure> {
    let line = if json {
        json!({ "tokenId": id, "outcome": outcome }).to_string()
    } else {
        format!("{id}: {text}")
    };
    Ok(output::line(&line)?)
}
