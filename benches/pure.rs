//! The parts that need no server: token texts, page tokens, hashing, and the search for tokens.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hallpass::domain::{
    id::TokenId,
    page::{PageKey, PageQuery, Position},
    time::Timestamp,
    token_search::find_tokens,
    token_text::{TokenPrefix, TokenText},
};

fn token_text(c: &mut Criterion) {
    let (prefix, id) = (
        TokenPrefix::default(),
        TokenId::generate(Timestamp::from_micros(0)),
    );
    let text = TokenText::generate(&prefix, id);
    c.bench_function("token text: generate", |b| {
        b.iter(|| TokenText::generate(&prefix, black_box(id)));
    });
    c.bench_function("token text: parse", |b| {
        b.iter(|| TokenText::parse(black_box(text.expose())));
    });
    c.bench_function("token text: hash", |b| b.iter(|| black_box(&text).hash()));
    let mut wrong = text.expose().to_owned();
    wrong.pop();
    wrong.push('!');
    c.bench_function("token text: refuse", |b| {
        b.iter(|| TokenText::parse(black_box(&wrong)).is_err());
    });
    let (one, other) = (text.hash(), text.hash());
    c.bench_function("token hash: compare", |b| {
        b.iter(|| black_box(&one).matches(black_box(&other)));
    });
}

fn page_token(c: &mut Criterion) {
    let key = PageKey::from_row([7; 32]);
    let query = || {
        PageQuery::new("hallpass.v1.TokenService/ListTokens")
            .field(b"")
            .field(b"0000000000000000000000")
    };
    let position = Position {
        major: 1_700_000_000_000_000,
        minor: 1 << 100,
    };
    let (list, token) = (query(), key.sign(&query(), position));
    c.bench_function("page token: query", |b| b.iter(query));
    c.bench_function("page token: sign", |b| {
        b.iter(|| key.sign(&list, black_box(position)));
    });
    c.bench_function("page token: verify", |b| {
        b.iter(|| key.verify(&list, black_box(&token)));
    });
}

/// At least `len` bytes of `words` with `separators`, in an order that no processor predicts.
fn text_of(len: usize, words: &[&str], separators: &[&str]) -> Vec<u8> {
    let mut text = Vec::with_capacity(len + 256);
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut draw = |of: usize| {
        // xorshift64: quick, and the same in each run.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).expect("31 bits") % of
    };
    while text.len() < len {
        text.extend_from_slice(words[draw(words.len())].as_bytes());
        text.extend_from_slice(separators[draw(separators.len())].as_bytes());
    }
    text
}

/// On one core, from memory, over data from the usual to the worst.
fn token_search(c: &mut Criterion) {
    const SMALL: usize = 64 << 20;
    const CODE: &[&str] = &[
        "fn",
        "let",
        "pub(crate)",
        "token_text",
        "self",
        "if",
        "x",
        "HALLPASS_TOKEN",
        "impl",
        "count_live",
        "return",
        "// a comment of several words, as people write them",
        "0x7fff_ffff",
        "user_id",
        "String",
    ];
    const SEPARATORS: &[&str] = &[" ", " ", "(", ".", "::", ";\n    ", ", ", " = ", "\n"];
    let token = TokenText::generate(
        &TokenPrefix::default(),
        TokenId::generate(Timestamp::from_micros(0)),
    );
    let tail = token
        .expose()
        .rsplit('_')
        .next()
        .expect("it has a tail")
        .to_owned();
    let base64 = [
        "Zm9vYmFyYmF6",
        "cXV4",
        "AAECAwQFBgcICQ",
        "/8A",
        "+9x",
        "aGFsbHBhc3M",
    ];
    let mut group = c.benchmark_group("token search");
    group.sample_size(10);
    for (name, data) in [
        ("code, 500 MB", text_of(500_000_000, CODE, SEPARATORS)),
        ("base64 in one line", text_of(SMALL, &base64, &[""])),
        (
            "digits in one line",
            text_of(SMALL, &["0123456789abcdef", "42", "f00"], &[""]),
        ),
        ("underscores", vec![b'_'; SMALL]),
        (
            "ends of tokens",
            text_of(SMALL, &[&format!("_{tail}")], &[" ", "\n"]),
        ),
        ("tokens alone", text_of(SMALL, &[token.expose()], &["\n"])),
    ] {
        group.throughput(Throughput::BytesDecimal(data.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut count = 0_u64;
                find_tokens(black_box(&data), 0, |_, _| count += 1);
                count
            });
        });
        if name.starts_with("code") {
            // The cost of reading the memory.
            group.bench_function("the same, counting its lines", |b| {
                b.iter(|| memchr::memchr_iter(b'\n', black_box(&data)).count());
            });
        }
    }
}

criterion_group!(pure, token_text, page_token, token_search);
criterion_main!(pure);
