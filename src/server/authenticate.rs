//! Authentication: a tower layer between the head of a call and its body. It denies by default: anything that is
//! not a known procedure needs an authenticated caller, and a handler cannot run without the caller that it takes.
//! The web endpoints parse Authorization headers with the functions here.

use std::task::{Context, Poll};

use axum::{body::Body, extract::FromRequestParts, response::Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use connectrpc_axum::{Code, ConnectError};
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, Request, header, request::Parts};
use percent_encoding::percent_decode_str;
use tower::{Layer, Service};

use crate::{
    app::{
        App, Error,
        caller::{Caller, ClientInfo},
        error::Unauthenticated,
    },
    domain::secret::Secret,
    proto::hallpass::v1::Reason,
};

use super::{
    current,
    edge::{self, Call},
    endpoints::Credentials,
    listener::Peer,
};

#[derive(Clone, Debug)]
pub(super) struct AuthLayer(pub(super) App);

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth {
            app: self.0.clone(),
            inner,
        }
    }
}

/// Adds the caller to the call's extensions, or rejects the call.
#[derive(Clone, Debug)]
pub(super) struct Auth<S> {
    app: App,
    inner: S,
}

impl<S> Service<Request<Body>> for Auth<S>
where
    S: Service<Request<Body>, Response = Response, Error = ConnectError> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Response, ConnectError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let app = self.app.clone();
        Box::pin(async move {
            let presented = PresentedCredential::by(&request)?;
            match credentials(request.extensions()) {
                Credentials::TokenOrPassword => {
                    request
                        .extensions_mut()
                        .insert(DeferredCredential(presented));
                }
                Credentials::Holder | Credentials::OptionalClient | Credentials::Public => {}
                Credentials::OptionalToken | Credentials::HolderInMessage
                    if presented.is_missing() => {}
                Credentials::Token
                | Credentials::OptionalToken
                | Credentials::Client
                | Credentials::HolderInMessage => {
                    let origin = origin(request.extensions())?;
                    let caller = presented.authenticate(&app, &origin).await?;
                    let head_caller = HeadCaller { app, caller };
                    request.extensions_mut().insert(head_caller);
                }
            }
            inner.call(request).await
        })
    }
}

/// The credentials that the procedure takes; a bearer token if it is not in the list of endpoints.
fn credentials(extensions: &http::Extensions) -> Credentials {
    let endpoint = extensions
        .get::<Call>()
        .and_then(|call| call.method().endpoint());
    endpoint.map_or(Credentials::Token, |endpoint| endpoint.credentials)
}

fn origin(extensions: &http::Extensions) -> Result<ClientInfo, Error> {
    let missing = || Error::Internal("a request came without its origin".into());
    extensions.get().cloned().ok_or_else(missing)
}

/// The credential of a request, before its message is read.
#[derive(Clone, Debug)]
pub(super) enum PresentedCredential {
    /// From the Authorization header.
    Bearer(Result<Secret, Unauthenticated>),
    /// The kernel has identified the sender.
    Local { uid: u32 },
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

impl PresentedCredential {
    fn by(request: &Request<Body>) -> Result<Self, ConnectError> {
        let headers = request.headers();
        let Some(Peer::Local { uid }) = request.extensions().get().copied() else {
            return Ok(Self::Bearer(bearer(headers)));
        };
        let is_foreign = |name: &&HeaderName| {
            NON_LOCAL_HEADERS.contains(name) || name.as_str().starts_with(FORWARDED_PREFIX)
        };
        match headers.keys().find(is_foreign) {
            None => Ok(Self::Local { uid }),
            Some(name) => Err(edge::refusal(
                Code::PermissionDenied,
                Reason::PermissionDenied,
                format!(
                    "the control socket is for local commands only, which do not send the header field {name}"
                ),
            )),
        }
    }

    const fn is_missing(&self) -> bool {
        matches!(self, Self::Bearer(Err(Unauthenticated::Missing)))
    }

    /// Authenticates the caller.
    pub(super) async fn authenticate(
        self,
        app: &App,
        origin: &ClientInfo,
    ) -> Result<Caller, Error> {
        match self {
            Self::Bearer(bearer) => authenticate(app, bearer, origin).await,
            Self::Local { uid } => {
                current::note_credential("local");
                Ok(Caller::local(uid, origin.clone()))
            }
        }
    }
}

/// Authenticates the bearer of a token.
async fn authenticate(
    app: &App,
    bearer: Result<Secret, Unauthenticated>,
    origin: &ClientInfo,
) -> Result<Caller, Error> {
    note_token_presented(&bearer);
    match bearer {
        Ok(bearer) => {
            let caller = app.authenticate(bearer.expose(), origin).await;
            match &caller {
                Ok(caller) => current::note_caller(caller),
                Err(_) => note_holder(app, &bearer),
            }
            caller
        }
        Err(refusal) => {
            app.metrics().authentication(refusal.reason().as_str());
            Err(refusal.into())
        }
    }
}

/// Records for the access log that a token was presented, if so.
pub(super) fn note_token_presented(bearer: &Result<Secret, Unauthenticated>) {
    if !matches!(bearer, Err(Unauthenticated::Missing)) {
        current::note_credential("token");
    }
}

/// Records for the access log which token was rejected, if its secret was right.
pub(super) fn note_holder(app: &App, bearer: &Secret) {
    if let Some((token, user)) = app.holder(bearer) {
        current::note_token(token, user);
    }
}

/// The token in the Authorization header (RFC 6750 §2.1). Two such headers are rejected.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Secret, Unauthenticated> {
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
pub(super) fn bearer_or_encoded_basic(headers: &HeaderMap) -> Result<Secret, Unauthenticated> {
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

/// The caller that was authenticated by the head of a request. Its body may take a while to arrive, so the caller
/// can only be used after [`refresh`](Self::refresh), which looks up its current state.
#[derive(Clone, Debug)]
pub(super) struct HeadCaller {
    app: App,
    caller: Caller,
}

impl HeadCaller {
    /// The caller in its current state, now that the body has been read.
    async fn refresh(self) -> Result<Caller, Error> {
        self.app.recheck(&self.caller).await
    }
}

/// Extractor of the caller, for handlers, which run after the body was read.
pub(super) struct Authenticated(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ConnectError> {
        let OptionalCaller(caller) = OptionalCaller::from_request_parts(parts, state).await?;
        Ok(Self(caller.ok_or(Error::from(Unauthenticated::Missing))?))
    }
}

/// Extractor of the caller in procedures that do not require one.
pub(super) struct OptionalCaller(pub(super) Option<Caller>);

impl<S: Sync> FromRequestParts<S> for OptionalCaller {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        Ok(Self(match parts.extensions.remove::<HeadCaller>() {
            None => None,
            Some(head_caller) => Some(head_caller.refresh().await?),
        }))
    }
}

/// Extractor of a credential that is authenticated after the message has been read.
#[derive(Clone)]
pub(super) struct DeferredCredential(pub(super) PresentedCredential);

impl<S: Sync> FromRequestParts<S> for DeferredCredential {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        let missing = || Self(PresentedCredential::Bearer(Err(Unauthenticated::Missing)));
        Ok(parts.extensions.remove().unwrap_or_else(missing))
    }
}

/// Extractor of where a request came from.
pub(super) struct RequestOrigin(pub(super) ClientInfo);

impl<S: Sync> FromRequestParts<S> for RequestOrigin {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        Ok(Self(origin(&parts.extensions)?))
    }
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
