//! `hallpass.v1.AdminService`.

use futures_util::{Stream, stream};

use crate::{
    app::{
        App,
        backup::BackupPart,
        caller::Caller,
        error::{Checked, FieldError},
        tokens::{LeakStatus, ListAllTokens, RevokeTokens, TokenOutcome, TokenSelection},
    },
    domain::{id::TokenId, presented_token::PresentedToken, secret::Secret, token::TokenState},
    proto::hallpass::v1::{
        self, BackUpCopy, BackUpDataRequest, BackUpDataResponse, BackUpEnd, CheckDataRequest,
        CheckDataResponse, CountAllTokensRequest, CountAllTokensResponse, ListAllTokensRequest,
        ListAllTokensResponse, RevocationOutcome, RevokeLeakedTokensRequest,
        RevokeLeakedTokensResponse, RevokeTokensRequest, RevokeTokensResponse, TokenFilter,
    },
};

use super::{Reply, message, page_request};

pub(super) async fn list_all_tokens(
    app: App,
    caller: Caller,
    request: ListAllTokensRequest,
) -> Reply<ListAllTokensResponse> {
    let request = ListAllTokens {
        page: page_request(request.page_size, request.page_token, request.reverse),
        filter: selection(request.filter),
    };
    let (page, usernames) = app.list_all_tokens(&caller, request).await?;
    Ok(ListAllTokensResponse {
        tokens: page.items.into_iter().map(message::token).collect(),
        next_page_token: page.next_page_token,
        usernames: message::usernames(usernames),
    })
}

pub(super) async fn count_all_tokens(
    app: App,
    caller: Caller,
    request: CountAllTokensRequest,
) -> Reply<CountAllTokensResponse> {
    let counts = app
        .count_all_tokens(&caller, selection(request.filter))
        .await?;
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Ok(CountAllTokensResponse {
        live_count: number(counts.active),
        disabled_count: number(counts.disabled),
        expired_count: number(counts.expired),
    })
}

pub(super) async fn revoke_tokens(
    app: App,
    caller: Caller,
    request: RevokeTokensRequest,
) -> Reply<RevokeTokensResponse> {
    let request = RevokeTokens {
        filter: selection(request.filter),
        tokens: request.tokens.into_iter().map(Secret::new).collect(),
        dry_run: request.dry_run,
        page_token: request.page_token,
        limit: None,
    };
    let done = app.revoke_tokens(&caller, request).await?;
    let (ids, outcomes): (Vec<_>, Vec<_>) = done.outcomes.into_iter().unzip();
    let id = |id: Option<TokenId>| id.map(|id| id.to_string()).unwrap_or_default();
    Ok(RevokeTokensResponse {
        token_count: done.tokens,
        child_count: done.children,
        first_tokens: done.first.into_iter().map(message::token).collect(),
        outcomes: outcomes
            .into_iter()
            .map(|outcome| self::outcome(outcome).into())
            .collect(),
        spared_own: done.spared_own,
        next_page_token: done.next_page_token,
        family_count: done.family,
        token_ids: ids.into_iter().map(id).collect(),
        usernames: message::usernames(done.usernames),
        last_use: done.last_use.map(message::last_use),
    })
}

pub(super) async fn revoke_leaked_tokens(
    app: App,
    caller: Caller,
    request: RevokeLeakedTokensRequest,
) -> Reply<RevokeLeakedTokensResponse> {
    let found = request.tokens.iter().map(leaked).collect();
    let done = app.revoke_leaked(&caller, found, request.dry_run).await?;
    let statuses = done
        .leaks
        .iter()
        .map(|leak| leak_status(leak.status).into());
    Ok(RevokeLeakedTokensResponse {
        statuses: statuses.collect(),
        revoked_token_ids: done.revoked.iter().map(ToString::to_string).collect(),
    })
}

pub(super) async fn check_data(
    app: App,
    caller: Caller,
    _: CheckDataRequest,
) -> Reply<impl Stream<Item = Reply<CheckDataResponse>>> {
    let findings = app.check_data(&caller).await?;
    let findings = findings
        .into_iter()
        .map(|finding| Ok(CheckDataResponse { finding }));
    Ok(stream::iter(findings))
}

