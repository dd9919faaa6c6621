//! The calls that are measured, with the tokens of a database.

use bytes::Bytes;
use hallpass::{
    cli::bench::{
        load::{Client, Load, Result},
        requests::{Wire, forward_auth, introspection, procedure},
    },
    domain::{
        clock::{Clock, SystemClock},
        id::TokenId,
        token_text::{TokenPrefix, TokenText},
    },
    proto::hallpass::v1::{
        CreateTokenRequest, GetCurrentUserRequest, GetTokenRequest, ListTokensRequest,
        ListTokensResponse, VerifyTokenRequest,
    },
    server::endpoints::{CREATE_TOKEN, GET_TOKEN, VERIFY_TOKEN},
};
use http::{Request, StatusCode};
use http_body_util::Full;
use prost::Message;

const LIST: &str = "/hallpass.v1.TokenService/ListTokens";
const CURRENT: &str = "/hallpass.v1.AuthnService/GetCurrentUser";
/// The depth of the page that is compared with the first.
const DEPTH: u32 = 100_000;

pub(crate) fn whoami(wire: Wire, bearer: &str) -> Request<Full<Bytes>> {
    procedure(wire, CURRENT, bearer, &GetCurrentUserRequest {})
}

/// Each reader calls about another one, in an order without a pattern that is the same in each run.
pub(crate) fn among(
    readers: &[String],
    make: impl Fn(&str, &str) -> Request<Full<Bytes>>,
) -> Vec<Request<Full<Bytes>>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut pick = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = u64::try_from(readers.len()).expect("a length fits 64 bits");
        &readers[usize::try_from(state % length).expect("less than a length")]
    };
    readers.iter().map(|_| make(pick(), pick())).collect()
}

/// Gets the metadata of the token `target`.
pub(crate) fn get(wire: Wire, bearer: &str, target: &str) -> Request<Full<Bytes>> {
    let token_id = target.split('_').nth(1).unwrap_or_default().to_owned();
    procedure(wire, GET_TOKEN.path, bearer, &GetTokenRequest { token_id })
}

pub(crate) fn create(bearer: &str) -> Request<Full<Bytes>> {
    let message = CreateTokenRequest {
        note: "deploys the shop".to_owned(),
        ..CreateTokenRequest::default()
    };
    procedure(Wire::Proto, CREATE_TOKEN.path, bearer, &message)
}

pub(crate) fn list(bearer: &str, page_size: u32, page_token: &str) -> Request<Full<Bytes>> {
    let message = ListTokensRequest {
        page_size,
        page_token: page_token.to_owned(),
        ..ListTokensRequest::default()
    };
    procedure(Wire::Proto, LIST, bearer, &message)
}

/// Checks of tokens: of valid ones, and of one that does not exist.
pub(crate) fn checks(readers: &[String]) -> [(&'static str, Load); 6] {
    let id = TokenId::generate(SystemClock.now());
    let text = TokenText::generate(&TokenPrefix::default(), id);
    let unknown = text.expose();
    let verify = |bearer: &str, token: &str| {
        let token = token.to_owned();
        let message = VerifyTokenRequest {
            token,
            ..VerifyTokenRequest::default()
        };
        procedure(Wire::Proto, VERIFY_TOKEN.path, bearer, &message)
    };
    let unknown_verify = among(readers, |bearer, _| verify(bearer, unknown));
    let unknown_introspect = among(readers, |bearer, _| introspection(bearer, unknown));
    let refused = Load::expecting(StatusCode::UNAUTHORIZED, vec![forward_auth(unknown)]);
    let known_forward_auth = among(readers, |bearer, _| forward_auth(bearer));
    [
        ("verify", Load::new(among(readers, verify))),
        ("introspect", Load::new(among(readers, introspection))),
        ("forward-auth", Load::new(known_forward_auth)),
        ("unknown verify", Load::new(unknown_verify)),
        ("unknown introspect", Load::new(unknown_introspect)),
        ("unknown forward-auth", refused),
    ]
}

/// The page token after [`DEPTH`] entries; none where the list is shorter.
pub(crate) async fn page_at_depth(client: &mut Client, bearer: &str) -> Result<Option<String>> {
    const PAGE: u32 = 250;
    let mut page = String::new();
    for _ in 0..DEPTH / PAGE {
        let reply = client
            .send(list(bearer, PAGE, &page), StatusCode::OK)
            .await?;
        page = ListTokensResponse::decode(reply)?.next_page_token;
        if page.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some(page))
}
