//! Tables for people. On a terminal, long texts are truncated to its width. In a pipe or a file they are not, so that they
//! can be searched. Empty columns are left out.

use std::io::{self, IsTerminal as _};

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets};

use crate::config::environment;

use super::output::{exact, safe};

/// For a terminal that does not report its width.
const DEFAULT_WIDTH: u16 = 80;

#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    header: &'static str,
    may_be_truncated: bool,
}

/// A column of values that are useless when truncated, such as IDs.
pub(super) const fn whole(header: &'static str) -> Column {
    Column {
        header,
        may_be_truncated: false,
    }
}

/// A column of texts that may be truncated.
pub(super) const fn text(header: &'static str) -> Column {
    Column {
        header,
        may_be_truncated: true,
    }
}

/// Prints a header and rows, one line each.
pub(super) fn print<const N: usize>(
    columns: [Column; N],
    rows: Vec<[String; N]>,
) -> io::Result<()> {
    let rows = rows.into_iter().map(|row| row.map(|cell| safe(&cell)));
    exact(&render(columns, rows.collect(), terminal_width()))
}

/// `width` is the terminal's; `None` without a terminal.
fn render<const N: usize>(
    columns: [Column; N],
    rows: Vec<[String; N]>,
    width: Option<u16>,
) -> String {
    let is_empty = |cell: &String| matches!(cell.as_str(), "" | "-");
    // Without rows, the header keeps all columns.
    let is_kept = |at: usize| rows.is_empty() || !rows.iter().all(|row| is_empty(&row[at]));
    let kept = std::array::from_fn::<bool, N, _>(is_kept);
    let mut table = Table::new();
    let add = |cells: Vec<String>| {
        let mut row = Row::from(cells);
        row.max_height(1);
        row
    };
    let keep = |cells: Vec<String>| {
        let cells = cells.into_iter().zip(kept);
        cells.filter(|(_, kept)| *kept).map(|(cell, _)| cell)
    };
    let header = columns.map(|column| column.header.to_owned());
    table
        .load_style(presets::NOTHING)
        .set_truncation_indicator("…")
        .set_header(add(keep(header.to_vec()).collect()));
    for row in rows {
        table.add_row(add(keep(row.to_vec()).collect()));
    }
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic);
        table.set_width(width);
    }
    let columns = columns.into_iter().zip(kept);
    let columns = columns.filter(|(_, kept)| *kept);
    let last = table.column_count().saturating_sub(1);
    for ((column, _), at) in columns.zip(0..) {
        let Some(set) = table.column_mut(at) else {
            continue;
        };
        set.set_padding((0, if at == last { 0 } else { 2 }));
        if !column.may_be_truncated {
            set.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// The width of the terminal on stdout.
fn terminal_width() -> Option<u16> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let asked = || rustix::termios::tcgetwinsize(&stdout).ok();
    let width = environment::columns().or_else(|| asked().map(|size| size.ws_col));
    Some(width.filter(|width| *width > 0).unwrap_or(DEFAULT_WIDTH))
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [whole("ID"), text("USER"), whole("IP"), text("NOTE")];

    fn rows(note: &str) -> Vec<[String; 4]> {
        let row = |id: &str, note: &str| [id, "ci-bot", "-", note].map(str::to_owned);
        vec![
            row("06Fw9p6yGXmoXEtA7OPaXr", note),
            row("06Fw9p6yGXmoXEtA7OPaXs", ""),
        ]
    }

    #[test]
    fn without_a_terminal_nothing_is_truncated_and_empty_columns_are_left_out() {
        let note = "a note ".repeat(30);
        let table = render(COLUMNS, rows(note.trim()), None);
        assert!(table.contains(note.trim()), "{table}");
        assert!(!table.contains("IP"), "{table}");
        let table = render(COLUMNS, vec![], None);
        assert_eq!(table, "ID  USER  IP  NOTE");
    }

    #[test]
    fn on_a_terminal_texts_are_truncated_and_ids_are_not() {
        let note = "Ünïcödé of many words ".repeat(10);
        for width in [60_u16, 80, 120] {
            let table = render(COLUMNS, rows(&note), Some(width));
            assert_eq!(table.lines().count(), 3, "{table}");
            let widest = table.lines().map(|line| line.chars().count()).max();
            assert!(widest.unwrap() <= usize::from(width), "{table}");
            // The whole width is used.
            assert!(widest.unwrap() > usize::from(width) - 12, "{table}");
            assert!(
                table.contains("06Fw9p6yGXmoXEtA7OPaXr  ci-bot  "),
                "{table}"
            );
            assert!(table.contains('…'), "{table}");
        }
        let table = render(COLUMNS, rows("short"), Some(80));
        assert_eq!(
            table.lines().nth(1),
            Some("06Fw9p6yGXmoXEtA7OPaXr  ci-bot  short")
        );
        // IDs stay whole even if they do not fit.
        let table = render(COLUMNS, rows(&note), Some(20));
        assert!(table.contains("06Fw9p6yGXmoXEtA7OPaXr"), "{table}");
    }
}
