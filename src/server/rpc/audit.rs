//! `hallpass.v1.AuditService`.

use axum::extract::State;
use connectrpc_axum::{ConnectError, ConnectRequest, ConnectResponse};

use crate::{
    app::App,
    proto::hallpass::v1::{ListAuditEventsRequest, ListAuditEventsResponse},
};

use super::{super::auth::Authenticated, message, page_request};

pub(super) async fn list(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(request): ConnectRequest<ListAuditEventsRequest>,
) -> Result<ConnectResponse<ListAuditEventsResponse>, ConnectError> {
    let page = page_request(request.page_size, request.page_token, request.reverse);
    let page = app.list_audit(&caller, page).await?;
    Ok(ConnectResponse(ListAuditEventsResponse {
        events: page.items.into_iter().map(message::audit_event).collect(),
        next_page_token: page.next_page_token,
    }))
}
