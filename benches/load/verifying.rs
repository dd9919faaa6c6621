//! Checks of tokens through each surface: of ones that are valid, and of one that nobody has made.

use std::rc::Rc;

use bytes::Bytes;
use hallpass::proto::hallpass::v1::VerifyTokenRequest;
use prost::Message;

use crate::{
    client::Wire,
    scenarios::{Next, call, picking},
    seed::unknown,
};

const VERIFY: &str = "/hallpass.v1.TokenService/VerifyToken";
const INTROSPECT: &str = "/oauth2/introspect";
const FORWARD_AUTH: &str = "/forward-auth";

/// Each with its name and its wire.
pub(crate) fn checks(readers: &Rc<[Rc<str>]>) -> [(&'static str, Wire, Next); 6] {
    let nobodys: Rc<str> = unknown().into();
    let verify = |token: &str| {
        let token = token.to_owned();
        let request = VerifyTokenRequest {
            token,
            ..VerifyTokenRequest::default()
        };
        Bytes::from(request.encode_to_vec())
    };
    let introspect = |token: &str| Bytes::from(format!("token={token}"));
    let (unknown_verify, unknown_form) = (verify(&nobodys), introspect(&nobodys));
    [
        (
            "verify",
            Wire::Proto,
            picking(readers, move |bearer, target| {
                call(VERIFY, Some(bearer), verify(target))
            }),
        ),
        (
            "introspect",
            Wire::Form,
            picking(readers, move |bearer, target| {
                call(INTROSPECT, Some(bearer), introspect(target))
            }),
        ),
        (
            "forward-auth",
            Wire::Get,
            picking(readers, |bearer, _| {
                call(FORWARD_AUTH, Some(bearer), Bytes::new())
            }),
        ),
        (
            "unknown verify",
            Wire::Proto,
            picking(readers, move |bearer, _| {
                call(VERIFY, Some(bearer), unknown_verify.clone())
            }),
        ),
        (
            "unknown introspect",
            Wire::Form,
            picking(readers, move |bearer, _| {
                call(INTROSPECT, Some(bearer), unknown_form.clone())
            }),
        ),
        (
            "unknown forward-auth",
            Wire::Get,
            picking(readers, move |_, _| {
                call(FORWARD_AUTH, Some(Rc::clone(&nobodys)), Bytes::new())
            }),
        ),
    ]
}
