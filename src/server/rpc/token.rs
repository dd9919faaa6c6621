//! `hallpass.v1.TokenService`.

use axum::extract::State;
use connectrpc_axum::{ConnectError, ConnectRequest, ConnectResponse};

use crate::{
    app::{
        App, Error,
        caller::{Caller, ClientInfo},
        error::FieldError,
        tokens::{CreateToken, ListTokens},
    },
    domain::secret::Secret,
    proto::hallpass::v1::{
        CreateTokenRequest, CreateTokenResponse, DeleteTokenRequest, DeleteTokenResponse,
        GetTokenRequest, GetTokenResponse, ListTokensRequest, ListTokensResponse,
        LookUpTokenRequest, LookUpTokenResponse,
    },
};

use super::{
    super::{
        authenticate::{self, Authenticated, DeferredCredential},
        cors::PasswordOrigin,
        current,
    },
    message, page_request,
};

type Reply<T> = Result<ConnectResponse<T>, ConnectError>;

pub(super) async fn create(
    State(app): State<App>,
    authenticate::RequestOrigin(origin): authenticate::RequestOrigin,
    deferred: DeferredCredential,
    page: PasswordOrigin,
    ConnectRequest(request): ConnectRequest<CreateTokenRequest>,
) -> Reply<CreateTokenResponse> {
    let CreateTokenRequest {
        note,
        expire_time,
        user_id,
        username,
        password,
        scopes,
        allowed_cidrs,
        never_expires,
    } = request;
    let password = Secret::new(password);
    let caller = if username.is_empty() && password.expose().is_empty() {
        deferred.0.authenticate(&app, &origin).await?
    } else {
        page.check()?;
        current::note_credential("password");
        let caller = sign_in(&app, &username, password, &origin).await?;
        current::note_caller(&caller);
        caller
    };
    let expire_time = expire_time.map(|time| (time.seconds, time.nanos));
    let request = CreateToken {
        note,
        expire_time,
        never_expires,
        user_id,
        scopes,
        allowed_cidrs,
    };
    let created = app.create_token(&caller, request).await?;
    Ok(ConnectResponse(CreateTokenResponse {
        token: created.text.expose().to_owned(),
        metadata: Some(message::token(created.token)),
    }))
}

async fn sign_in(
    app: &App,
    username: &str,
    password: Secret,
    origin: &ClientInfo,
) -> Result<Caller, Error> {
    if username.is_empty() {
        return Err(FieldError::new("username", "is required where password is set").into());
    }
    if password.expose().is_empty() {
        return Err(FieldError::new("password", "is required where username is set").into());
    }
    app.sign_in(username, password, origin).await
}

pub(super) async fn get(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(request): ConnectRequest<GetTokenRequest>,
) -> Reply<GetTokenResponse> {
    let (token, username) = app.get_token(&caller, &request.token_id).await?;
    let username = username.map(|name| name.as_str().to_owned());
    Ok(ConnectResponse(GetTokenResponse {
        token: Some(message::token(token)),
        username: username.unwrap_or_default(),
    }))
}

pub(super) async fn list(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(request): ConnectRequest<ListTokensRequest>,
) -> Reply<ListTokensResponse> {
    let page = page_request(request.page_size, request.page_token, request.reverse);
    let page = app
        .list_tokens(
            &caller,
            ListTokens {
                page,
                user_id: request.user_id,
                expiring_before: request.expiring_before.map(message::time_parts),
                include_ended: request.include_ended,
            },
        )
        .await?;
    Ok(ConnectResponse(ListTokensResponse {
        tokens: page.items.into_iter().map(message::token).collect(),
        next_page_token: page.next_page_token,
    }))
}

pub(super) async fn delete(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(request): ConnectRequest<DeleteTokenRequest>,
) -> Reply<DeleteTokenResponse> {
    let children = app.delete_token(&caller, &request.token_id).await?;
    Ok(ConnectResponse(DeleteTokenResponse {
        deleted_children: children.unwrap_or(0),
        already_deleted: children.is_none(),
    }))
}

pub(super) async fn look_up(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    ConnectRequest(request): ConnectRequest<LookUpTokenRequest>,
) -> Reply<LookUpTokenResponse> {
    let impact = app.look_up_token(&caller, &request.token_id).await?;
    let username = impact.username.map(|name| name.as_str().to_owned());
    Ok(ConnectResponse(LookUpTokenResponse {
        username: username.unwrap_or_default(),
        note: impact.token.note.as_str().to_owned(),
        last_use: impact.token.last_use.map(message::last_use),
        live_children: u32::try_from(impact.live_children).unwrap_or(u32::MAX),
    }))
}
