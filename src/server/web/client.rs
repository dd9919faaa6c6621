//! Who asks at OAuth's endpoints: a client shows a token in one of three ways, as Bearer (RFC 6750 §2.1), as the
//! password of Basic, or as `client_secret` in the form (RFC 6749 §2.3.1). What else it calls itself is not looked
//! at, and users' passwords never work here.

use axum::response::Response;
use http::{HeaderMap, StatusCode, header};

use crate::{
    app::{
        App, Error,
        caller::{Caller, Origin},
        error::Unauthenticated,
    },
    domain::secret::Secret,
};

use super::{
    super::{
        auth::{self, PresentedCredential},
        error::oauth::{self, Scheme},
    },
    form::Form,
};

/// What a client shows of itself.
pub(super) struct Client {
    token: Result<Secret, Unauthenticated>,
    scheme: Scheme,
}

impl Client {
    /// Reads it from the header and the form.
    ///
    /// # Errors
    /// A client must not use more than one way in a request (RFC 6749 §2.3), whether they agree or not.
    pub(super) fn read(headers: &HeaderMap, form: &Form) -> Result<Self, Box<Response>> {
        let refused = |error: Error| Box::new(oauth::refusal(error));
        let in_form = form.find("client_secret");
        let in_form = in_form.map_err(|error| refused(error.into()))?;
        let in_header = headers.get_all(header::AUTHORIZATION).iter().count();
        if in_header + usize::from(in_form.is_some()) > 1 {
            let problem = "the client must show its credential in one way: as Bearer, as Basic or as client_secret";
            let refusal = oauth::object(StatusCode::BAD_REQUEST, "invalid_request", problem);
            return Err(Box::new(refusal));
        }
        Ok(match in_form {
            Some(secret) => Self {
                token: Ok(secret.clone()),
                scheme: Scheme::Any,
            },
            None => Self {
                token: auth::bearer_or_encoded_basic(headers),
                scheme: Scheme::of(headers),
            },
        })
    }

    /// Whether it shows nothing.
    pub(super) const fn is_absent(&self) -> bool {
        matches!(self.token, Err(Unauthenticated::Missing))
    }

    /// How it shows that, which is how a refusal asks for it.
    pub(super) const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The caller that it stands for.
    pub(super) async fn authenticate(
        self,
        app: &App,
        origin: &Origin,
    ) -> Result<Caller, Box<Response>> {
        // The form has been read already, so nobody need look at the caller again.
        let caller = PresentedCredential::Bearer(self.token).authenticate(app, origin);
        let caller = caller.await;
        caller.map_err(|error| Box::new(oauth::refusal_of(error, self.scheme)))
    }
}
