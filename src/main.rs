//! The `hallpass` binary: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    hallpass::cli::run(std::env::args_os()).into()
}
