//! The query of a Connect GET, which holds the whole request:
//! `?connect=v1&encoding=json&message=%7B%7D[&base64=1][&compression=gzip]`.
//!
//! Other parameters are ignored, such as cache busters: a procedure called by GET changes nothing, and without the
//! right parameters its message cannot be read.

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use percent_encoding::percent_decode;

use super::{error, protocol::Codec};
use crate::server::error::ApiError;

/// URL-safe base64 with optional padding: the protocol asks clients to omit it and servers to accept it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The parameters, not yet validated.
#[derive(Default)]
pub(super) struct Query {
    connect: Option<Vec<u8>>,
    encoding: Option<Vec<u8>>,
    message: Option<Vec<u8>>,
    base64: Option<Vec<u8>>,
    compression: Option<Vec<u8>>,
    repeated: Option<&'static str>,
}

impl Query {
    pub(super) fn parse(query: &str) -> Self {
        let mut parsed = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, slot) = match &*decode(name) {
                b"connect" => ("connect", &mut parsed.connect),
                b"encoding" => ("encoding", &mut parsed.encoding),
                b"message" => ("message", &mut parsed.message),
                b"base64" => ("base64", &mut parsed.base64),
                b"compression" => ("compression", &mut parsed.compression),
                _ => continue,
            };
            if slot.replace(decode(value)).is_some() {
                parsed.repeated = Some(name);
            }
        }
        parsed
    }

    /// Whether this looks like a call, so that an unknown path is reported in the protocol.
    pub(super) fn is_call(&self) -> bool {
        self.encoding.is_some() && self.message.is_some()
    }

    /// The codec, if it is supported.
    pub(super) fn codec(&self) -> Option<Codec> {
        match self.encoding.as_deref() {
            Some(b"proto") => Some(Codec::Proto),
            Some(b"json") => Some(Codec::Json),
            _ => None,
        }
    }

    pub(super) fn is_compressed(&self) -> Result<bool, ApiError> {
        match self.compression.as_deref() {
            None | Some(b"" | b"identity") => Ok(false),
            Some(b"gzip") => Ok(true),
            Some(_) => Err(error::unsupported("compression must be gzip or identity")),
        }
    }

    /// The message, decoded from base64 if needed.
    pub(super) fn into_message(self) -> Result<Bytes, ApiError> {
        if let Some(name) = self.repeated {
            return Err(error::malformed(format!("the query has {name} twice")));
        }
        if self
            .connect
            .as_deref()
            .is_some_and(|version| version != b"v1")
        {
            return Err(error::malformed("connect must be v1"));
        }
        let message = self
            .message
            .ok_or_else(|| error::malformed("the query has no message"))?;
        match self.base64.as_deref() {
            None | Some(b"" | b"0") => Ok(message.into()),
            Some(b"1") => BASE64
                .decode(message)
                .map(Bytes::from)
                .map_err(|_| error::malformed("the message is not URL-safe base64")),
            Some(_) => Err(error::malformed("base64 must be 0 or 1")),
        }
    }
}

/// Decodes like a form: Go's clients write a space as a plus.
fn decode(text: &str) -> Vec<u8> {
    percent_decode(text.replace('+', " ").as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use connectrpc_axum::Code;

    fn message(query: &str) -> Result<Bytes, Code> {
        Query::parse(query).into_message().map_err(|e| e.code())
    }

    #[test]
    fn message_is_text_or_base64_with_or_without_padding() {
        assert_eq!(
            message("message=%7B%22a%22:+1%7D&encoding=json").unwrap(),
            "{\"a\": 1}"
        );
        assert_eq!(message("connect=v1&base64=1&message=YQ").unwrap(), "a");
        assert_eq!(message("connect=v1&base64=1&message=YQ==").unwrap(), "a");
        assert_eq!(message("base64=1&message=YQ%3D%3D").unwrap(), "a");
        assert_eq!(message("base64=1&message=-_8").unwrap(), &b"\xfb\xff"[..]);
        assert_eq!(message("message=").unwrap(), "");
    }

    #[test]
    fn invalid_parameters_are_refused() {
        for query in [
            "",
            "connect=v1",
            "connect=v2&message=",
            "connect=&message=",
            "base64=1&message=Y",
            "base64=1&message=%2B%2F8%3D",
            "base64=2&message=",
            "message=a&message=b",
        ] {
            assert_eq!(message(query), Err(Code::InvalidArgument), "{query}");
        }
        let brotli = Query::parse("compression=br").is_compressed();
        assert_eq!(brotli.unwrap_err().code(), Code::Unimplemented);
    }
}
