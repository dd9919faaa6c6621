//! Scopes: what a token is limited to. They limit, never grant.

use std::{collections::BTreeSet, fmt};

/// How many scopes a token may have.
pub const MAX_SCOPES: usize = 32;
const OURS: &str = "hallpass:";

/// The scopes that mean something on Hallpass itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OwnScope {
    /// Get and list tokens.
    TokensRead,
    /// Create, change and delete tokens.
    TokensWrite,
    /// Ask whether a token is valid.
    TokensVerify,
    /// Get, list and count users.
    UsersRead,
    /// Create, change and delete users.
    UsersWrite,
    /// Read the audit log.
    AuditRead,
    /// Act on what is not one's own, where the role allows it.
    Admin,
}

impl OwnScope {
    /// All of them.
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

/// The scopes of a token, sorted, each once. Empty: not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScopeSet(BTreeSet<String>);

impl ScopeSet {
    /// Checks what a client asked for; repeats fold into one.
    ///
    /// # Errors
    /// Too many, a malformed one, or an unknown one that starts with `hallpass:`.
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

    /// From the store: the form that `Display` writes.
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

    /// Whether a token with these scopes may do on Hallpass what needs `scope`.
    pub fn allows(&self, scope: OwnScope) -> bool {
        self.0.is_empty() || self.0.contains(scope.as_str())
    }

    /// Whether a token with the scopes `of` has all of these.
    pub fn is_covered_by(&self, of: &Self) -> bool {
        of.0.is_empty() || self.0.is_subset(&of.0)
    }

    /// What tokens with these and with `other` scopes may both do. `None`: nothing.
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

    /// Whether a token with these scopes is limited to no more than one with `other`.
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

/// The scope of ours that is most like an unknown one, or all of them where none is like it.
fn known_beside(unknown: &str) -> String {
    // What all have in common makes nothing alike.
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
    /// One is not of the form.
    #[error("each scope must be 1 to 64 of a-z, 0-9, ':', '.', '_', '/' and '-'")]
    Malformed,
    /// One starts with `hallpass:` and is none of ours.
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
    fn there_are_so_many_at_most_and_repeats_are_none() {
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
    fn an_unknown_scope_of_ours_is_refused_with_the_nearest() {
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
    fn what_is_in_common_is_never_more_than_either() {
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
    fn a_set_is_within_its_supersets_and_nothing_unlimited_is_within_a_limit() {
        assert!(set(&["a"]).is_within(&set(&["a", "b"])));
        assert!(set(&["a"]).is_within(&set(&[])));
        assert!(!set(&["a", "c"]).is_within(&set(&["a", "b"])));
        assert!(!set(&[]).is_within(&set(&["a"])));
    }

    #[test]
    fn bad_scopes_are_refused() {
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
    fn the_store_form_is_read_back() {
        let scopes = set(&["b", "a", "hallpass:admin", "a"]);
        assert_eq!(scopes.to_string(), "a b hallpass:admin");
        assert_eq!(ScopeSet::from_row(&scopes.to_string()), scopes);
        assert_eq!(ScopeSet::from_row(""), ScopeSet::default());
    }
}
