//! What is measured, as requests.

use serde_json::json;

use crate::server::endpoints::{CREATE_TOKEN, FORWARD_AUTH, GET_TOKEN, INTROSPECT, VERIFY_TOKEN};

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Introspect,
    ForwardAuth,
    Verify,
    Get,
    Create,
}

impl Task {
    pub(super) const ALL: [Self; 5] = [
        Self::Introspect,
        Self::ForwardAuth,
        Self::Verify,
        Self::Get,
        Self::Create,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Introspect => "introspection",
            Self::ForwardAuth => "forward-auth",
            Self::Verify => "VerifyToken",
            Self::Get => "GetToken",
            Self::Create => "CreateToken",
        }
    }

    /// By how many clients at once. One alone shows what a create takes; many, how they share commits.
    pub(super) fn clients(self, asked: usize) -> Vec<usize> {
        match self {
            Self::Create if asked > 1 => vec![1, asked],
            _ => vec![asked],
        }
    }

    /// The request that asks with the token `bearer` about itself.
    pub(super) fn request(self, bearer: &str) -> Vec<u8> {
        let json_type = "application/json";
        match self {
            Self::Introspect => {
                let form = "application/x-www-form-urlencoded";
                post(INTROSPECT.path, form, bearer, &format!("token={bearer}"))
            }
            Self::ForwardAuth => format!(
                "GET {} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {bearer}\r\n\r\n",
                FORWARD_AUTH.path
            )
            .into_bytes(),
            Self::Verify => {
                let message = json!({ "token": bearer }).to_string();
                post(VERIFY_TOKEN.path, json_type, bearer, &message)
            }
            Self::Get => {
                let id = bearer.split('_').nth(1).unwrap_or_default();
                let message = json!({ "tokenId": id }).to_string();
                post(GET_TOKEN.path, json_type, bearer, &message)
            }
            Self::Create => create(bearer),
        }
    }
}

/// Creates a token with another one.
pub(super) fn create(bearer: &str) -> Vec<u8> {
    let message = json!({ "note": "of a benchmark" }).to_string();
    post(CREATE_TOKEN.path, "application/json", bearer, &message)
}

/// Creates the first token, with a password.
pub(super) fn sign_in(username: &str, password: &str) -> Vec<u8> {
    let message = json!({ "username": username, "password": password }).to_string();
    post(CREATE_TOKEN.path, "application/json", "", &message)
}

fn post(path: &str, content_type: &str, bearer: &str, body: &str) -> Vec<u8> {
    let bearer = match bearer {
        "" => String::new(),
        bearer => format!("Authorization: Bearer {bearer}\r\n"),
    };
    format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\n{bearer}Content-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
