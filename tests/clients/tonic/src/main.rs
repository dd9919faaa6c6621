//! Tests tonic against Hallpass. Prints one line per check, which tests/clients/run counts.

use std::{env, error::Error, fmt::Debug, fs, time::Duration};

use hallpass_tonic::hallpass::{
    CreateTokenRequest, CreateTokenResponse, DeleteTokenRequest, GetCurrentUserRequest,
    GetTokenRequest, ListTokensRequest, authn_service_client::AuthnServiceClient,
    token_service_client::TokenServiceClient,
};
use tonic::{Code, Request, Status, codec::CompressionEncoding, transport::Channel};
use tonic_types::StatusExt;

type Tokens = TokenServiceClient<Channel>;

fn check<T: PartialEq + Debug>(name: &str, expected: T, seen: T) {
    if expected == seen {
        println!("ok - {name}");
    } else {
        println!("FAIL - {name}: expected {expected:?}, got {seen:?}");
    }
}

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}");
    request
        .metadata_mut()
        .insert("authorization", bearer.parse().expect("a token is ASCII"));
    request
}

fn by_password(password: &str) -> CreateTokenRequest {
    CreateTokenRequest {
        username: "admin".into(),
        password: password.into(),
        note: "by password".into(),
        ..Default::default()
    }
}

async fn create(
    tokens: &mut Tokens,
    token: &str,
    note: &str,
) -> Result<CreateTokenResponse, Status> {
    let request = CreateTokenRequest {
        note: note.into(),
        ..Default::default()
    };
    Ok(tokens
        .create_token(with(token, request))
        .await?
        .into_inner())
}

#[tokio::main]
#[expect(
    clippy::disallowed_methods,
    reason = "the script that runs all clients configures them through the environment"
)]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::var("HALLPASS")?;
    let password = fs::read_to_string(env::var("PASSWORD_FILE")?)?;
    let channel = Channel::from_shared(address)?.connect().await?;
    let mut tokens = TokenServiceClient::new(channel.clone());

    let token = tokens.create_token(by_password(password.trim())).await?;
    let token = token.into_inner().token;
    let me = AuthnServiceClient::new(channel.clone())
        .get_current_user(with(&token, GetCurrentUserRequest {}))
        .await?;
    let name = me.into_inner().user.unwrap_or_default().username;
    check("creates a token by password", "admin", &name);

    lifecycle(&mut tokens, &token).await?;
    details(&mut tokens, &token).await;
    walk(&mut tokens, &token).await?;

    let mut late = Request::new(by_password(password.trim()));
    late.set_timeout(Duration::from_millis(2));
    let refused = tokens.create_token(late).await.map(drop);
    // tonic reports cancelled if its own timer fires first.
    let over = [Code::DeadlineExceeded, Code::Cancelled];
    let is_over = refused.is_err_and(|status| over.contains(&status.code()));
    check("keeps a deadline", true, is_over);

    let mut tokens = TokenServiceClient::new(channel)
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    let long = create(&mut tokens, &token, &"x".repeat(1000)).await?;
    let length = long.metadata.unwrap_or_default().note.len();
    check("sends gzip", 1000, length);
    let reply = tokens.list_tokens(with(&token, ListTokensRequest::default()));
    let encoding = reply.await?.metadata().get("grpc-encoding").cloned();
    check("receives gzip", Some("gzip".parse()?), encoding);
    Ok(())
}

async fn lifecycle(tokens: &mut Tokens, token: &str) -> Result<(), Status> {
    let child = create(tokens, token, "by token").await?;
    let token_id = child.metadata.unwrap_or_default().id;
    let request = GetTokenRequest {
        token_id: token_id.clone(),
    };
    let got = tokens.get_token(with(token, request)).await?.into_inner();
    let note = got.token.unwrap_or_default().note;
    check("creates a token by token, gets it", "by token", &note);
    let list = tokens.list_tokens(with(token, ListTokensRequest::default()));
    let list = list.await?.into_inner().tokens;
    let listed = list.iter().any(|token| token.id == token_id);
    check("lists it", true, listed);
    let deleted = tokens.delete_token(with(token, DeleteTokenRequest { token_id }));
    let children = deleted.await?.into_inner().deleted_children;
    check("deletes it", 0, children);
    let dead = tokens.list_tokens(with(&child.token, ListTokensRequest::default()));
    let code = dead.await.map(drop).map_err(|status| status.code());
    check("is then unauthenticated", Err(Code::Unauthenticated), code);
    Ok(())
}

async fn details(tokens: &mut Tokens, token: &str) {
    let refused = tokens.get_token(with(token, GetTokenRequest::default()));
    let seen = refused.await.map(drop).map_err(|status| {
        let details = status.get_error_details();
        let reason = details.error_info().map(|info| info.reason.clone());
        let field = details
            .bad_request()
            .and_then(|bad| bad.field_violations.first())
            .map(|violation| violation.field.clone());
        (status.code(), reason, field)
    });
    let expected = (
        Code::InvalidArgument,
        Some("INVALID_FIELD".to_owned()),
        Some("token_id".to_owned()),
    );
    check("reads an error's reason and field", Err(expected), seen);
}

async fn walk(tokens: &mut Tokens, token: &str) -> Result<(), Status> {
    for note in ["1", "2", "3"] {
        create(tokens, token, note).await?;
    }
    let mut sizes = Vec::new();
    let mut page_token = String::new();
    while sizes.len() < 5 {
        let request = ListTokensRequest {
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = tokens.list_tokens(with(token, request)).await?.into_inner();
        sizes.push(page.tokens.len());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    check("walks pages of 2 over 5 tokens", vec![2, 2, 1], sizes);
    Ok(())
}
