use std::io::{self, Read, Write};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder},
};
use proptest::prelude::*;

use super::*;
use crate::domain::{
    id::{Id, TokenId},
    token_text::TokenPrefix,
};

fn token(id: u128) -> String {
    let id = TokenId::from_id(Id::from_u128(id));
    let token = TokenText::generate(&TokenPrefix::default(), id);
    token.expose().to_owned()
}

/// Returns bytes in chunks of a given size.
struct Chunks<'a>(&'a [u8], usize);

impl Read for Chunks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(self.1);
        (&mut self.0).read(&mut buffer[..len])
    }
}

/// What was found, in order: the members, the location, whether it was in base64, the token.
type Found = Vec<(String, Location, bool, String)>;

fn search(bytes: &[u8], chunk: usize) -> (Found, Vec<&'static str>) {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut on_event = |members: &[String], event| match event {
        Event::Found(location, encoding, token) => {
            let token: TokenText = token;
            let token = token.expose().to_owned();
            found.push((members.join("!"), location, encoding.is_some(), token));
        }
        Event::Unreadable(problem) => problems.push(problem),
        Event::NotUnpacked => problems.push("not unpacked"),
    };
    let mut content = Content::new();
    content
        .search(Chunks(bytes, chunk), |_| (), &mut on_event)
        .unwrap();
    (found, problems)
}

/// Where tokens were found, `MEMBERS:LINE:COLUMN`, with a `*` in base64.
fn places(bytes: &[u8], token: &str) -> Vec<String> {
    let (found, problems) = search(bytes, BUFFER_BYTES);
    for chunk in [1, 7, 4096] {
        assert_eq!(search(bytes, chunk), (found.clone(), problems.clone()));
    }
    assert!(problems.is_empty(), "{problems:?}");
    let places = found
        .into_iter()
        .map(|(members, location, encoded, found)| {
            assert_eq!(found, token);
            let encoded = if encoded { "*" } else { "" };
            format!("{members}:{}:{}{encoded}", location.line, location.column)
        });
    places.collect()
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A member of a zip archive that was written to a pipe: its sizes are not in its header.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).unwrap();
    let mut header = b"PK\x03\x04\x14\0\x08\0\x08\0\0\0\0\0".to_vec();
    header.extend([0; 12]);
    header.extend([u8::try_from(name.len()).unwrap(), 0, 0, 0]);
    header.extend(name.bytes());
    header.extend(encoder.finish().unwrap());
    header.extend(b"PK\x07\x08 and sizes");
    header
}

fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
    header[156] = b'0';
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    let mut member = [&header[..], content].concat();
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

fn wide(text: &str) -> impl Iterator<Item = u16> {
    text.encode_utf16()
}

/// Breaks `text` into lines of `width` with `between` between them.
fn wrapped(text: &str, width: usize, between: &str) -> String {
    let lines = text.as_bytes().chunks(width);
    let lines: Vec<_> = lines.map(|line| str::from_utf8(line).unwrap()).collect();
    lines.join(between)
}

#[test]
fn tokens_are_found_in_base64_however_it_is_written() {
    let token = token(7);
    for before in ["", "x", "xy", "user:"] {
        let encoded = STANDARD.encode(format!("{before}{token}\n"));
        let url_safe = URL_SAFE_NO_PAD.encode(format!("{before}{token}~~~"));
        for text in [
            encoded.clone(),
            format!("data:\n  token: {encoded}\n"),
            format!("{{\"auths\": {{\"x\": {{\"auth\": \"{url_safe}\"}}}}}}"),
            format!("https://example.com/a/bc/{url_safe}"),
            wrapped(&encoded, 64, "\n"),
            wrapped(&encoded, 76, "\r\n"),
            format!("token: |\n    {}", wrapped(&encoded, 60, "\n    ")),
            format!("{{\"t\": \"\\n{}\\n\"}}", wrapped(&encoded, 76, "\\n")),
            format!("> {}", wrapped(&encoded, 72, "\n> ")),
            wrapped(&encoded, 76, "\" \\\n  \""),
            wrapped(&encoded, 76, "=\n"),
            STANDARD.encode(&encoded),
            wrapped(&STANDARD.encode(wrapped(&encoded, 76, "\n")), 76, "\n"),
        ] {
            let places = places(format!("# text\n\n{text}\n\nmore").as_bytes(), &token);
            assert_eq!(places.len(), 1, "{text}");
            assert!(places[0].ends_with('*'), "{places:?}");
        }
    }
}

