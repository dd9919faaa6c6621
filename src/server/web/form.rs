//! Form-encoded bodies of the OAuth endpoints.

use axum::{body::Body, response::Response};
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::{app::error::FieldError, domain::secret::Secret};

use super::super::{error::oauth, unknown_name};

const FORM: &str = "application/x-www-form-urlencoded";

/// Refuses other content types before the body is read.
pub(super) fn check(headers: &HeaderMap) -> Result<(), Box<Response>> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let media_type = content_type.map(|value| value.split(';').next().unwrap_or(value).trim());
    let is_form = media_type.is_some_and(|found| found.eq_ignore_ascii_case(FORM));
    if is_form && !headers.contains_key(header::CONTENT_ENCODING) {
        return Ok(());
    }
    let description = format!("the body must be {FORM} without compression");
    refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, &description)
}

/// All parameters that are read.
const NAMES: [&str; 5] = [
    "token",
    "token_type_hint",
    "scope",
    "client_ip",
    "client_secret",
];

/// Parameters that restrict a request. Names that look like a misspelling of them are rejected: to ignore them, as
/// RFC 6749 §3.2 asks for unknown parameters in general, would drop the restriction.
const RESTRICTIONS: [&str; 2] = ["scope", "client_ip"];

/// OAuth's own parameters that look like these.
const OAUTH: [&str; 4] = [
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

/// The known parameters, at most two of each, since a third one adds nothing; and the error for the first parameter
/// that looks like a misspelt restriction. No `Debug`: tokens are among the values.
pub(super) struct Form(Vec<(&'static str, Secret)>, Option<String>);

impl Form {
    /// Reads a body of at most `max_bytes`.
    pub(super) async fn read(body: &mut Body, max_bytes: usize) -> Result<Self, Box<Response>> {
        match Limited::new(body, max_bytes).collect().await {
            Ok(body) => Ok(Self::parse(&body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                refuse(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
            }
            Err(_) => refuse(StatusCode::BAD_REQUEST, "the body is incomplete"),
        }
    }

    fn parse(body: &[u8]) -> Self {
        let mut form = Self(Vec::with_capacity(NAMES.len()), None);
        for (name, value) in form_urlencoded::parse(body) {
            let Some(name) = NAMES.into_iter().find(|known| *known == name) else {
                if form.1.is_none() {
                    form.1 = misspelt(&name);
                }
                continue;
            };
            if form.values(name).count() < 2 {
                form.0.push((name, Secret::new(value.into_owned())));
            }
        }
        form
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &Secret> {
        let values = self.0.iter().filter(move |(found, _)| *found == name);
        values.map(|(_, value)| value)
    }

    /// The value of a parameter; an empty one counts as absent (RFC 6749 §3.1).
    ///
    /// # Errors
    /// It is given more than once.
    pub(super) fn find(&self, name: &'static str) -> Result<Option<&Secret>, FieldError> {
        debug_assert!(NAMES.contains(&name), "{name} would never be found");
        let mut values = self.values(name);
        let value = values.next();
        if values.next().is_some() {
            return Err(FieldError::new(name, "must not be repeated"));
        }
        Ok(value.filter(|value| !value.expose().is_empty()))
    }

    /// Rejects misspelt restrictions, at endpoints that have restrictions.
    pub(super) fn refuse_misspelt(&self) -> Result<(), FieldError> {
        match &self.1 {
            None => Ok(()),
            Some(problem) => Err(FieldError::new("form", problem)),
        }
    }

    /// The token that the request is about.
    ///
    /// # Errors
    /// It is missing, or given more than once.
    pub(super) fn token(&self) -> Result<&Secret, FieldError> {
        // The token type that the client assumes makes no difference.
        self.find("token_type_hint")?;
        let token = self.find("token")?;
        token.ok_or_else(|| FieldError::new("token", "is required"))
    }
}

/// The error for a parameter that looks like a misspelt restriction.
fn misspelt(name: &str) -> Option<String> {
    let is_like = unknown_name::find_closest(name, RESTRICTIONS).is_some();
    (is_like && !OAUTH.contains(&name))
        .then(|| unknown_name::sentence("parameter", name, RESTRICTIONS))
}

fn refuse<T>(status: StatusCode, description: &str) -> Result<T, Box<Response>> {
    let refusal = oauth::error_response(status, "invalid_request", description);
    Err(Box::new(refusal))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(body: &'static str) -> Result<Option<String>, &'static str> {
        let form = Form::parse(body.as_bytes());
        let found = form.find("scope").map_err(|error| error.field)?;
        Ok(found.map(|value| value.expose().to_owned()))
    }

    #[test]
    fn single_value_is_read_and_an_empty_one_counts_as_absent() {
        assert_eq!(find("a=b&scope=a+b%3ac"), Ok(Some("a b:c".to_owned())));
        for body in ["", "scope", "scope=", "scopes=a", "token=a"] {
            assert_eq!(find(body), Ok(None), "{body}");
        }
        assert_eq!(find("scope=a&scope=a"), Err("scope"));
        assert_eq!(find("scope=&%73cope="), Err("scope"));
    }

    #[test]
    fn misspelt_restriction_is_rejected() {
        let message = |body: &str| {
            let refused = Form::parse(body.as_bytes()).refuse_misspelt();
            refused.err().map(|error| error.to_string())
        };
        for name in [
            "scopes",
            "Scope",
            "required_scope",
            "required_scopes",
            "scope[]",
        ] {
            let expected =
                format!("form: there is no parameter \"{name}\": did you mean \"scope\"?");
            assert_eq!(message(&format!("token=a&{name}=b")), Some(expected));
        }
        assert!(message("clientIp=::1").is_some_and(|message| message.contains("\"client_ip\"?")));
        let others = "token=a&scope=b&client_ip=::1&client_id=c&resource=d&access_token=e&x=f";
        assert_eq!(message(others), None);
        assert_eq!(
            message("client_assertion=a&client_assertion_type=b&client_secret=c"),
            None
        );
    }

    #[test]
    fn many_parameters_take_no_more_memory_than_few() {
        let many = "scope=a&x=b&".repeat(10_000) + "token=c";
        let form = Form::parse(many.as_bytes());
        assert_eq!(form.0.len(), 3);
        assert!(form.find("scope").is_err());
        let token = form.token().map(Secret::expose);
        assert_eq!(token.map_err(|error| error.field), Ok("c"));
    }

    #[test]
    fn only_uncompressed_forms_are_accepted() {
        let check = |content_type: &str, coding: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
            if let Some(coding) = coding {
                headers.insert(header::CONTENT_ENCODING, coding.parse().unwrap());
            }
            check(&headers).map_err(|response| response.status().as_u16())
        };
        assert_eq!(check(FORM, None), Ok(()));
        assert_eq!(
            check("Application/X-WWW-Form-Urlencoded; charset=UTF-8", None),
            Ok(())
        );
        assert_eq!(check("application/json", None), Err(415));
        assert_eq!(check("", None), Err(415));
        assert_eq!(check(FORM, Some("gzip")), Err(415));
    }
}
