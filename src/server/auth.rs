//! Authentication: a tower layer between the head of a call and its body. It denies by default: what is no
//! procedure with a caller does not come through, and a handler cannot be called without one. The web
//! endpoints find here what an Authorization header says.

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
        caller::{Caller, Origin},
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

/// The layer.
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

/// Puts the caller into a call's extensions, or refuses the call.
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

/// What a call's line says; what has none is for callers alone.
fn credentials(extensions: &http::Extensions) -> Credentials {
    let endpoint = extensions
        .get::<Call>()
        .and_then(|call| call.method().endpoint());
    endpoint.map_or(Credentials::Token, |endpoint| endpoint.credentials)
}

fn origin(extensions: &http::Extensions) -> Result<Origin, Error> {
    let missing = || Error::Internal("a request came without its origin".into());
    extensions.get().cloned().ok_or_else(missing)
}

/// What a request presents before its message is read.
#[derive(Clone, Debug)]
pub(super) enum PresentedCredential {
    /// What its Authorization header holds.
    Bearer(Result<Secret, Unauthenticated>),
    /// That the kernel knows its sender.
    Local { uid: u32 },
}

/// A process with the server's uid that passes on what strangers send, as a reverse proxy does, shows that by one
/// of these. What comes by the control socket must be the command's own.
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
                    "the control socket is for commands of this machine alone, which send no {name}"
                ),
            )),
        }
    }

    const fn is_missing(&self) -> bool {
        matches!(self, Self::Bearer(Err(Unauthenticated::Missing)))
    }

    /// Whom it stands for.
    pub(super) async fn authenticate(self, app: &App, origin: &Origin) -> Result<Caller, Error> {
        match self {
            Self::Bearer(bearer) => authenticate(app, bearer, origin).await,
            Self::Local { uid } => {
                current::note_credential("local");
                Ok(Caller::local(uid, origin.clone()))
            }
        }
    }
}

/// The caller that an Authorization header stands for.
async fn authenticate(
    app: &App,
    bearer: Result<Secret, Unauthenticated>,
    origin: &Origin,
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

/// Leaves for the access log that a token was shown, if one was.
pub(super) fn note_token_presented(bearer: &Result<Secret, Unauthenticated>) {
    if !matches!(bearer, Err(Unauthenticated::Missing)) {
        current::note_credential("token");
    }
}

/// Leaves for the access log which token was refused, if its secret was right.
pub(super) fn note_holder(app: &App, bearer: &Secret) {
    if let Some((token, user)) = app.holder(bearer) {
        current::note_token(token, user);
    }
}

/// The token in the Authorization header (RFC 6750 §2.1). Two such headers are none.
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

/// The same, or the password of Basic (RFC 7617 §2), whose user name is ignored: as git, docker and pip send it.
pub(super) fn bearer_or_basic(headers: &HeaderMap) -> Result<Secret, Unauthenticated> {
    let (scheme, credential) = authorization(headers)?;
    match basic(scheme, credential)? {
        Some(password) => Ok(password),
        None => bearer_of(scheme, credential),
    }
}

/// The same from a client of OAuth, which encodes the password of Basic as in a form (RFC 6749 §2.3.1). No token of
/// ours has a character that this could change, so one that was not encoded is well, too.
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

/// The password of Basic; `None`: the scheme is another.
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

/// The caller that a request's head stands for. Its body may take its time, so whatever is done for the caller is
/// done for it as it is after that: nothing here gives away how it was before.
#[derive(Clone, Debug)]
pub(super) struct HeadCaller {
    app: App,
    caller: Caller,
}

impl HeadCaller {
    /// The caller as it is now that the body has been read.
    async fn refresh(self) -> Result<Caller, Error> {
        self.app.look_again(&self.caller).await
    }
}

/// The caller, as an argument of a handler, which runs after the body was read.
#[derive(Clone, Debug)]
pub(super) struct Authenticated(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        let head_caller: Option<HeadCaller> = parts.extensions.remove();
        let head_caller = head_caller.ok_or(Error::from(Unauthenticated::Missing))?;
        Ok(Self(head_caller.refresh().await?))
    }
}

/// The caller, where a procedure does not need one, and there is one.
#[derive(Clone, Debug)]
pub(super) struct OptionalCaller(pub(super) Option<Caller>);

impl<S: Sync> FromRequestParts<S> for OptionalCaller {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        let head_caller: Option<HeadCaller> = parts.extensions.remove();
        match head_caller {
            None => Ok(Self(None)),
            Some(head_caller) => Ok(Self(Some(head_caller.refresh().await?))),
        }
    }
}

/// What a call presents that is authenticated after its message is read.
#[derive(Clone, Debug)]
pub(super) struct DeferredCredential(pub(super) PresentedCredential);

impl<S: Sync> FromRequestParts<S> for DeferredCredential {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        let missing = || Self(PresentedCredential::Bearer(Err(Unauthenticated::Missing)));
        Ok(parts.extensions.remove().unwrap_or_else(missing))
    }
}

/// Where a request came from, as an argument of a handler.
#[derive(Clone, Debug)]
pub(super) struct RequestOrigin(pub(super) Origin);

impl<S: Sync> FromRequestParts<S> for RequestOrigin {
    type Rejection = ConnectError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ConnectError> {
        Ok(Self(origin(&parts.extensions)?))
    }
}

#[cfg(test)]
mod tests;