pub(super) async fn back_up_data(
    app: App,
    caller: Caller,
    _: BackUpDataRequest,
) -> Reply<impl Stream<Item = Reply<BackUpDataResponse>>> {
    let backup = app.back_up(&caller).await?;
    Ok(stream::try_unfold(backup, async |mut backup| {
        let part = backup.next().await?;
        Ok(part.map(|part| (backup_part(part), backup)))
    }))
}

fn backup_part(part: BackupPart) -> BackUpDataResponse {
    let mut reply = BackUpDataResponse::default();
    match part {
        BackupPart::Copying => {}
        BackupPart::Copy {
            size_bytes,
            schema,
            head,
        } => {
            reply.copy = Some(BackUpCopy {
                size_bytes,
                schema: u32::try_from(schema).unwrap_or_default(),
                audit_sequence: head.sequence,
                audit_hash: head.hash.as_bytes().to_vec(),
            });
        }
        BackupPart::Chunk(chunk) => reply.chunk = chunk,
        BackupPart::End { size_bytes, sha256 } => {
            reply.end = Some(BackUpEnd {
                size_bytes,
                sha256: sha256.to_vec(),
            });
        }
    }
    reply
}

fn leaked(token: &v1::LeakedToken) -> Checked<PresentedToken> {
    let hash = message::token_hash("tokens.plaintext_sha256", &token.plaintext_sha256)?;
    let hash = hash.ok_or(FieldError::new("tokens.plaintext_sha256", "is required"))?;
    let id = TokenId::parse(&token.token_id)
        .ok_or(FieldError::new("tokens.token_id", "is not a token ID"))?;
    Ok(PresentedToken::new(id, hash))
}

const fn leak_status(status: LeakStatus) -> v1::LeakStatus {
    match status {
        LeakStatus::Live { .. } => v1::LeakStatus::Live,
        LeakStatus::Ended { .. } => v1::LeakStatus::NotLive,
        LeakStatus::Unknown => v1::LeakStatus::Unknown,
        LeakStatus::OtherSecret => v1::LeakStatus::OtherSecret,
    }
}

fn selection(filter: Option<TokenFilter>) -> TokenSelection {
    let filter = filter.unwrap_or_default();
    let state = match v1::TokenState::try_from(filter.state) {
        Ok(v1::TokenState::Unspecified) => Ok(None),
        Ok(v1::TokenState::Live) => Ok(Some(TokenState::Active)),
        Ok(v1::TokenState::Disabled) => Ok(Some(TokenState::Disabled)),
        Ok(v1::TokenState::Expired) => Ok(Some(TokenState::Expired)),
        Err(_) => Err(FieldError::new("filter.state", super::NOT_OF_THE_ENUM)),
    };
    TokenSelection {
        user_id: filter.user_id,
        family_id: filter.family_id,
        parent_id: filter.parent_id,
        create_time_from: filter.create_time_from.map(message::time_parts),
        create_time_before: filter.create_time_before.map(message::time_parts),
        unused_since: filter.unused_since.map(message::time_parts),
        scope: filter.scope,
        expire_time_before: filter.expire_time_before.map(message::time_parts),
        expiring_before: filter.expiring_before.map(message::time_parts),
        never_expires: filter.never_expires,
        state,
    }
}

const fn outcome(outcome: TokenOutcome) -> RevocationOutcome {
    match outcome {
        TokenOutcome::Revoked => RevocationOutcome::Revoked,
        TokenOutcome::NotLive => RevocationOutcome::NotLive,
        TokenOutcome::OtherSecret => RevocationOutcome::OtherSecret,
        TokenOutcome::Malformed => RevocationOutcome::Malformed,
        TokenOutcome::NotOurs => RevocationOutcome::NotOurs,
        TokenOutcome::NotSelected => RevocationOutcome::NotSelected,
        TokenOutcome::Spared => RevocationOutcome::Spared,
    }
}
