//! `hallpass.v1.TokenService`.

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
    super::{authenticate::Credential, context::RequestContext, cors},
    Reply, message, page_request,
};

pub(super) async fn create(
    app: App,
    (credential, context): (Credential, RequestContext),
    request: CreateTokenRequest,
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
        credential.authenticate(&app, &context).await?
    } else {
        cors::check_password_page(&context)?;
        context.note_credential("password");
        let caller = sign_in(&app, &username, password, context.client()).await?;
        context.note_caller(&caller);
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
    Ok(CreateTokenResponse {
        token: created.text.expose().to_owned(),
        metadata: Some(message::token(created.token)),
    })
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
    app: App,
    caller: Caller,
    request: GetTokenRequest,
) -> Reply<GetTokenResponse> {
    let (token, username) = app.get_token(&caller, &request.token_id).await?;
    let username = username.map(|name| name.as_str().to_owned());
    Ok(GetTokenResponse {
        token: Some(message::token(token)),
        username: username.unwrap_or_default(),
    })
}

pub(super) async fn list(
    app: App,
    caller: Caller,
    request: ListTokensRequest,
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
    Ok(ListTokensResponse {
        tokens: page.items.into_iter().map(message::token).collect(),
        next_page_token: page.next_page_token,
    })
}

pub(super) async fn delete(
    app: App,
    caller: Caller,
    request: DeleteTokenRequest,
) -> Reply<DeleteTokenResponse> {
    let children = app.delete_token(&caller, &request.token_id).await?;
    Ok(DeleteTokenResponse {
        deleted_children: children.unwrap_or(0),
        already_deleted: children.is_none(),
    })
}

pub(super) async fn look_up(
    app: App,
    caller: Caller,
    request: LookUpTokenRequest,
) -> Reply<LookUpTokenResponse> {
    let impact = app.look_up_token(&caller, &request.token_id).await?;
    let username = impact.username.map(|name| name.as_str().to_owned());
    Ok(LookUpTokenResponse {
        username: username.unwrap_or_default(),
        note: impact.token.note.as_str().to_owned(),
        last_use: impact.token.last_use.map(message::last_use),
        live_children: u32::try_from(impact.live_children).unwrap_or(u32::MAX),
    })
}
