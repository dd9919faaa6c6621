//! Authentication: a tower service between the head of a request and its body, the same for calls and for OAuth's
//! endpoints. It denies by default: a procedure that is not in the list of endpoints needs an authenticated caller.
//!
//! A credential of another kind (a session's cookie, a token of another issuer) becomes a variant of [`Credential`].

use std::task::{Context, Poll};

use base64::{Engine, engine::general_purpose::STANDARD};
use connectrpc_axum::Code;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, header};
use percent_encoding::percent_decode_str;
use tower::Service;

use crate::{
    app::{App, Error, caller::Caller, error::Unauthenticated},
    domain::{reason::Reason, secret::Secret},
};

use super::{context::RequestContext, endpoints::Credentials, error::ApiError, listener::Peer};

/// Authenticates requests.
#[derive(Clone, Debug)]
pub(super) struct Authenticator(pub(super) App);

/// A request whose body has not been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestHead<'a> {
    pub(super) context: &'a RequestContext,
    pub(super) headers: &'a HeaderMap,
    /// Which credentials the endpoint takes.
    pub(super) takes: Credentials,
}

/// The caller of a request, as far as its head tells.
#[derive(Clone, Debug)]
pub(super) enum HeadCaller {
    /// The endpoint needs none, and the request names none.
    Anonymous,
    /// Authenticated. The body may take a while to arrive, so it is looked up again afterwards.
    Known(Caller),
    /// The body decides which credential counts.
    Deferred(Credential),
}

/// What a request presents to authenticate its caller.
#[derive(Clone, Debug)]
pub(super) enum Credential {
    Missing,
    /// An Authorization header that is not as we expect it.
    Malformed,
    /// One of our tokens.
    Token(Secret),
    /// The kernel has identified the sender, on this machine.
    Local {
        uid: u32,
    },
}

impl<'a> Service<RequestHead<'a>> for Authenticator {
    type Response = HeadCaller;
    type Error = ApiError;
    type Future = BoxFuture<'a, Result<HeadCaller, ApiError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ApiError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, head: RequestHead<'a>) -> Self::Future {
        let app = self.0.clone();
        Box::pin(async move {
            let credential = Credential::of(&head)?;
            let is_missing = matches!(credential, Credential::Missing);
            Ok(match head.takes {
                Credentials::Holder | Credentials::Public => HeadCaller::Anonymous,
                Credentials::OptionalToken | Credentials::HolderInMessage if is_missing => {
                    HeadCaller::Anonymous
                }
                Credentials::TokenOrPassword
                | Credentials::Client
                | Credentials::OptionalClient => HeadCaller::Deferred(credential),
                Credentials::Token | Credentials::OptionalToken | Credentials::HolderInMessage => {
                    HeadCaller::Known(credential.authenticate(&app, head.context).await?)
                }
            })
        })
    }
}

impl HeadCaller {
    /// The caller in its current state, now that the body has been read.
    pub(super) async fn recheck(self, app: &App) -> Result<Self, Error> {
        Ok(match self {
            Self::Known(caller) => Self::Known(app.recheck(&caller).await?),
            other => other,
        })
    }
}

/// Records for the access log which token was rejected, if its secret was right.
pub(super) fn note_holder(app: &App, context: &RequestContext, token: &Secret) {
    if let Some((token, user)) = app.holder(token) {
        context.note_token(token, user);
    }
}

/// Header fields that show that a request on the control socket comes from somebody else: a reverse proxy that runs
/// as the server's user would pass them on. Our own commands send none of them.
const NON_LOCAL_HEADERS: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::FORWARDED,
    header::VIA,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("x-real-ip"),
];
const FORWARDED_PREFIX: &str = "x-forwarded-";

impl Credential {
    fn of(head: &RequestHead<'_>) -> Result<Self, ApiError> {
        let headers = head.headers;
        let Peer::Local { uid } = head.context.peer() else {
            return Ok(Self::from(match head.takes {
                Credentials::Client | Credentials::OptionalClient => {
                    bearer_or_encoded_basic(headers)
                }
                _ => bearer(headers),
            }));
        };
        let is_foreign = |name: &&HeaderName| {
            NON_LOCAL_HEADERS.contains(name) || name.as_str().starts_with(FORWARDED_PREFIX)
        };
        match headers.keys().find(is_foreign) {
            None => Ok(Self::Local { uid }),
            Some(name) => Err(ApiError::new(
                Code::PermissionDenied,
                Reason::PermissionDenied,
                format!(
                    "the control socket is for local commands only, which do not send the header field {name}"
                ),
            )),
        }
    }

    /// Authenticates whoever presents it.
    pub(super) async fn authenticate(
        self,
        app: &App,
        context: &RequestContext,
    ) -> Result<Caller, Error> {
        let refusal = match self {
            Self::Token(token) => {
                context.note_credential("token");
                let caller = app.authenticate(token.expose(), context.client()).await;
                match &caller {
                    Ok(caller) => context.note_caller(caller),
                    Err(_) => note_holder(app, context, &token),
                }
                return caller;
            }
            Self::Local { uid } => {
                context.note_credential("local");
                return Ok(Caller::local(uid, context.client().clone()));
            }
            Self::Malformed => {
                context.note_credential("token");
                Unauthenticated::Malformed
            }
            Self::Missing => Unauthenticated::Missing,
        };
        app.metrics().authentication(refusal.reason().as_str());
        Err(refusal.into())
    }
}

