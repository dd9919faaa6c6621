//! Framing and compression of messages, both within limits.
//!
//! The five-byte prefix of messages in Connect streams, gRPC and gRPC-web: flags, and the length in four bytes,
//! big-endian.

use std::io::{Read, Write};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use connectrpc_axum::Code;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

use super::{error, protocol::Protocol};
use crate::{domain::reason::Reason, server::error::ApiError};

pub(super) const PREFIX_BYTES: usize = 5;
/// Flag of a compressed message.
pub(super) const COMPRESSED: u8 = 0x01;
/// Flag of Connect's end-of-stream message.
pub(super) const END_OF_STREAM: u8 = 0x02;
/// Flag of gRPC-web's trailers.
pub(super) const TRAILERS: u8 = 0x80;

/// A message with its prefix.
pub(super) fn wrap(flags: u8, message: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    frame.put_u8(flags);
    frame.put_u32(u32::try_from(message.len()).expect("replies are far below 4 GiB"));
    frame.put_slice(message);
    frame.freeze()
}

/// Splits off the first message with its flags; `None` while it is incomplete.
pub(super) fn split(bytes: &Bytes) -> Option<(u8, Bytes, Bytes)> {
    let [flags, a, b, c, d] = *bytes.first_chunk::<PREFIX_BYTES>()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    let end = PREFIX_BYTES.checked_add(length)?;
    (bytes.len() >= end).then(|| (flags, bytes.slice(PREFIX_BYTES..end), bytes.slice(end..)))
}

/// The only message of a request. `compressed`: whether the request named an encoding.
pub(super) fn only_message(
    body: &Bytes,
    compressed: bool,
    limit_bytes: usize,
) -> Result<Bytes, ApiError> {
    if body.is_empty() {
        return Err(error::unsupported(
            "the request has no message; exactly one is expected",
        ));
    }
    let Some((flags, message, rest)) = split(body) else {
        return Err(error::malformed("the request ends within a message"));
    };
    if flags & !COMPRESSED != 0 {
        return Err(error::malformed("the message has unknown flags"));
    }
    // Checked first, so that a message that is too large is not reported as several.
    if message.len() > limit_bytes {
        return Err(error::too_large(limit_bytes));
    }
    if !rest.is_empty() {
        return Err(error::unsupported(
            "the request has several messages; exactly one is expected",
        ));
    }
    match (flags & COMPRESSED != 0, compressed) {
        (true, false) => {
            let message = "the message is compressed, but the request names no encoding";
            Err(ApiError::new(
                Code::Internal,
                Reason::MalformedRequest,
                message,
            ))
        }
        (true, true) if !message.is_empty() => decompress(&message, limit_bytes),
        _ => Ok(message),
    }
}

/// Decodes gRPC-web-text, which may consist of several padded pieces of base64.
pub(super) fn from_base64(text: &[u8]) -> Result<Bytes, ApiError> {
    let malformed = || error::malformed("the body is not valid base64");
    let mut plain = Vec::with_capacity(text.len() / 4 * 3);
    let mut rest = text;
    while !rest.is_empty() {
        let padding = rest.iter().position(|b| *b == b'=').unwrap_or(rest.len());
        let end = padding.next_multiple_of(4).min(rest.len());
        let (piece, after) = rest.split_at(end.max(1));
        STANDARD
            .decode_vec(piece, &mut plain)
            .map_err(|_| malformed())?;
        rest = after;
    }
    Ok(plain.into())
}

/// Encodes gRPC-web-text.
pub(super) fn to_base64(plain: &[u8]) -> Bytes {
    STANDARD.encode(plain).into()
}

/// The largest body that can hold a message within the limit: gzip may expand what it cannot compress, and base64
/// adds a third.
pub(super) fn largest_body(protocol: Protocol, limit_bytes: usize) -> usize {
    let binary = limit_bytes.saturating_add(PREFIX_BYTES + 1024);
    match protocol {
        Protocol::GrpcWebText => binary.saturating_mul(4) / 3,
        _ => binary,
    }
}

