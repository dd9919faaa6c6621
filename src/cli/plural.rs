//! Counted nouns in messages.

/// `1 token`, `2 tokens`.
pub(super) fn count(number: impl TryInto<u64>, noun: &str) -> String {
    of(number, noun, &format!("{noun}s"))
}

/// `1 person`, `2 people`.
pub(super) fn of(number: impl TryInto<u64>, one: &str, many: &str) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    let noun = if number == 1 { one } else { many };
    format!("{number} {noun}")
}

/// The pronoun for that many things.
pub(super) const fn them(number: u32) -> &'static str {
    if number == 1 { "it" } else { "them" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_singular() {
        assert_eq!(count(0_u32, "token"), "0 tokens");
        assert_eq!(count(1_usize, "token"), "1 token");
        assert_eq!(count(2_u64, "token"), "2 tokens");
        assert_eq!(of(1_u32, "person", "people"), "1 person");
        assert_eq!((them(0), them(1)), ("them", "it"));
        assert_eq!(of(21_u32, "person", "people"), "21 people");
    }
}
