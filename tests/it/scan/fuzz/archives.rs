//! Nested archives and encodings, whole or damaged.

use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder},
};

use super::{Case, SeededRng};
use crate::{cli::sandbox::Sandbox, scan::write};

/// Files in the folder `tree`, and a scan of each.
pub(super) fn make(rng: &mut SeededRng, sandbox: &Sandbox, token: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    for n in 0..=rng.below(4) {
        let fill = rng.below(3_000);
        let mut content = match rng.below(5) {
            0 => gzip(&vec![0; fill * 10_000]),
            1 => rng.bytes(fill),
            2 => "word ".repeat(fill).into_bytes(),
            3 => STANDARD.encode(rng.bytes(fill)).into_bytes(),
            _ => token.repeat(rng.below(400)).into_bytes(),
        };
        content.extend(format!("\n{token}\n").bytes());
        // The maximum depth of a search.
        for _ in 0..rng.below(4) {
            content = pack(rng, &content);
        }
        let is_damaged = rng.one_in(2);
        if is_damaged {
            rng.damage(&mut content);
        }
        let name = *rng.pick(&["a.gz", "b.zip", "c\u{1b}[2J.tar", "d\n.txt", "e", "f/g/h"]);
        let path = format!("tree/{n}{name}");
        write(sandbox, &path, content);
        cases.push(Case {
            args: vec![path],
            is_whole: !is_damaged,
        });
    }
    cases
}

fn pack(rng: &mut SeededRng, content: &[u8]) -> Vec<u8> {
    match rng.below(7) {
        0 => gzip(content),
        1 => [gzip(b"first"), gzip(content)].concat(),
        2 => {
            let before = zip(&rng.bytes(9), b"");
            [before, zip(b"a/b", content), zip(b"", content)].concat()
        }
        3 => [tar(b"first", b"x"), tar(b"\x1b]0;b\x07", content)].concat(),
        4 => STANDARD.encode(content).into_bytes(),
        5 => {
            let text = STANDARD.encode(content).into_bytes();
            text.chunks(76).collect::<Vec<_>>().join(&b"\r\n"[..])
        }
        // As UTF-16, where it is text.
        _ if content.contains(&0) => gzip(content),
        _ => content.iter().flat_map(|byte| [*byte, 0]).collect(),
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A member of a zip archive.
fn zip(name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    let mut member = b"PK\x03\x04\x14\0\x08\0\x08\0\0\0\0\0".to_vec();
    member.extend([0; 12]);
    member.extend([u8::try_from(name.len()).unwrap(), 0, 0, 0]);
    member.extend(name);
    member.extend(encoder.finish().unwrap());
    member
}

/// A member of a tar archive.
fn tar(name: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name);
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[156] = b'0';
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    let mut member = [&header[..], content].concat();
    member.resize(member.len().next_multiple_of(512), 0);
    member
}