/// Decompresses at most `limit_bytes`.
pub(super) fn decompress(packed: &[u8], limit_bytes: usize) -> Result<Bytes, ApiError> {
    let mut plain = Vec::with_capacity(packed.len().saturating_mul(4).min(limit_bytes));
    let past_limit = u64::try_from(limit_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    MultiGzDecoder::new(packed)
        .take(past_limit)
        .read_to_end(&mut plain)
        .map_err(|_| error::malformed("the message is not valid gzip"))?;
    if plain.len() > limit_bytes {
        return Err(error::too_large(limit_bytes));
    }
    Ok(plain.into())
}

/// Compresses a reply at the fastest level: replies are small, and the network is rarely the bottleneck.
pub(super) fn compress(plain: &[u8]) -> Result<Bytes, ApiError> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 2), Compression::fast());
    encoder
        .write_all(plain)
        .and_then(|()| encoder.finish())
        .map(Bytes::from)
        .map_err(|_| error::internal("the reply cannot be compressed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(body: &[u8], compressed: bool) -> Result<Bytes, Code> {
        only_message(&Bytes::copy_from_slice(body), compressed, 10).map_err(|e| e.code())
    }

    #[test]
    fn exactly_one_message_is_accepted() {
        assert_eq!(only(&wrap(0, b"abc"), false).unwrap(), "abc");
        assert_eq!(only(&wrap(0, b""), true).unwrap(), "");
        assert_eq!(only(b"", false), Err(Code::Unimplemented));
        let two = [wrap(0, b"a"), wrap(0, b"b")].concat();
        assert_eq!(only(&two, false), Err(Code::Unimplemented));
        let cut = [&wrap(0, b"a")[..], b"x"].concat();
        assert_eq!(only(&cut, false), Err(Code::Unimplemented));
    }

    #[test]
    fn partial_frames_unknown_flags_and_large_messages_are_refused() {
        assert_eq!(only(&[0, 0, 0], false), Err(Code::InvalidArgument));
        assert_eq!(
            only(&wrap(0, b"abc")[..7], false),
            Err(Code::InvalidArgument)
        );
        assert_eq!(
            only(&wrap(END_OF_STREAM, b"{}"), false),
            Err(Code::InvalidArgument)
        );
        assert_eq!(
            only(&wrap(TRAILERS, b""), false),
            Err(Code::InvalidArgument)
        );
        assert_eq!(
            only(&wrap(0, b"12345678901"), false),
            Err(Code::ResourceExhausted)
        );
    }

    #[test]
    fn compression_must_be_announced() {
        let packed = compress(b"a").unwrap();
        let frame = wrap(COMPRESSED, &packed);
        assert_eq!(only_message(&frame, true, 100).unwrap(), "a");
        assert_eq!(
            only_message(&frame, false, 100).unwrap_err().code(),
            Code::Internal
        );
        assert_eq!(only(&wrap(COMPRESSED, b""), true).unwrap(), "");
    }

    #[test]
    fn base64_comes_in_one_or_more_padded_pieces() {
        assert_eq!(from_base64(b"").unwrap(), "");
        assert_eq!(from_base64(b"YWJj").unwrap(), "abc");
        assert_eq!(from_base64(b"YQ==YWJjZA==YWI=").unwrap(), "aabcdab");
        for bad in [&b"="[..], b"YQ", b"YQ=", b"====", b"Y===", b"YW Jj"] {
            assert!(from_base64(bad).is_err(), "{bad:?}");
        }
        assert_eq!(from_base64(&to_base64(b"hello")).unwrap(), "hello");
    }

    #[test]
    fn the_limit_holds_after_decompression() {
        let packed = compress(&[b'a'; 1000]).unwrap();
        assert_eq!(decompress(&packed, 1000).unwrap().len(), 1000);
        assert_eq!(
            decompress(&packed, 999).unwrap_err().code(),
            Code::ResourceExhausted
        );
    }

    #[test]
    fn broken_gzip_is_the_callers_fault() {
        let packed = compress(b"hello").unwrap();
        let mut flipped = packed.to_vec();
        flipped[packed.len() - 6] ^= 1;
        for broken in [
            &packed[..packed.len() - 1],
            &flipped,
            b"hello",
            &[&packed[..], b"x"].concat(),
        ] {
            assert_eq!(
                decompress(broken, 100).unwrap_err().code(),
                Code::InvalidArgument
            );
        }
    }
}
