use super::*;

fn read(values: &[&str]) -> Result<String, Unauthenticated> {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::AUTHORIZATION, value.parse().unwrap());
    }
    bearer(&headers).map(|secret| secret.expose().to_owned())
}

#[test]
fn exactly_one_bearer_token_is_accepted() {
    assert_eq!(read(&["Bearer abc"]).as_deref(), Ok("abc"));
    assert_eq!(read(&["bearer  abc "]).as_deref(), Ok("abc"));
    assert_eq!(read(&[]), Err(Unauthenticated::Missing));
    for bad in [
        &["Basic abc"][..],
        &["Bearer"],
        &["abc"],
        &["Bearer a", "Bearer a"],
    ] {
        assert_eq!(read(bad), Err(Unauthenticated::Malformed), "{bad:?}");
    }
}

#[test]
fn password_of_basic_is_read_whatever_the_user_name() {
    let read = |value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        bearer_or_basic(&headers).map(|secret| secret.expose().to_owned())
    };
    let basic = |pair: &[u8]| read(&format!("basic {}", STANDARD.encode(pair)));
    assert_eq!(basic(b"admin:abc").as_deref(), Ok("abc"));
    assert_eq!(basic(b":a:c").as_deref(), Ok("a:c"));
    assert_eq!(read("Bearer abc").as_deref(), Ok("abc"));
    for bad in [
        basic(b"abc"),
        basic(b"a:\xff"),
        read("Basic !"),
        read("Digest x"),
    ] {
        assert_eq!(bad, Err(Unauthenticated::Malformed));
    }
}

#[test]
fn password_of_oauths_basic_is_decoded_as_in_a_form() {
    let read = |pair: &[u8]| {
        let mut headers = HeaderMap::new();
        let value = format!("Basic {}", STANDARD.encode(pair));
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        bearer_or_encoded_basic(&headers).map(|secret| secret.expose().to_owned())
    };
    assert_eq!(
        read(b"my%20ci:hallpass%5Fabc").as_deref(),
        Ok("hallpass_abc")
    );
    assert_eq!(read(b"a%3Ab:%68allpass_abc").as_deref(), Ok("hallpass_abc"));
    assert_eq!(read(b"a:b+c%3a").as_deref(), Ok("b c:"));
    assert_eq!(read(b"a:%ff"), Err(Unauthenticated::Malformed));
}
