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

/// Maximum number of tokens in one call.
const CHUNK: usize = 500;

/// Revokes the live tokens of `found` after a confirmation, and prints what became of each.
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
        return print(&found, &plan, json);
    }
    let tokens = plural::count(live, "live token");
    let families = plural::of(live, "its family", "their families");
    let (_, families) = families.split_once(' ').unwrap_or_default();
    let question = format!("Revoke {tokens} of {} found, with {families}?", found.len());
    if let Err(failure) = confirmation.ask(client, &question) {
        // The exit code will report that tokens were found.
        output::hint(&format!(
            "hallpass: {}",
            failure.message().unwrap_or_default()
        ));
        return Ok(());
    }
    let done = client.run(async |session| call(session, &found, false).await)?;
    print(&found, &done, json)
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

fn print(
    found: &[LeakedToken],
    done: &RevokeLeakedTokensResponse,
    json: bool,
) -> Result<(), Failure> {
    let mut live = BTreeSet::new();
    let mut family: Vec<_> = done.revoked_token_ids.iter().collect();
    for (leaked, status) in found.iter().zip(done.statuses()) {
        let id = &leaked.token_id;
        let (outcome, text) = match status {
            LeakStatus::OtherSecret => {
                ("other_secret", "the ID is known here, with another secret")
            }
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
