//! Client authentication at the OAuth endpoints: a token as Bearer (RFC 6750 §2.1), as the password of Basic, or as
//! `client_secret` in the form (RFC 6749 §2.3.1). Client names are ignored, and users' passwords are never
//! accepted.

use axum::response::Response;
use http::{HeaderMap, StatusCode, header};

use crate::{
    app::{
        App, Error,
        caller::{Caller, ClientInfo},
        error::Unauthenticated,
    },
    domain::secret::Secret,
};

use super::{
    super::{
        authenticate::{self, PresentedCredential},
        error::oauth::{self, Scheme},
    },
    form::Form,
};

/// The credential of a client.
pub(super) struct Client {
    token: Result<Secret, Unauthenticated>,
    scheme: Scheme,
}

impl Client {
    /// Reads the credential from the header and the form.
    ///
    /// # Errors
    /// More than one method was used in a request (RFC 6749 §2.3), even if they agree.
    pub(super) fn read(headers: &HeaderMap, form: &Form) -> Result<Self, Box<Response>> {
        let refused = |error: Error| Box::new(oauth::refusal(error));
        let in_form = form.find("client_secret");
        let in_form = in_form.map_err(|error| refused(error.into()))?;
        let in_header = headers.get_all(header::AUTHORIZATION).iter().count();
        if in_header + usize::from(in_form.is_some()) > 1 {
            let problem =
                "the client must authenticate with exactly one of Bearer, Basic and client_secret";
            let refusal =
                oauth::error_response(StatusCode::BAD_REQUEST, "invalid_request", problem);
            return Err(Box::new(refusal));
        }
        Ok(match in_form {
            Some(secret) => Self {
                token: Ok(secret.clone()),
                scheme: Scheme::Any,
            },
            None => Self {
                token: authenticate::bearer_or_encoded_basic(headers),
                scheme: Scheme::of(headers),
            },
        })
    }

    /// Whether there is no credential.
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self.token, Err(Unauthenticated::Missing))
    }

    /// The scheme that was used, with which a refusal challenges the client.
    pub(super) const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Authenticates the caller.
    pub(super) async fn authenticate(
        self,
        app: &App,
        origin: &ClientInfo,
    ) -> Result<Caller, Box<Response>> {
        // The form has been read already, so the caller's state is current.
        let caller = PresentedCredential::Bearer(self.token).authenticate(app, origin);
        let caller = caller.await;
        caller.map_err(|error| Box::new(oauth::refusal_of(error, self.scheme)))
    }
}
