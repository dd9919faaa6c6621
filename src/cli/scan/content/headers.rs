//! Parses the headers of gzip (RFC 1952), zip members (APPNOTE 4.3.7) and tar members (POSIX ustar, with the long names of
//! pax and GNU). It does not use the directory at the end of a zip file, which pipes do not have yet and which may leave
//! members out. Crates for these formats need a whole, well-formed archive from its beginning.

use std::ops::Range;

/// Maximum bytes read of a name or another field without a limit.
const MAX_NAME: usize = 4096;

/// The result of parsing a header.
pub(super) enum Header<T> {
    /// A header, and its length in bytes.
    Is(T, usize),
    /// It needs more bytes.
    Waits,
    /// Not a header.
    No,
}

/// A header of a zip member.
pub(super) struct Zip {
    pub(super) name: Vec<u8>,
    pub(super) kind: ZipKind,
}

/// How a zip member is stored.
pub(super) enum ZipKind {
    Stored,
    Deflated,
    /// Encrypted, or compressed with another method.
    Unsupported,
}

pub(super) const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
pub(super) const GZIP_MAGIC: &[u8] = b"\x1f\x8b\x08";

/// Parses bytes that begin with `ZIP_MAGIC`.
pub(super) fn zip(bytes: &[u8]) -> Header<Zip> {
    let Some(fixed) = bytes.get(..30) else {
        return Header::Waits;
    };
    let number = |at: usize| u16::from_le_bytes([fixed[at], fixed[at + 1]]);
    let (version, flags, method) = (fixed[4], number(6), number(8));
    let (name_len, extra_len) = (usize::from(number(26)), usize::from(number(28)));
    // The magic bytes occur by chance. A real member has a name and an existing version.
    if version > 99 || name_len == 0 {
        return Header::No;
    }
    let Some(name) = bytes.get(30..30 + name_len.min(MAX_NAME)) else {
        return Header::Waits;
    };
    if name.contains(&0) {
        return Header::No;
    }
    let kind = match method {
        _ if flags & 1 == 1 => ZipKind::Unsupported,
        0 => ZipKind::Stored,
        8 => ZipKind::Deflated,
        _ => ZipKind::Unsupported,
    };
    let name = name.to_vec();
    Header::Is(Zip { name, kind }, 30 + name_len + extra_len)
}

/// Parses bytes that begin with `GZIP_MAGIC`. Returns the name of the compressed file, if there is one.
pub(super) fn gzip(bytes: &[u8]) -> Header<Option<Vec<u8>>> {
    let Some(flags) = bytes.get(3) else {
        return Header::Waits;
    };
    // Reserved bits are zero, and only a few operating systems are defined.
    if flags & 0xe0 != 0
        || bytes
            .get(9)
            .is_some_and(|system| (14..255).contains(system))
    {
        return Header::No;
    }
    let mut at = 10;
    if flags & 4 != 0 {
        let Some(len) = bytes.get(at..at + 2) else {
            return Header::Waits;
        };
        at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
        if at > MAX_NAME {
            return Header::No;
        }
    }
    let mut name = None;
    for flag in [8, 16] {
        if flags & flag == 0 {
            continue;
        }
        let Some(text) = bytes.get(at..) else {
            return Header::Waits;
        };
        let Some(len) = text.iter().take(MAX_NAME).position(|byte| *byte == 0) else {
            let waits = text.len() < MAX_NAME;
            return if waits { Header::Waits } else { Header::No };
        };
        if flag == 8 {
            name = Some(text[..len].to_vec());
        }
        at += len + 1;
    }
    if flags & 2 != 0 {
        at += 2;
    }
    if bytes.len() < at {
        return Header::Waits;
    }
    Header::Is(name, at)
}

/// A header of a tar member.
pub(super) struct Tar {
    /// `None` if the header describes the next member.
    pub(super) name: Option<Vec<u8>>,
    /// The name of the next member, from such a header.
    pub(super) next_name: Option<Vec<u8>>,
    /// In bytes.
    pub(super) size: u64,
}

/// Parses a header block, with its content if that describes the next member.
pub(super) fn tar(bytes: &[u8]) -> Header<Tar> {
    let Some(block) = bytes.get(..TAR_BLOCK) else {
        return Header::Waits;
    };
    let sum = |block: &[u8]| block.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    let blank = 8 * u64::from(b' ');
    let expected = sum(block) - sum(&block[148..156]) + blank;
    if octal(&block[148..156]) != Some(expected) || expected == blank {
        return Header::No;
    }
    let Some(size) = size(&block[124..136]) else {
        return Header::No;
    };
    let kind = block[156];
    if !matches!(kind, b'L' | b'x') {
        let mut name = text(&block[..100]).to_vec();
        if block[257..].starts_with(b"ustar\0") && block[345] != 0 {
            name = [text(&block[345..500]), b"/", &name].concat();
        }
        let tar = Tar {
            name: (!matches!(kind, b'K' | b'g')).then_some(name),
            next_name: None,
            size,
        };
        return Header::Is(tar, TAR_BLOCK);
    }
    let len = usize::try_from(size).unwrap_or(MAX_NAME).min(MAX_NAME);
    let Some(content) = bytes.get(TAR_BLOCK..TAR_BLOCK + len) else {
        return Header::Waits;
    };
    let next_name = if kind == b'L' {
        Some(text(content).to_vec())
    } else {
        pax_path(content).map(<[u8]>::to_vec)
    };
    let tar = Tar {
        name: None,
        next_name,
        size,
    };
    Header::Is(tar, TAR_BLOCK)
}

pub(super) const TAR_BLOCK: usize = 512;

/// GNU tar writes sizes above eight gigabytes in binary.
fn size(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 == 0 {
        return octal(field);
    }
    let high = &field[1..4];
    let low = field[4..].try_into().map(u64::from_be_bytes).ok()?;
    (high == [0; 3] && low < 1 << 60).then_some(low)
}

fn octal(field: &[u8]) -> Option<u64> {
    let text = str::from_utf8(field).ok()?;
    let text = text.trim_matches(|char: char| char == ' ' || char == '\0');
    if text.is_empty() {
        return Some(0);
    }
    u64::from_str_radix(text, 8).ok()
}

/// The field up to the first zero.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The path in pax records, `LENGTH KEY=VALUE\n`.
fn pax_path(mut records: &[u8]) -> Option<&[u8]> {
    while !records.is_empty() {
        let space = records.iter().position(|byte| *byte == b' ')?;
        let len: usize = str::from_utf8(&records[..space]).ok()?.parse().ok()?;
        let range: Range<usize> = space + 1..len.checked_sub(1)?;
        if let Some(path) = records.get(range)?.strip_prefix(b"path=") {
            return Some(path);
        }
        records = records.get(len..)?;
    }
    None
}