#[test]
fn a_token_in_much_base64_is_found_wherever_it_stands() {
    let token = token(7);
    for before in (0..30_000).step_by(997) {
        let fill: Vec<u8> = (0..=255).cycle().take(before).collect();
        let content = [&fill, token.as_bytes(), &fill].concat();
        let text = wrapped(&STANDARD.encode(content), 76, "\n");
        let found = search(format!("a\nb {text}").as_bytes(), BUFFER_BYTES).0;
        assert_eq!(found.len(), 1, "{before}");
        assert_eq!((found[0].1.line, found[0].1.column), (2, 3));
    }
}

#[test]
fn tokens_are_found_that_are_broken_over_lines() {
    let token = token(7);
    for between in [
        "\n",
        "\r\n",
        "=\n",
        "=\r\n",
        "\n    ",
        "\\\n",
        "\" \\\n  \"",
        "\\n",
        "\n> ",
    ] {
        for at in 1..token.len() {
            let text = format!("a\nToken: {}{between}{}\nb", &token[..at], &token[at..]);
            let places = places(text.as_bytes(), &token);
            assert_eq!(places, [":2:8"], "{between:?} {at}");
        }
    }
    let text = token.replace('_', "=5F");
    assert_eq!(
        places(format!("A=3D{text}=\n").as_bytes(), &token),
        [":1:5"]
    );
    let text = token.replace('_', "%5f");
    assert_eq!(places(format!("?a={text}&b").as_bytes(), &token), [":1:4"]);
    // The control: a space alone ends a token.
    let text = format!("{} {}", &token[..40], &token[40..]);
    assert!(places(text.as_bytes(), &token).is_empty());
}

#[test]
fn lines_of_24_characters_are_met_wherever_they_begin() {
    let token = token(7);
    let encoded = STANDARD.encode(&token);
    for shift in 0..32 {
        for (text, what) in [(&token, ""), (&encoded, "*")] {
            let at = |width| {
                let text = wrapped(text, width, "\n");
                places(format!("{}{text}\n", " ".repeat(shift)).as_bytes(), &token)
            };
            assert_eq!(at(24), [format!(":1:{}{what}", shift + 1)], "{shift}");
            // The control: shorter lines are no run.
            assert!(at(22).is_empty(), "{shift}");
        }
    }
}

#[test]
fn tokens_are_found_in_utf_16() {
    let token = token(7);
    for before in [
        "",
        "\u{feff}",
        "a\n\u{416}\u{4e2d}: ",
        "\u{feff}line\r\nTOKEN=",
    ] {
        for after in ["", "\r\n", "\u{416}"] {
            let text = format!("{before}{token}{after}");
            let little: Vec<u8> = wide(&text).flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = wide(&text).flat_map(u16::to_be_bytes).collect();
            for bytes in [
                little,
                big,
                [
                    &b"odd"[..],
                    &wide(&text).flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
                ]
                .concat(),
            ] {
                assert_eq!(places(&bytes, &token).len(), 1, "{text:?}");
            }
        }
    }
    let text = format!("\u{feff}$token = '{}'\r\n", STANDARD.encode(&token));
    let encoded: Vec<u8> = wide(&text).flat_map(u16::to_le_bytes).collect();
    assert_eq!(places(&encoded, &token), [":1:23*"]);
    // PowerShell's -EncodedCommand.
    let text: Vec<u8> = wide(&token).flat_map(u16::to_le_bytes).collect();
    assert_eq!(places(STANDARD.encode(text).as_bytes(), &token), [":1:1*"]);
}

