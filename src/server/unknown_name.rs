//! Error messages for unknown names, with a suggestion of the name that was likely meant.
//!
//! Unknown names are rejected rather than ignored, because a misspelt name may have been a restriction.

/// Names are cut to this length, at which the text of a token does not reach its secret yet.
const MAX_PRINTED_CHARS: usize = 32;
/// Minimum Jaro similarity (0 to 1) of a name that is suggested.
const MIN_SIMILARITY: f64 = 0.8;
/// Similarity of two names if one contains the other.
const SUBSTRING_SIMILARITY: f64 = 0.85;
/// Shorter names are contained in too many others.
const MIN_SUBSTRING_BYTES: usize = 3;

/// `there is no parameter "scopes": did you mean "scope"?`
pub(super) fn sentence<'a>(
    kind: &str,
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> String {
    let (name, hint) = (escaped(name), hint(name, known));
    let end = if hint.is_empty() { " here" } else { &hint };
    format!("there is no {kind} \"{name}\"{end}")
}

/// `: did you mean "scope"?`, or nothing.
pub(super) fn hint<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match find_closest(name, known) {
        Some(closest) => format!(": did you mean \"{closest}\"?"),
        None => String::new(),
    }
}

/// The known name that is closest, if one is close enough.
pub(super) fn find_closest<'a>(
    name: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let known = known.into_iter();
    let known = known.filter_map(|known| Some((similarity(name, known)?, known)));
    let closest = known.max_by(|(a, _), (b, _)| a.total_cmp(b));
    closest.map(|(_, known)| known)
}

/// The similarity of two names, up to 1; `None` if it is below the minimum.
pub(super) fn similarity(name: &str, known: &str) -> Option<f64> {
    let (name, known) = (normalized(name), normalized(known));
    let held =
        |inner: &str, outer: &str| inner.len() >= MIN_SUBSTRING_BYTES && outer.contains(inner);
    let mut similarity = strsim::jaro(&name, &known);
    if held(&name, &known) || held(&known, &name) {
        similarity = similarity.max(SUBSTRING_SIMILARITY);
    }
    (similarity > MIN_SIMILARITY).then_some(similarity)
}

/// The name, cut and escaped so that it is safe in logs and terminals.
pub(super) fn escaped(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars().take(MAX_PRINTED_CHARS) {
        if character == ' ' || (character.is_ascii_graphic() && !"\"\\".contains(character)) {
            text.push(character);
        } else {
            text.extend(character.escape_unicode());
        }
    }
    if name.chars().nth(MAX_PRINTED_CHARS).is_some() {
        text.push_str("...");
    }
    text
}

/// Ignores case, separators (`page_size`, `pageSize`, `page-size`), and everything beyond any length that our names
/// have.
fn normalized(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '_' | '-'));
    letters.map(|c| c.to_ascii_lowercase()).take(128).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closest_name_is_found_whatever_its_case_and_separators() {
        let fields = ["scopes", "allowedCidrs", "expireTime", "note", "dryRun"];
        for (name, expected) in [
            ("scope", Some("scopes")),
            ("requiredScopes", Some("scopes")),
            ("allowed_cidr", Some("allowedCidrs")),
            ("cidrs", Some("allowedCidrs")),
            ("expires", Some("expireTime")),
            ("dryrun", Some("dryRun")),
            ("Dry-Run", Some("dryRun")),
            ("nonsense", None),
            ("", None),
            ("é", None),
        ] {
            assert_eq!(find_closest(name, fields), expected, "{name}");
        }
        let states = ["TOKEN_STATE_ACTIVE", "TOKEN_STATE_DISABLED"];
        assert_eq!(find_closest("DISABLED", states), Some(states[1]));
    }

    #[test]
    fn escaped_name_is_short_and_plain() {
        assert_eq!(escaped("a b"), "a b");
        assert_eq!(escaped("a\u{202e}\"\n"), r"a\u{202e}\u{22}\u{a}");
        let token = format!("hallpass_{}_{}", "1".repeat(22), "s".repeat(49));
        assert_eq!(escaped(&token), format!("hallpass_{}_...", "1".repeat(22)));
    }
}
