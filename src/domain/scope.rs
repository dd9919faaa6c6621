//! Scopes limit what a token may do; they never grant anything.

use std::{collections::BTreeSet, fmt};

/// Maximum number of scopes of a token.
pub const MAX_SCOPES: usize = 32;
const OURS: &str = "hallpass:";

/// The scopes that Hallpass itself interprets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnScope {
    /// Get and list tokens.
    TokensRead,
    /// Create, change and delete tokens.
    TokensWrite,
    /// Verify tokens.
    TokensVerify,
    /// Get, list and count users.
    UsersRead,
    /// Create, change and delete users.
    UsersWrite,
    /// Read the audit log.
    AuditRead,
    /// Act on other users' tokens and machines, where the role allows it.
    Admin,
}

impl OwnScope {
    /// All scopes that Hallpass interprets.
    pub const ALL: [Self; 7] = [
        Self::TokensRead,
        Self::TokensWrite,
        Self::TokensVerify,
        Self::UsersRead,
        Self::UsersWrite,
        Self::AuditRead,
        Self::Admin,
    ];

    /// The scope's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TokensRead => "hallpass:tokens:read",
            Self::TokensWrite => "hallpass:tokens:write",
            Self::TokensVerify => "hallpass:tokens:verify",
            Self::UsersRead => "hallpass:users:read",
            Self::UsersWrite => "hallpass:users:write",
            Self::AuditRead => "hallpass:audit:read",
            Self::Admin => "hallpass:admin",
        }
    }
}

/// A token's scopes, sorted and without duplicates. Empty means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet(BTreeSet<String>);

impl ScopeSet {
    /// Validates a client's list; duplicates are merged.
    ///
    /// # Errors
    /// Too many scopes, a malformed one, or an unknown one that starts with `hallpass:`.
    pub fn parse<'a>(scopes: impl IntoIterator<Item = &'a str>) -> Result<Self, ScopeError> {
        let mut set = BTreeSet::new();
        for scope in scopes {
            let well_formed = (1..=64).contains(&scope.len()) && scope.bytes().all(is_scope_byte);
            if !well_formed {
                return Err(ScopeError::Malformed);
            }
            if scope.starts_with(OURS) && !OwnScope::ALL.iter().any(|own| own.as_str() == scope) {
                return Err(ScopeError::Unknown(scope.to_owned()));
            }
            set.insert(scope.to_owned());
            if set.len() > MAX_SCOPES {
                return Err(ScopeError::TooMany);
            }
        }
        Ok(Self(set))
    }

    /// From the store, in the form that `Display` writes.
    pub fn from_row(text: &str) -> Self {
        Self(text.split_ascii_whitespace().map(str::to_owned).collect())
    }

    /// Whether the token is not limited by scopes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Whether a token with these scopes may do what requires `scope` on Hallpass.
    pub fn allows(&self, scope: OwnScope) -> bool {
        self.0.is_empty() || self.0.contains(scope.as_str())
    }

    /// Whether a token with the scopes `of` has all of these.
    pub fn is_covered_by(&self, of: &Self) -> bool {
        of.0.is_empty() || self.0.is_subset(&of.0)
    }

    /// The scopes that both sets allow. `None` if there are none.
    pub fn in_common(&self, other: &Self) -> Option<Self> {
        match (self.is_empty(), other.is_empty()) {
            (_, true) => Some(self.clone()),
            (true, false) => Some(other.clone()),
            (false, false) => {
                let common: BTreeSet<_> = self.0.intersection(&other.0).cloned().collect();
                (!common.is_empty()).then_some(Self(common))
            }
        }
    }

    /// Whether these scopes allow no more than `other`.
    pub fn is_within(&self, other: &Self) -> bool {
        other.0.is_empty() || (!self.0.is_empty() && self.0.is_subset(&other.0))
    }
}

/// The scopes separated by spaces, as in RFC 6749 §3.3.
impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope)?;
        }
        Ok(())
    }
}

fn is_scope_byte(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b":._/-".contains(&byte)
}

/// The known scope that is most similar to `unknown`, or all of them if none is similar.
fn known_beside(unknown: &str) -> String {
    // The common prefix does not make two scopes similar.
    let tail = |scope: &str| scope.trim_start_matches(OURS).to_owned();
    let likeness = |own: &OwnScope| strsim::jaro(&tail(own.as_str()), &tail(unknown));
    let nearest = OwnScope::ALL
        .into_iter()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
        .filter(|own| likeness(own) > 0.8);
    match nearest {
        Some(own) => format!("did you mean {}?", own.as_str()),
        None => format!(
            "it knows {}",
            OwnScope::ALL.map(OwnScope::as_str).join(", ")
        ),
    }
}

