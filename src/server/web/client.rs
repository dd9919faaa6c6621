//! Client authentication at the OAuth endpoints: a token as Bearer (RFC 6750 §2.1), as the password of Basic, or as
//! `client_secret` in the form (RFC 6749 §2.3.1). Client names are ignored, and users' passwords are never
//! accepted.

use axum::{body::Body, response::Response};
use http::{StatusCode, header, request::Parts};

use crate::app::{App, caller::Caller};

use super::{
    super::{
        authenticate::{Credential, HeadCaller},
        context::RequestContext,
        error::oauth::{self, Scheme},
    },
    form::{self, Form},
};

/// A request of an OAuth client.
pub(in crate::server) struct ClientRequest<'a> {
    pub(in crate::server) app: &'a App,
    pub(in crate::server) context: &'a RequestContext,
    pub(in crate::server) caller: HeadCaller,
    pub(in crate::server) head: &'a Parts,
    pub(in crate::server) body: &'a mut Body,
    pub(in crate::server) max_body_bytes: usize,
}

impl ClientRequest<'_> {
    /// Reads the form, and which client sent it.
    pub(super) async fn read(self) -> Result<(Form, Client), Box<Response>> {
        form::check(&self.head.headers)?;
        let form = Form::read(self.body, self.max_body_bytes).await?;
        let client = Client::read(self.context, self.caller, self.head, &form)?;
        Ok((form, client))
    }
}

/// The credential of a client.
pub(super) struct Client {
    credential: Credential,
    scheme: Scheme,
}

impl Client {
    /// Takes the credential from the header, where `caller` is from, or the form.
    ///
    /// # Errors
    /// More than one method was used in a request (RFC 6749 §2.3), even if they agree.
    fn read(
        context: &RequestContext,
        caller: HeadCaller,
        head: &Parts,
        form: &Form,
    ) -> Result<Self, Box<Response>> {
        let in_form = form.find("client_secret");
        let in_form = in_form.map_err(|error| Box::new(oauth::refusal(context, error)))?;
        let in_header = head.headers.get_all(header::AUTHORIZATION).iter().count();
        if in_header + usize::from(in_form.is_some()) > 1 {
            let problem =
                "the client must authenticate with exactly one of Bearer, Basic and client_secret";
            let refusal =
                oauth::error_response(StatusCode::BAD_REQUEST, "invalid_request", problem);
            return Err(Box::new(refusal));
        }
        Ok(match (in_form, caller) {
            (Some(secret), _) => Self {
                credential: Credential::Token(secret.clone()),
                scheme: Scheme::Any,
            },
            (None, HeadCaller::Deferred(credential)) => Self {
                credential,
                scheme: Scheme::of(&head.headers),
            },
            (None, HeadCaller::Anonymous | HeadCaller::Known(_)) => Self {
                credential: Credential::Missing,
                scheme: Scheme::Any,
            },
        })
    }

    /// Whether there is no credential.
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self.credential, Credential::Missing)
    }

    /// The scheme that was used, with which a refusal challenges the client.
    pub(super) const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Authenticates the caller.
    pub(super) async fn authenticate(
        self,
        app: &App,
        context: &RequestContext,
    ) -> Result<Caller, Box<Response>> {
        // The form has been read already, so the caller's state is current.
        let caller = self.credential.authenticate(app, context).await;
        caller.map_err(|error| Box::new(oauth::refusal_of(context, error, self.scheme)))
    }
}
