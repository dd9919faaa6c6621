//! `hallpass man`: manual pages made from `--help`, for packagers.

use std::{fs, io, path::PathBuf};

use clap::{
    Args, Command,
    builder::{Resettable, StyledStr},
};
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::{exit_code::ExitCode, failure::Failure, output, version::VERSION};

/// `hallpass man`.
#[derive(Args, Debug)]
pub(super) struct ManArgs {
    /// The folder to write the pages to, one for each command. Left out: print the page of `hallpass` itself.
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

/// Runs `hallpass man`.
pub(super) fn run(args: &ManArgs) -> Result<(), Failure> {
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.folder else {
        let page = String::from_utf8_lossy(&page(&command)?).into_owned();
        return Ok(output::exact(page.trim_end())?);
    };
    let cannot = |error: io::Error| {
        Failure::failed(format!("cannot write to {}: {error}", folder.display()))
    };
    fs::create_dir_all(folder).map_err(cannot)?;
    let mut pages = Vec::new();
    all(&command, &mut pages)?;
    for (name, page) in &pages {
        fs::write(folder.join(name), page).map_err(cannot)?;
    }
    Ok(output::line(&format!(
        "{} pages in {}",
        pages.len(),
        folder.display()
    ))?)
}

/// The pages of a command and of its subcommands, with the names of their files.
fn all(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    if command.is_hide_set() {
        return Ok(());
    }
    pages.push((man(command).get_filename(), page(command)?));
    command
        .get_subcommands()
        .try_for_each(|sub| all(sub, pages))
}

fn man(command: &Command) -> Man {
    // clap_mangen would join the lines of the table of exit codes.
    let command = command.clone().after_help(Resettable::<StyledStr>::Reset);
    Man::new(command)
        // An empty argument: without one, the next would be taken for the date, and pages are the same every day.
        .date("\"\"")
        .source(format!("Hallpass {VERSION}"))
        .manual("Hallpass")
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man(command).render(&mut page)?;
    let mut end = Roff::new();
    end.control("SH", ["EXIT STATUS"]);
    for code in ExitCode::ALL {
        end.control("TP", []);
        end.text([roman(code.number().to_string())]);
        end.text([roman(code.meaning())]);
    }
    end.to_writer(&mut page)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn names(command: &Command, path: &str, found: &mut BTreeSet<String>) {
        found.insert(format!("{path}.1"));
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
            names(sub, &format!("{path}-{}", sub.get_name()), found);
        }
    }

    fn pages() -> Vec<(String, String)> {
        let mut command = super::super::command().disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        all(&command, &mut pages).unwrap();
        let text = |page| String::from_utf8(page).unwrap();
        pages
            .into_iter()
            .map(|(name, page)| (name, text(page)))
            .collect()
    }

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let mut expected = BTreeSet::new();
        names(&super::super::command(), "hallpass", &mut expected);
        let found: BTreeSet<_> = pages().into_iter().map(|(name, _)| name).collect();
        assert_eq!(found, expected);
        assert!(found.contains("hallpass-token-list.1"), "{found:?}");
        assert!(!found.contains("hallpass-man.1"), "{found:?}");
    }

    #[test]
    fn a_page_is_roff_that_says_what_help_says() {
        const REQUESTS: [&str; 11] = [
            "TH", "SH", "TP", "PP", "IP", "RS", "RE", "br", "ie", "el", "ds",
        ];
        for (name, page) in pages() {
            for line in page.lines() {
                assert!(!line.starts_with('\''), "{name}: {line}");
                let Some(request) = line.strip_prefix('.') else {
                    continue;
                };
                let request = request.split(' ').next().unwrap();
                assert!(REQUESTS.contains(&request), "{name}: {line}");
            }
            let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
            let file = name.strip_suffix(".1").unwrap();
            assert_eq!(
                title,
                format!(".TH {file} 1 \"\" \"Hallpass {VERSION}\" Hallpass")
            );
            assert!(page.contains(".SH \"EXIT STATUS\""), "{name}");
        }
        let pages = pages();
        let list = pages
            .iter()
            .find(|(name, _)| name == "hallpass-token-list.1");
        let (_, list) = list.unwrap();
        for text in [
            "hallpass.v1.ListAllTokensResponse",
            "\\fBHALLPASS_DATABASE_URL\\fR",
            "hallpass token list",
        ] {
            assert!(list.contains(text), "{list}");
        }
    }
}
