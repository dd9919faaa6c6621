//! What goes to stdout: JSON for scripts, tables for people. Hints and questions go to stderr, so that
//! stdout holds the answer alone.

use std::io::{self, Write};

use clap::Args;
use comfy_table::{Table, presets};
use serde::Serialize;

/// How to print.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct OutputArgs {
    /// Print JSON, as the API answers it, instead of text for people.
    #[arg(long)]
    pub(super) json: bool,
}

/// Prints `value` as JSON.
pub(super) fn json(value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string_pretty(value)?;
    line(&text)
}

/// Prints a line.
pub(super) fn line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Prints rows below a header: one line each, nothing cut, so that it can be searched and piped.
pub(super) fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header);
    table.add_rows(rows);
    print_table(table)
}

/// Prints what is known of one thing, a line each.
pub(super) fn fields<const N: usize>(fields: [(&str, String); N]) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(fields.map(|(name, value)| [format!("{name}:"), value]));
    print_table(table)
}

fn print_table(mut table: Table) -> io::Result<()> {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    line(&table.trim_fmt())
}

/// Tells a person something that is not the answer. That nobody listens is no failure.
pub(super) fn hint(text: &str) {
    drop(writeln!(io::stderr(), "{text}"));
}
