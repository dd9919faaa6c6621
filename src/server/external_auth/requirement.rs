//! The requirements that a proxy's operator sets for a request, in the query of `/forward-auth` or in the
//! `context_extensions` of Envoy's routes. Both use the same names.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use crate::{
    app::error::{FieldError, Unauthenticated},
    domain::{scope::ScopeSet, secret::Secret},
    server::{authenticate, unknown_name},
};

const SCOPE: &str = "scope";
const UNSCOPED: &str = "unscoped";
const CHALLENGE: &str = "challenge";
const CREDENTIAL: &str = "credential";
const NAMES: [&str; 4] = [SCOPE, UNSCOPED, CHALLENGE, CREDENTIAL];

/// For API clients that cannot set Authorization.
pub(in crate::server) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// What a request must present to pass.
#[derive(Clone, Debug, Default)]
pub(in crate::server) struct Requirement {
    /// Scopes that its token must all have.
    pub(in crate::server) scopes: ScopeSet,
    /// `unscoped=deny`: a token without scopes is rejected if scopes are required.
    pub(in crate::server) denies_unscoped: bool,
    /// `credential=x-api-key`: without an Authorization header, the token may be in `X-API-Key`.
    pub(in crate::server) takes_api_key: bool,
    /// `challenge=basic`: requests without a good token are asked for Basic.
    pub(in crate::server) challenges_basic: bool,
}

/// Where requirements are written, for error messages.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct ParameterSource {
    /// The name of the whole, such as `query`.
    pub(in crate::server) field: &'static str,
    /// What one of its entries is called.
    pub(in crate::server) entry: &'static str,
    /// Another name that is valid there but not a requirement.
    pub(in crate::server) also: Option<&'static str>,
}

impl Requirement {
    /// Parses the requirements. Unknown names are rejected: they may be misspelt requirements.
    ///
    /// # Errors
    /// A name is unknown or repeated, has an invalid value, or a scope is invalid.
    pub(in crate::server) fn read<'a>(
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        source: ParameterSource,
    ) -> Result<Self, FieldError> {
        let mut scopes = Vec::new();
        let (mut unscoped, mut challenge, mut credential) = (None, None, None);
        for (name, value) in pairs {
            let (known, slot) = match &*name {
                SCOPE => {
                    scopes.push(value);
                    continue;
                }
                UNSCOPED => (UNSCOPED, &mut unscoped),
                CHALLENGE => (CHALLENGE, &mut challenge),
                CREDENTIAL => (CREDENTIAL, &mut credential),
                name => {
                    let known = NAMES.into_iter().chain(source.also);
                    let problem = unknown_name::sentence(source.entry, name, known);
                    return Err(FieldError::new(source.field, problem));
                }
            };
            if slot.replace(value).is_some() {
                return Err(FieldError::new(known, "must not be repeated"));
            }
        }
        Ok(Self {
            scopes: required(scopes.iter().map(|scope| &**scope))?,
            denies_unscoped: is_set(UNSCOPED, unscoped.as_deref(), "deny")?,
            takes_api_key: is_set(CREDENTIAL, credential.as_deref(), "x-api-key")?,
            challenges_basic: is_set(CHALLENGE, challenge.as_deref(), "basic")?,
        })
    }

    /// The token of a request, from where git, docker, pip and API clients put it, but never from a cookie, which
    /// any page could make a browser send. If there is an Authorization header, valid or not, nothing else counts.
    pub(super) fn presented_token(&self, headers: &HeaderMap) -> Result<Secret, Unauthenticated> {
        match authenticate::bearer_or_basic(headers) {
            Err(Unauthenticated::Missing) if self.takes_api_key => api_key(headers),
            presented => presented,
        }
    }
}

/// The scopes in these texts, separated by spaces. An empty text is an error: it probably comes from a variable
/// that is not set.
fn required<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<ScopeSet, FieldError> {
    let scopes = texts.into_iter().flat_map(|text| text.split(' '));
    ScopeSet::parse(scopes).map_err(|error| FieldError::new(SCOPE, error))
}

/// Whether the parameter is set; `only` is its one valid value.
fn is_set(name: &'static str, value: Option<&str>, only: &str) -> Result<bool, FieldError> {
    match value {
        None => Ok(false),
        Some(value) if value == only => Ok(true),
        Some(_) => Err(FieldError::new(name, format!("must be \"{only}\""))),
    }
}

fn api_key(headers: &HeaderMap) -> Result<Secret, Unauthenticated> {
    let mut keys = headers.get_all(API_KEY).iter();
    let key = keys.next().ok_or(Unauthenticated::Missing)?;
    let key = key.to_str().map_err(|_| Unauthenticated::Malformed)?;
    if keys.next().is_some() {
        return Err(Unauthenticated::Malformed);
    }
    Ok(Secret::new(key.trim_matches(' ').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_key_counts_only_if_enabled_and_without_authorization() {
        let presented = |takes_api_key, fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().unwrap());
            }
            let requirement = Requirement {
                takes_api_key,
                ..Requirement::default()
            };
            let presented = requirement.presented_token(&headers);
            presented.map(|secret| secret.expose().to_owned())
        };
        let key = ("x-api-key", "abc");
        assert_eq!(presented(true, &[key]).as_deref(), Ok("abc"));
        assert_eq!(presented(false, &[key]), Err(Unauthenticated::Missing));
        assert_eq!(presented(true, &[]), Err(Unauthenticated::Missing));
        assert_eq!(
            presented(true, &[key, key]),
            Err(Unauthenticated::Malformed)
        );
        let bearer = ("authorization", "Bearer def");
        assert_eq!(presented(true, &[bearer, key]).as_deref(), Ok("def"));
        for bad in ["Digest x", "Basic !", "Bearer"] {
            let got = presented(true, &[("authorization", bad), key]);
            assert_eq!(got, Err(Unauthenticated::Malformed), "{bad}");
        }
    }
}
