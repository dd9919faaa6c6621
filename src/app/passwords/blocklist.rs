//! Blocklist: refuses common passwords and variations of them.
//!
//! Most leaked passwords are shorter than 15 characters, and so are the lists made from them. People who must choose
//! 15 characters stretch a common password. So the list matches parts: each entry, the username and each run of
//! keys or letters counts as one element wherever it stands, as does every other character, and a password needs
//! eight elements. A repetition counts as what is repeated. Substitutions (`p4ssw0rd`) are not undone: the throttle
//! limits what gets through.

use std::sync::LazyLock;

use crate::domain::secret::Secret;

/// The entries, in lower case; `blocklist.txt` names their sources.
static ENTRIES: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("blocklist.txt").lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .collect()
});

/// A run along one of these rows counts as one element. A reversed row is a row of its own.
const ROWS: [&str; 8] = [
    "abcdefghijklmnopqrstuvwxyz",
    "zyxwvutsrqponmlkjihgfedcba",
    "01234567890",
    "09876543210",
    "qwertyuiopasdfghjklzxcvbnm",
    "mnbvcxzlkjhgfdsapoiuytrewq",
    "qwertzuiopasdfghjklyxcvbnm",
    "!@#$%^&*()",
];

/// Minimum length of a run; shorter ones are too common in ordinary words.
const MIN_RUN: usize = 3;

const MIN_ELEMENTS: usize = 8;

/// A password that repeats a text shorter than this is refused.
const MIN_UNIT: usize = 15;

/// Whether an attacker who knows the blocklist and the username would try `password` early.
pub(super) fn is_guessable(password: &Secret, username: &str) -> bool {
    let folded = Secret::new(password.expose().to_lowercase());
    let username = username.to_lowercase();
    let period = period(folded.expose());
    (period < MIN_UNIT && period * 2 <= folded.expose().chars().count())
        || elements(folded.expose(), &username) < MIN_ELEMENTS
}

/// Counts the elements of `text`, taking the longest match at each position.
fn elements(text: &str, username: &str) -> usize {
    let mut rest = text;
    let mut count = 0;
    while let Some(first) = rest.chars().next() {
        let word = ENTRIES
            .iter()
            .copied()
            .chain([username])
            .filter(|entry| rest.starts_with(entry));
        let longest = word
            .map(str::len)
            .chain([run(rest), first.len_utf8()])
            .max()
            .unwrap_or(1);
        rest = &rest[longest..];
        count += 1;
    }
    count
}

/// Length in bytes of the run of keys, or of one repeated character, at the start of `text`; 0 if there is none.
fn run(text: &str) -> usize {
    let Some(first) = text.chars().next() else {
        return 0;
    };
    let same = text.chars().take_while(|next| *next == first).count();
    let same = if same >= MIN_RUN {
        same * first.len_utf8()
    } else {
        0
    };
    let rows = ROWS.iter().flat_map(|row| {
        // A digit can stand twice in its row, so try every position where the run may begin.
        row.char_indices()
            .filter(move |(_, letter)| *letter == first)
            .map(|(at, _)| {
                row[at..]
                    .chars()
                    .zip(text.chars())
                    .take_while(|(a, b)| a == b)
                    .count()
            })
            .filter(|length| *length >= MIN_RUN)
    });
    rows.chain([same]).max().unwrap_or(0)
}

/// The period of `text` in code points; the last repetition may be cut short.
fn period(text: &str) -> usize {
    let length = text.chars().count();
    (1..length)
        .find(|period| {
            text.chars()
                .zip(text.chars().skip(*period))
                .all(|(a, b)| a == b)
        })
        .unwrap_or(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessable(text: &str) -> bool {
        is_guessable(&Secret::new(text.to_owned()), "alice")
    }

    #[test]
    fn stretched_common_passwords_are_guessable() {
        for text in [
            "manchesterunited",
            "ManchesterUnited",
            "1q2w3e4r5t6y7u8i",
            "correcthorsebatterystaple",
            "Password12345678!",
            "passwordpassword",
            "aaaaaaaaaaaaaaaaaaaa",
            "abcabcabcabcabcabc",
            "abcdefghijklmnop",
            "9876543210987654",
            "qwertyuiopasdfgh",
            "Summer2024Summer2024",
            "Administrator2024",
            "hallpass-hallpass1",
            "ALICE-alice-alice-1",
            "alice-hallpass-1",
            "aaabbbcccdddeeefff",
            "Welcome2024!!!!!",
        ] {
            assert!(guessable(text), "{text}");
        }
    }

    #[test]
    fn ordinary_passphrases_and_random_texts_are_not_guessable() {
        for text in [
            "vexed marmots juggle",
            "tree street power student",
            "849302750192847",
            "zQ8rT1mB6xW4kP9",
            "the dragon eats blue cheese",
            "ひつじが丘を越えて海を見に行く夜",
        ] {
            assert!(!guessable(text), "{text}");
        }
    }

    #[test]
    fn entries_are_lower_case_and_trimmed() {
        assert!(ENTRIES.len() > 400);
        for entry in ENTRIES.iter() {
            assert_eq!(*entry, entry.to_lowercase());
            assert_eq!(*entry, entry.trim());
        }
    }

    #[test]
    fn every_long_entry_is_guessable() {
        for entry in ENTRIES.iter().filter(|entry| entry.len() >= 15) {
            assert!(guessable(entry), "{entry}");
        }
    }
}