#[test]
fn tokens_are_found_in_archives_with_their_members() {
    let token = token(7);
    let content = format!("a\nb {token}\n");
    let content = content.as_bytes();
    let other = tar("first", &[b'\n'; 700]);
    let archive = [&other[..], &tar("dir/x", content), &other, &tar("y", b"")].concat();
    let zipped = [zip("a", b"nothing"), zip("d/b", content), zip("c", b"")].concat();
    let long = [&tar("x", content)[..]].concat();
    for (bytes, place) in [
        (gzip(content), "gzip:2:3"),
        (
            [gzip(b"a\n"), gzip(b"\n"), gzip(content)].concat(),
            "gzip:4:3",
        ),
        (
            [gzip(&content[..20]), gzip(&content[20..])].concat(),
            "gzip:2:3",
        ),
        (archive.clone(), "dir/x:2:3"),
        (gzip(&archive), "gzip!dir/x:2:3"),
        (zipped.clone(), "d/b:2:3"),
        ([b"#!/bin/sh\nexit\n", &zipped[..]].concat(), "d/b:2:3"),
        (
            zip("in.tar.gz", &gzip(&archive)),
            "in.tar.gz!gzip!dir/x:2:3",
        ),
        (tar("in.zip", &zipped), "in.zip!d/b:2:3"),
        (long, "x:2:3"),
        (gzip(&gzip(&gzip(content))), "gzip!gzip!gzip:2:3"),
        // What Helm keeps in a Secret.
        (
            STANDARD.encode(STANDARD.encode(gzip(content))).into_bytes(),
            "base64!base64!gzip:2:3",
        ),
        (gzip(STANDARD.encode(&token).as_bytes()), "gzip:1:1*"),
    ] {
        assert_eq!(places(&bytes, &token), [place]);
    }
}

#[test]
fn what_is_not_unpacked_to_its_end_is_told() {
    let told = |bytes: &[u8]| {
        let (found, problems) = search(bytes, BUFFER_BYTES);
        assert!(found.is_empty());
        problems
    };
    let noise: Vec<u8> = (0..9_000_u32)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes())
        .collect();
    let whole = gzip(&noise);
    assert!(told(&whole).is_empty());
    assert_eq!(told(&whole[..4000]), ["it ends before its content does"]);
    let mut damaged = whole.clone();
    damaged[10] = 7;
    assert_eq!(told(&damaged), ["it is damaged"]);
    // Three magic bytes within other data are no archive.
    assert!(told(&[b"x", &damaged[..]].concat()).is_empty());
    let deep = (0..MAX_LEVEL + 2).fold(noise, |content, _| gzip(&content));
    assert_eq!(told(&deep), ["archives are nested too deep"]);
    let mut encrypted = zip("a", b"");
    encrypted[6] |= 1;
    assert_eq!(told(&encrypted), ["not unpacked"]);
}

#[test]
fn a_bomb_is_left_when_it_has_unpacked_to_too_much() {
    let zeros = io::repeat(0).take(2 * MAX_UNPACKED);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    io::copy(&mut { zeros }, &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    let token = token(7);
    let bytes = [&bomb[..], b"\n", token.as_bytes()].concat();
    let (found, problems) = search(&bytes, BUFFER_BYTES);
    assert_eq!(problems, ["it unpacks to too much"]);
    assert_eq!(found.len(), 1, "the rest is searched");
}

proptest! {
    #[test]
    fn every_token_has_its_line_column_and_offset_however_it_is_read(
        parts in prop::collection::vec("([a-z\\-\n]|\r\n){0,120}", 1..6),
        chunk in 1_usize..300,
        fill in prop::sample::select(vec![0, 100, BUFFER_BYTES - 300, 2 * BUFFER_BYTES - 200]),
    ) {
        let token = token(7);
        let line = "- \n".repeat(fill / 3);
        let text = [line, parts.join(&token)].concat();
        let expected: Vec<_> = text
            .match_indices(&token)
            .map(|(offset, token)| {
                let before = &text[..offset];
                let line_start = before.rfind('\n').map_or(0, |at| at + 1);
                let location = Location {
                    line: to_u64(before.matches('\n').count() + 1),
                    column: to_u64(offset - line_start + 1),
                    offset: to_u64(offset),
                };
                (String::new(), location, false, token.to_owned())
            })
            .collect();
        prop_assert_eq!(search(text.as_bytes(), chunk).0, expected);
    }

    #[test]
    fn bytes_of_any_kind_are_searched_alike_in_any_pieces(
        parts in prop::collection::vec(prop_oneof![
            "[A-Za-z0-9+/_=\\-]{0,200}".prop_map(String::into_bytes),
            "[ \n\r\\\\\"'>=%5F]{0,20}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..200),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| gzip(&bytes)),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| zip("a", &bytes)),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(|bytes| tar("a", &bytes)),
            "[a-z\n]{0,90}".prop_map(|text| wide(&text).flat_map(u16::to_le_bytes).collect()),
            Just(token(7)).prop_map(String::into_bytes),
        ], 0..9),
        chunk in 1_usize..3_000,
    ) {
        let bytes = parts.concat();
        prop_assert_eq!(search(&bytes, chunk), search(&bytes, BUFFER_BYTES));
    }
}
