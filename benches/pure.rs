//! The parts that need no server: the text of a token, the token of a page, hashing.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use hallpass::domain::{
    id::TokenId,
    page::{PageKey, PageQuery, Position},
    time::Timestamp,
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

criterion_group!(pure, token_text, page_token);
criterion_main!(pure);
