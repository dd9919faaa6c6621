//! Users are people, who sign in with a password and own machines, or machines, which only have tokens.

use std::fmt;

use super::{id::UserId, note::Note, time::Timestamp};

/// A user name: `^[a-z][a-z0-9-]{1,38}[a-z0-9]$`. It is never reused, not even after a deletion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Username(String);

impl Username {
    /// Converts to lower case and validates.
    ///
    /// # Errors
    /// The name is malformed.
    pub fn parse(text: &str) -> Result<Self, UsernameError> {
        let name = text.to_ascii_lowercase();
        let bytes = name.as_bytes();
        let letter_or_digit = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let well_formed = (3..=40).contains(&bytes.len())
            && bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.last().is_some_and(letter_or_digit)
            && bytes
                .iter()
                .all(|byte| letter_or_digit(byte) || *byte == b'-');
        if well_formed {
            Ok(Self(name))
        } else {
            Err(UsernameError)
        }
    }

    /// From the store.
    pub fn from_row(name: String) -> Self {
        Self(name)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Username {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be 3 to 40 of a-z, 0-9 and '-', starting with a letter and ending with a letter or digit"
)]
pub struct UsernameError;

/// What a user may do on the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Manages all users and tokens.
    Admin,
    /// Manages only itself and its own machines.
    Member,
}

/// The type of user, and a machine's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserKind {
    /// Signs in with a password.
    Person,
    /// Has no password.
    Machine {
        /// The person who owns it.
        owner: UserId,
    },
}

/// A stored user, without the password hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The public ID.
    pub id: UserId,
    /// The name.
    pub username: Username,
    /// Person, or machine with its owner.
    pub kind: UserKind,
    /// The assigned role. A machine's takes effect only while its owner is an active admin.
    pub role: Role,
    /// A description for people.
    pub description: Note,
    /// When it was created.
    pub create_time: Timestamp,
    /// When it was last changed.
    pub update_time: Timestamp,
    /// Whether it is deactivated.
    pub deactivated: bool,
}

impl User {
    /// The person who owns this machine; `None` for a person.
    pub const fn owner(&self) -> Option<UserId> {
        match self.kind {
            UserKind::Person => None,
            UserKind::Machine { owner } => Some(owner),
        }
    }

    /// Whether this is a machine owned by `person`.
    pub fn is_machine_of(&self, person: UserId) -> bool {
        self.owner() == Some(person)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_machines_have_owners() {
        let now = Timestamp::from_micros(0);
        let (owner, other) = (UserId::generate(now), UserId::generate(now));
        let user = |kind| User {
            id: UserId::generate(now),
            username: Username::parse("ci-bot").unwrap(),
            kind,
            role: Role::Member,
            description: Note::default(),
            create_time: now,
            update_time: now,
            deactivated: false,
        };
        let machine = user(UserKind::Machine { owner });
        assert_eq!(machine.owner(), Some(owner));
        assert!(machine.is_machine_of(owner) && !machine.is_machine_of(other));
        let person = user(UserKind::Person);
        assert_eq!(person.owner(), None);
        assert!(!person.is_machine_of(owner));
        assert_eq!(format!("{:>8}", person.username), "  ci-bot");
    }

    #[test]
    fn names_are_lower_cased_and_strictly_validated() {
        assert_eq!(Username::parse("Alice-2").unwrap().as_str(), "alice-2");
        for good in ["abc", "a-1", &format!("a{}z", "-".repeat(38))] {
            assert!(Username::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ab",
            "1ab",
            "ab-",
            "-ab",
            "a_b",
            "äbc",
            "a b",
            &"a".repeat(41),
        ] {
            assert!(Username::parse(bad).is_err(), "{bad}");
        }
    }
}