impl From<Result<Secret, Unauthenticated>> for Credential {
    fn from(token: Result<Secret, Unauthenticated>) -> Self {
        match token {
            Ok(token) => Self::Token(token),
            Err(Unauthenticated::Missing) => Self::Missing,
            Err(_) => Self::Malformed,
        }
    }
}

/// The token in the Authorization header (RFC 6750 §2.1). Two such headers are rejected.
fn bearer(headers: &HeaderMap) -> Result<Secret, Unauthenticated> {
    let (scheme, credential) = authorization(headers)?;
    bearer_of(scheme, credential)
}

fn bearer_of(scheme: &str, token: &str) -> Result<Secret, Unauthenticated> {
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Secret::new(token.to_owned()))
    } else {
        Err(Unauthenticated::Malformed)
    }
}

/// Like [`bearer`], or the password of Basic (RFC 7617 §2) with any user name, as git, docker and pip send it.
pub(super) fn bearer_or_basic(headers: &HeaderMap) -> Result<Secret, Unauthenticated> {
    let (scheme, credential) = authorization(headers)?;
    match basic(scheme, credential)? {
        Some(password) => Ok(password),
        None => bearer_of(scheme, credential),
    }
}

/// Like [`bearer_or_basic`], for OAuth clients, which form-encode the password of Basic (RFC 6749 §2.3.1). Our
/// tokens have no character that decoding would change, so an unencoded one is accepted too.
fn bearer_or_encoded_basic(headers: &HeaderMap) -> Result<Secret, Unauthenticated> {
    let (scheme, credential) = authorization(headers)?;
    let Some(password) = basic(scheme, credential)? else {
        return bearer_of(scheme, credential);
    };
    let text = password.expose().replace('+', " ");
    let text = percent_decode_str(&text).decode_utf8();
    let text = text.map_err(|_| Unauthenticated::Malformed)?;
    Ok(Secret::new(text.into_owned()))
}

/// The password of Basic; `None` for any other scheme.
fn basic(scheme: &str, pair: &str) -> Result<Option<Secret>, Unauthenticated> {
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let password = password_of(pair).ok_or(Unauthenticated::Malformed)?;
    Ok(Some(password))
}

fn password_of(pair: &str) -> Option<Secret> {
    let pair = STANDARD.decode(pair).ok()?;
    let pair = Secret::new(String::from_utf8(pair).ok()?);
    let (_, password) = pair.expose().split_once(':')?;
    Some(Secret::new(password.to_owned()))
}

fn authorization(headers: &HeaderMap) -> Result<(&str, &str), Unauthenticated> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Err(Unauthenticated::Missing);
    };
    let text = value.to_str().map_err(|_| Unauthenticated::Malformed)?;
    let (scheme, rest) = text.split_once(' ').ok_or(Unauthenticated::Malformed)?;
    if values.next().is_some() {
        return Err(Unauthenticated::Malformed);
    }
    Ok((scheme, rest.trim_matches(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Result<String, Unauthenticated> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        bearer(&headers).map(|secret| secret.expose().to_owned())
    }

    #[test]
    fn exactly_one_bearer_token_is_accepted() {
        assert_eq!(read(&["Bearer abc"]).as_deref(), Ok("abc"));
        assert_eq!(read(&["bearer  abc "]).as_deref(), Ok("abc"));
        assert_eq!(read(&[]), Err(Unauthenticated::Missing));
        for bad in [
            &["Basic abc"][..],
            &["Bearer"],
            &["abc"],
            &["Bearer a", "Bearer a"],
        ] {
            assert_eq!(read(bad), Err(Unauthenticated::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn password_of_basic_is_read_whatever_the_user_name() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer_or_basic(&headers).map(|secret| secret.expose().to_owned())
        };
        let basic = |pair: &[u8]| read(&format!("basic {}", STANDARD.encode(pair)));
        assert_eq!(basic(b"admin:abc").as_deref(), Ok("abc"));
        assert_eq!(basic(b":a:c").as_deref(), Ok("a:c"));
        assert_eq!(read("Bearer abc").as_deref(), Ok("abc"));
        for bad in [
            basic(b"abc"),
            basic(b"a:\xff"),
            read("Basic !"),
            read("Digest x"),
        ] {
            assert_eq!(bad, Err(Unauthenticated::Malformed));
        }
    }

    #[test]
    fn password_of_oauths_basic_is_decoded_as_in_a_form() {
        let read = |pair: &[u8]| {
            let mut headers = HeaderMap::new();
            let value = format!("Basic {}", STANDARD.encode(pair));
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer_or_encoded_basic(&headers).map(|secret| secret.expose().to_owned())
        };
        assert_eq!(
            read(b"my%20ci:hallpass%5Fabc").as_deref(),
            Ok("hallpass_abc")
        );
        assert_eq!(read(b"a%3Ab:%68allpass_abc").as_deref(), Ok("hallpass_abc"));
        assert_eq!(read(b"a:b+c%3a").as_deref(), Ok("b c:"));
        assert_eq!(read(b"a:%ff"), Err(Unauthenticated::Malformed));
    }
}
