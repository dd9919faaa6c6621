//! `hallpass.v1.StatusService`.

use crate::{
    app::{
        App,
        caller::Caller,
        status::{Counts, Policies},
    },
    domain::lifetime::LifetimePolicy,
    proto::hallpass::v1::{
        GetServerStatusRequest, GetServerStatusResponse, ServerCounts, ServerPolicies,
        TokenLifetimes,
    },
};

use super::Reply;

pub(super) async fn get(
    app: App,
    caller: Option<Caller>,
    _: GetServerStatusRequest,
) -> Reply<GetServerStatusResponse> {
    let status = app.server_status(caller.as_ref()).await?;
    Ok(GetServerStatusResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ready: status.ready,
        disk_full: status.disk_full,
        audit_sink_failing: status.audit_sink_fails,
        policies: status.policies.map(policies),
        counts: status.counts.map(counts),
    })
}

fn policies(policies: Policies) -> ServerPolicies {
    let per_minute = policies.token_requests_per_minute;
    ServerPolicies {
        token_prefix: policies.token_prefix,
        person_tokens: Some(lifetimes(policies.people)),
        machine_tokens: Some(lifetimes(policies.machines)),
        token_children_forbidden: policies.token_children_forbidden,
        max_tokens_per_user: policies.max_tokens_per_user,
        token_requests_per_minute: per_minute.map(Into::into).unwrap_or_default(),
    }
}

fn lifetimes(policy: LifetimePolicy) -> TokenLifetimes {
    TokenLifetimes {
        max_ttl: policy.max_ttl.map(Into::into),
        default_ttl: policy.default_ttl.map(Into::into),
        must_expire: policy.must_expire,
    }
}

fn counts(counts: Counts) -> ServerCounts {
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    ServerCounts {
        people: number(counts.people),
        machines: number(counts.machines),
        deactivated_users: number(counts.deactivated),
        live_tokens: number(counts.tokens.active),
        disabled_tokens: number(counts.tokens.disabled),
        expired_tokens: number(counts.tokens.expired),
    }
}
