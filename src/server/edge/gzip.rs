//! gzip with a limit on the decompressed size: 200 KB can expand to 200 MB.

use std::io::{Read, Write};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};

use super::error;
use crate::server::error::ApiError;

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
    use connectrpc_axum::Code;

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
