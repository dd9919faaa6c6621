//! Invisible characters, which change what a setting means: a variable from a file with Windows line ends named
//! another database, `hallpass.db\r`.

use std::ffi::OsStr;

use clap::{ArgMatches, Command};

use crate::domain::visible::is_visible;

/// The reason to refuse `text`, worded to follow the setting's name: it holds an invisible character, or begins or
/// ends with white space. The text itself may be a secret, so it is not repeated.
pub fn invisible_character(text: &str) -> Option<String> {
    let is_invisible = |char: char| !is_visible(char) && !char.is_whitespace() || char.is_control();
    let is_space = |char: &char| char.is_whitespace();
    let (place, char) = if let Some(first) = text.chars().next().filter(is_space) {
        ("begins with", first)
    } else if let Some(last) = text.chars().next_back().filter(is_space) {
        ("ends with", last)
    } else {
        ("holds", text.chars().find(|char| is_invisible(*char))?)
    };
    let shown = match char {
        ' ' => "a space".to_owned(),
        char => format!("{}, which does not show", char.escape_default()),
    };
    Some(format!("{place} {shown}: leave it out"))
}

/// A setting that holds such a character.
#[derive(Debug, PartialEq, Eq)]
pub struct InvisibleCharacter {
    /// The setting's flag, `--listen`.
    pub flag: String,
    /// Which character it holds, and where.
    pub reason: String,
}

/// Refuses such characters in all settings of `command` and the one below it that is run.
///
/// # Errors
/// The first setting that holds one.
pub fn refuse_invisible(command: &Command, matches: &ArgMatches) -> Result<(), InvisibleCharacter> {
    for arg in command
        .get_arguments()
        .filter(|arg| arg.get_env().is_some())
    {
        let id = arg.get_id().as_str();
        // White space may surround the commas of a list, not the list.
        let comma = arg
            .get_value_delimiter()
            .map(String::from)
            .unwrap_or_default();
        for members in matches.get_raw_occurrences(id).into_iter().flatten() {
            let members: Vec<_> = members.map(OsStr::to_string_lossy).collect();
            if let Some(reason) = invisible_character(&members.join(&comma)) {
                let flag = format!("--{}", arg.get_long().unwrap_or(id));
                return Err(InvisibleCharacter { flag, reason });
            }
        }
    }
    match matches.subcommand() {
        None => Ok(()),
        Some((name, matches)) => command
            .find_subcommand(name)
            .map_or(Ok(()), |command| refuse_invisible(command, matches)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invisible_character_is_named_with_its_position() {
        for (text, reason) in [
            ("x.db\r", "ends with \\r, which does not show"),
            ("x.db\n", "ends with \\n, which does not show"),
            (" x", "begins with a space"),
            ("x ", "ends with a space"),
            ("\u{a0}x", "begins with \\u{a0}, which does not show"),
            ("\u{feff}x", "holds \\u{feff}, which does not show"),
            ("a\u{202e}b", "holds \\u{202e}, which does not show"),
            ("a\tb", "holds \\t, which does not show"),
            ("a\0b", "holds \\u{0}, which does not show"),
        ] {
            assert_eq!(
                invisible_character(text),
                Some(format!("{reason}: leave it out"))
            );
        }
        for fine in ["", "a b", "/srv/データ/x.db", "correct horse battery"] {
            assert_eq!(invisible_character(fine), None);
        }
    }
}
