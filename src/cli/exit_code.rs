//! The exit codes. `--help` and docs/configuration.md show this table.

macro_rules! exit_codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// An exit code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum ExitCode {
            $(#[doc = $text] $name = $code,)*
        }

        impl ExitCode {
            /// All exit codes in ascending order.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The number.
            pub const fn number(self) -> u8 {
                self as u8
            }

            /// What it means.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

exit_codes! {
    Ok = 0, "Done";
    Failed = 1, "Refused or failed: the message says why. `scan`: tokens were found. `token verify`: it is not valid";
    Usage = 2, "Wrong arguments, or a setting that is not allowed";
    Missing = 3, "There is no database, or no folder for it";
    NotADatabase = 4, "The file is not a database of Hallpass";
    OpenPermissions = 5, "Others may read or write the database's file";
    NotWritable = 6, "The database's folder or file is not writable";
    NewerSchema = 7, "A newer Hallpass made the database";
    OlderSchema = 8, "An older Hallpass made the database, and neither `migrate` nor `serve` has migrated it yet";
    AlreadyServed = 9, "Another process has the database, and kept it for as long as was waited";
    CannotOpen = 10, "The database cannot be opened for another reason";
    AuditBroken = 11, "`audit verify`: the log was changed";
    DataDamaged = 12, "`data check`: the database is damaged";
    NotReady = 13, "`healthcheck`: the server is away or not ready. `status`: it is not ready";
    ScanIncomplete = 14, "`scan`: not all could be searched, and no token was found in the rest";
    SyncFailed = 15, "A sync of the database failed: what was not answered may or may not be there";
    Moved = 16, "The database's file was moved, replaced or deleted while it was open";
    Unreachable = 17, "The server cannot be reached, or the connection to it was lost";
    ReaderGone = 141, "Whoever reads the output has gone, as `head` does: what a shell says of a program that this ends";
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}

/// The table as `--help` shows it.
pub fn help() -> String {
    let lines = ExitCode::ALL
        .iter()
        .map(|code| format!("  {:>2}  {}", code.number(), code.meaning()));
    let lines: Vec<_> = lines.collect();
    format!("Exit codes:\n{}", lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_in_order() {
        let numbers: Vec<u8> = ExitCode::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        // Shells use codes from 126 on: 141 is SIGPIPE.
        let own = numbers.iter().filter(|number| **number != 141);
        assert!(own.max().is_some_and(|number| *number < 126));
        assert_eq!(ExitCode::Ok.number(), 0);
    }

    #[test]
    fn the_help_names_every_code() {
        let help = help();
        for code in ExitCode::ALL {
            assert!(help.contains(code.meaning()), "{code:?}");
        }
    }
}