/// Why scopes were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// One is malformed.
    #[error("each scope must be 1 to 64 of a-z, 0-9, ':', '.', '_', '/' and '-'")]
    Malformed,
    /// One starts with `hallpass:` and is unknown.
    #[error("{} is not a scope that Hallpass knows: {}", .0, known_beside(.0))]
    Unknown(String),
    /// More than [`MAX_SCOPES`].
    #[error("at most {MAX_SCOPES} scopes are allowed")]
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(scopes: &[&str]) -> ScopeSet {
        ScopeSet::parse(scopes.iter().copied()).unwrap()
    }

    #[test]
    fn the_maximum_is_enforced_and_duplicates_do_not_count() {
        let text = |nth: usize| format!("scope-{nth}");
        let mut texts: Vec<_> = (0..MAX_SCOPES).map(text).collect();
        texts.push(text(0));
        let parse = |texts: &[String]| ScopeSet::parse(texts.iter().map(|text| &**text));
        assert_eq!(parse(&texts).unwrap().iter().count(), MAX_SCOPES);
        texts.push(text(MAX_SCOPES));
        assert_eq!(parse(&texts), Err(ScopeError::TooMany));
        assert!(set(&["b", "a"]).iter().eq(["a", "b"]));
    }

    #[test]
    fn an_unknown_hallpass_scope_is_refused_with_a_suggestion() {
        let refusal = |scope| ScopeSet::parse([scope]).unwrap_err().to_string();
        for (unknown, nearest) in [
            ("hallpass:token:read", "hallpass:tokens:read"),
            ("hallpass:tokens:verfy", "hallpass:tokens:verify"),
            ("hallpass:users.write", "hallpass:users:write"),
            ("hallpass:admins", "hallpass:admin"),
        ] {
            let refusal = refusal(unknown);
            assert!(
                refusal.ends_with(&format!("did you mean {nearest}?")),
                "{refusal}"
            );
        }
        let refusal = refusal("hallpass:everything");
        assert!(
            OwnScope::ALL
                .iter()
                .all(|own| refusal.contains(own.as_str())),
            "{refusal}"
        );
    }

    #[test]
    fn common_scopes_never_exceed_either_set() {
        let (none, ab, bc, d) = (set(&[]), set(&["a", "b"]), set(&["b", "c"]), set(&["d"]));
        assert_eq!(ab.in_common(&bc), Some(set(&["b"])));
        assert_eq!(none.in_common(&ab), Some(ab.clone()));
        assert_eq!(ab.in_common(&none), Some(ab.clone()));
        assert_eq!(none.in_common(&none), Some(none.clone()));
        assert_eq!(ab.in_common(&d), None, "not the empty set, which is all");
        assert!(set(&["a"]).is_covered_by(&ab) && !bc.is_covered_by(&ab));
        assert!(bc.is_covered_by(&none) && none.is_covered_by(&ab));
    }

    #[test]
    fn scopes_limit_and_no_scopes_do_not() {
        assert!(set(&[]).allows(OwnScope::Admin));
        assert!(set(&["hallpass:tokens:read"]).allows(OwnScope::TokensRead));
        assert!(!set(&["hallpass:tokens:read"]).allows(OwnScope::TokensWrite));
        assert!(!set(&["deploy"]).allows(OwnScope::TokensRead));
    }

    #[test]
    fn a_set_is_within_its_supersets_and_the_unlimited_set_within_none() {
        assert!(set(&["a"]).is_within(&set(&["a", "b"])));
        assert!(set(&["a"]).is_within(&set(&[])));
        assert!(!set(&["a", "c"]).is_within(&set(&["a", "b"])));
        assert!(!set(&[]).is_within(&set(&["a"])));
    }

    #[test]
    fn malformed_unknown_and_too_many_scopes_are_refused() {
        for bad in ["", "A", "a b", "ü", &"x".repeat(65)] {
            assert_eq!(ScopeSet::parse([bad]), Err(ScopeError::Malformed), "{bad}");
        }
        assert!(matches!(
            ScopeSet::parse(["hallpass:everything"]),
            Err(ScopeError::Unknown(_))
        ));
        let many: Vec<String> = (0..=MAX_SCOPES).map(|i| format!("s{i}")).collect();
        assert_eq!(
            ScopeSet::parse(many.iter().map(String::as_str)),
            Err(ScopeError::TooMany)
        );
    }

    #[test]
    fn the_stored_form_round_trips() {
        let scopes = set(&["b", "a", "hallpass:admin", "a"]);
        assert_eq!(scopes.to_string(), "a b hallpass:admin");
        assert_eq!(ScopeSet::from_row(&scopes.to_string()), scopes);
        assert_eq!(ScopeSet::from_row(""), ScopeSet::default());
    }
}
