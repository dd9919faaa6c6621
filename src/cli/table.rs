//! Tables for people. On a terminal a table is as wide as the terminal: what does not fit is cut where it may be.
//! In a pipe or a file nothing is cut, so that it can be searched. A column that says nothing is left out.

use std::io::{self, IsTerminal as _};

use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets};

use crate::config::environment;

use super::output::{exact, shown};

/// Where a terminal does not tell its width.
const USUAL_WIDTH: u16 = 80;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    header: &'static str,
    may_be_cut: bool,
}

/// A column whose values are of use only as a whole, such as IDs.
pub(super) const fn whole(header: &'static str) -> Column {
    Column {
        header,
        may_be_cut: false,
    }
}

/// A column of texts, of which the beginning tells most.
pub(super) const fn text(header: &'static str) -> Column {
    Column {
        header,
        may_be_cut: true,
    }
}

/// Prints rows below a header, a line each.
pub(super) fn print<const N: usize>(
    columns: [Column; N],
    rows: Vec<[String; N]>,
) -> io::Result<()> {
    let rows = rows.into_iter().map(|row| row.map(|cell| shown(&cell)));
    exact(&render(columns, rows.collect(), terminal_width()))
}

/// `width`: of the terminal; `None`: there is none.
fn render<const N: usize>(
    columns: [Column; N],
    rows: Vec<[String; N]>,
    width: Option<u16>,
) -> String {
    let says_nothing = |cell: &String| matches!(cell.as_str(), "" | "-");
    // Without any row, the header tells what there could be.
    let is_kept = |at: usize| rows.is_empty() || !rows.iter().all(|row| says_nothing(&row[at]));
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
        if !column.may_be_cut {
            set.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// How wide the terminal is that stdout is.
fn terminal_width() -> Option<u16> {
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return None;
    }
    let asked = || rustix::termios::tcgetwinsize(&stdout).ok();
    let width = environment::columns().or_else(|| asked().map(|size| size.ws_col));
    Some(width.filter(|width| *width > 0).unwrap_or(USUAL_WIDTH))
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
    fn in_a_pipe_nothing_is_cut_and_a_column_that_says_nothing_is_left_out() {
        let note = "a note ".repeat(30);
        let table = render(COLUMNS, rows(note.trim()), None);
        assert!(table.contains(note.trim()), "{table}");
        assert!(!table.contains("IP"), "{table}");
        let table = render(COLUMNS, vec![], None);
        assert_eq!(table, "ID  USER  IP  NOTE");
    }

    #[test]
    fn on_a_terminal_texts_are_cut_and_ids_are_not() {
        let note = "Ünïcödé of many words ".repeat(10);
        for width in [60_u16, 80, 120] {
            let table = render(COLUMNS, rows(&note), Some(width));
            assert_eq!(table.lines().count(), 3, "{table}");
            let widest = table.lines().map(|line| line.chars().count()).max();
            assert!(widest.unwrap() <= usize::from(width), "{table}");
            // What there is is used.
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
        // An ID is whole in any case.
        let table = render(COLUMNS, rows(&note), Some(20));
        assert!(table.contains("06Fw9p6yGXmoXEtA7OPaXr"), "{table}");
    }
}
