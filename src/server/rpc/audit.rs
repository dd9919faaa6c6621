//! `hallpass.v1.AuditService`.

use futures_util::{Stream, stream};

use crate::{
    app::{
        App, audit::AuditSelection, audit_stream::StreamAudit, caller::Caller, error::FieldError,
    },
    domain::audit_action,
    proto::hallpass::v1::{
        AuditFilter, ListAuditEventsRequest, ListAuditEventsResponse, StreamAuditEventsRequest,
        StreamAuditEventsResponse,
    },
};

use super::{super::unknown_name, Reply, message, page_request};

pub(super) async fn list(
    app: App,
    caller: Caller,
    request: ListAuditEventsRequest,
) -> Reply<ListAuditEventsResponse> {
    let page = page_request(request.page_size, request.page_token, request.reverse);
    let selection = selection(request.filter.unwrap_or_default());
    let (page, usernames) = app.list_audit(&caller, selection, page).await?;
    Ok(ListAuditEventsResponse {
        events: page.items.into_iter().map(message::audit_event).collect(),
        next_page_token: page.next_page_token,
        usernames: message::usernames(usernames),
    })
}

pub(super) async fn stream(
    app: App,
    caller: Caller,
    request: StreamAuditEventsRequest,
) -> Reply<impl Stream<Item = Reply<StreamAuditEventsResponse>>> {
    let request = StreamAudit {
        after: match request.after_sequence {
            0 => None,
            number => Some(i64::try_from(number).unwrap_or(i64::MAX)),
        },
        selection: selection(request.filter.unwrap_or_default()),
        follow: request.follow,
        newest: request.newest,
    };
    let rows = app.stream_audit(&caller, request).await?;
    let parts = stream::try_unfold(rows, async |mut rows| {
        let part = rows.next().await?.map(|part| StreamAuditEventsResponse {
            events: part.rows.into_iter().map(message::audit_event).collect(),
            usernames: message::usernames(part.usernames),
        });
        Ok(part.map(|part| (part, rows)))
    });
    Ok(parts)
}

fn selection(filter: AuditFilter) -> AuditSelection {
    let actions = audit_action::named(&filter.action);
    let action = if actions.is_empty() && !filter.action.is_empty() {
        let known = audit_action::ACTIONS.into_iter();
        let known = known.chain(audit_action::groups());
        let problem = unknown_name::sentence("action", &filter.action, known);
        Err(FieldError::new("filter.action", problem))
    } else {
        Ok((filter.action, actions))
    };
    AuditSelection {
        actor: filter.actor,
        target: filter.target,
        action,
        time_from: filter.time_from.map(message::time_parts),
        time_before: filter.time_before.map(message::time_parts),
    }
}
