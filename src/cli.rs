//! The command line, with a file for each noun. Commands that work on data are clients of the RPCs: `client` connects
//! to the server, or embeds one. `serve` assembles the server. There is no policy and no SQL here.
//!
//! Results go to stdout, everything else to stderr. A failure is a message, hints below it, and an exit code from
//! [`exit_code`].

mod audit;
mod backup;
pub mod bench;
mod client;
mod completions;
mod config;
mod confirmation;
mod data;
pub mod exit_code;
mod failure;
mod healthcheck;
mod impact;
pub mod json_output;
mod logging;
mod login;
mod machine;
mod man;
mod migrate;
mod new_file;
mod open_files;
mod output;
mod password_input;
mod plural;
mod relative_time;
mod restore;
mod scan;
mod serve;
mod status;
mod table;
mod time_arg;
mod token;
mod usage_error;
mod user;
mod user_view;
mod version;
mod whoami;

use std::ffi::OsString;

use clap::{
    Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind,
};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{
    config::{
        Settings, environment, file::SettingsFile, invisible::refuse_invisible, variables,
        with_variables,
    },
    domain::token_text::TokenText,
};
use exit_code::ExitCode;
use failure::Failure;

/// Issues, lists, verifies and revokes API tokens for machines.
///
/// `hallpass serve` runs the server. Most other commands are its clients. They work on the first target given by
/// --server, --database-url, `HALLPASS_SERVER`, `HALLPASS_DATABASE_URL` or the last `hallpass login`, and otherwise on
/// the database hallpass.db in the working directory or, if there is none, that of the Debian package's service;
/// `hallpass status` shows which. If no server runs on a database, they open it themselves.
///
/// Every setting is a flag and an environment variable: --database-url is `HALLPASS_DATABASE_URL`.
#[derive(Parser, Debug)]
#[command(
    name = "hallpass",
    bin_name = "hallpass",
    version,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Commands,
}

#[derive(Subcommand, Debug)]
enum Commands {
    /// Run the server.
    Serve(Box<Settings>),
    /// Log in to a server with a password or a token, for later commands on this machine.
    ///
    /// A password creates a token for you that expires. An existing token is stored after the server has confirmed whose
    /// it is. The token is stored in a file that only you can read, is sent to this server only, and is used if no other
    /// token is given. `hallpass logout` revokes a token that the login has created.
    Login(Box<login::LoginArgs>),
    /// Forget a stored login, and revoke its token if the login has created it.
    Logout(login::LogoutArgs),
    /// Show who you are to the server.
    Whoami(whoami::Whoami),
    /// Show which server or database commands work on, why, and its state.
    ///
    /// Everyone sees the version and whether it is ready; callers with a valid token also see the policies; admins and
    /// commands on the server's machine also see how many users and tokens there are. The exit code is 0 if it is ready.
    Status(status::Status),
    /// Show the versions of this program and of the server that it would call.
    Version(version::Version),
    /// Manage people, and users of any kind.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Manage machines: users that have no password, only tokens.
    #[command(subcommand)]
    Machine(machine::MachineCommand),
    /// Create, list, check and revoke tokens.
    #[command(subcommand, after_help = token::EXAMPLES)]
    Token(token::TokenCommand),
    /// Read and verify the audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Copy the whole database into a file, while it is in use.
    ///
    /// The backup holds everything that was confirmed before the command began, in one file of `SQLite` that only you can
    /// read, and which is checked against the server's checksum before it gets its name. It holds the hashes of all
    /// tokens and passwords: keep it as safe as the database, or encrypt it, as in `hallpass backup - | age …`; then let the
    /// shell fail with it (`set -o pipefail`). The server needs as much free space as the database's content. `hallpass
    /// restore` puts a backup in place. Do not copy the database's file itself while a server runs: what was written last is
    /// in its log.
    Backup(backup::Backup),
    /// Put a backup in the place of a database that no server has open.
    ///
    /// The backup is copied and checked first. If there is a database, it is kept aside under another name, and you choose
    /// what becomes of what it has ended since the backup: with --keep-newer-revocations, tokens that were revoked,
    /// rotated, disabled or limited stay so, and so do deleted and deactivated users, lost roles and machines, and
    /// changed passwords. Whatever was created since the backup is lost in any case. The new database's audit log records the
    /// restoration; `hallpass serve` goes on from there.
    Restore(restore::RestoreArgs),
    /// Check the database.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Bring a database to the schema of this version without serving it, or create it.
    ///
    /// `serve` does the same at its start. The migrations happen as a whole or not at all, and an older version cannot
    /// open the database afterwards, so make a backup first. Stop the server that has the database: this command waits
    /// ten seconds for it.
    Migrate(migrate::Migrate),
    /// Check the settings.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Find leaked tokens in files, stdin or Git history, and revoke them.
    ///
    /// A token is recognised by its form and its checksum, with any prefix and in any context: in plain text, in base64,
    /// in UTF-16, broken over lines of at least 24 characters, and in gzip, zip and tar. Other archives and encrypted
    /// files are not unpacked. How much is unpacked is limited; what exceeds the limit is reported.
    ///
    /// All files of a folder are searched, including hidden files and .git, except those that --exclude matches. Paths
    /// that are given are always searched. Symbolic links are not followed, and a file with several names is read once.
    ///
    /// Only the objects of a Git repository are read. Its configuration is ignored, and nothing that it names is run.
    ///
    /// The exit code is 0 if nothing was found, 1 if tokens were found, and greater if something went wrong.
    Scan(scan::Scan),
    /// Ask the server on this machine whether it is ready.
    Healthcheck(healthcheck::Healthcheck),
    /// Measure how fast this machine is, with a temporary server and database.
    Bench(bench::Bench),
    /// Print a script with which a shell completes these commands, and existing names, IDs and scopes.
    ///
    /// bash: `source <(hallpass completions bash)` in ~/.bashrc; zsh: the same after compinit in ~/.zshrc; fish:
    /// `hallpass completions fish | source` in ~/.config/fish/config.fish. The script calls this program, which asks the
    /// target of the command line for at most a second. An admin's reads are recorded, with the user agent
    /// `hallpass/VERSION (completion)`.
    Completions(completions::Completions),
    /// Write manual pages.
    #[command(hide = true)]
    Man(man::ManArgs),
}

/// The command line as clap sees it.
pub fn command() -> Command {
    let command = with_variables(json_output::described(Cli::command()));
    take_negative_numbers(command).after_help(exit_code::help())
}

/// Makes `--limit -1` a value, which is refused with the range, instead of an unknown flag `-1`. The parsers of these
/// values refuse everything else that begins with a hyphen.
fn take_negative_numbers(command: Command) -> Command {
    let measures = ["NUMBER", "KIB", "SIZE", "DURATION", "WHEN"];
    let is_measure = |arg: &Arg| {
        let names = arg.get_value_names().unwrap_or_default();
        names.iter().any(|name| measures.contains(&name.as_str()))
    };
    let take = |arg: Arg| {
        let is_measure = is_measure(&arg);
        arg.allow_hyphen_values(is_measure)
    };
    command
        .mut_args(take)
        .mut_subcommands(take_negative_numbers)
}

/// Runs the command in `args`, and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    hide_memory();
    let args: Vec<_> = args.into_iter().collect();
    if completions::complete(&args) {
        return ExitCode::Ok;
    }
    match parse_and_run(&args) {
        Ok(()) => ExitCode::Ok,
        Err(failure) => {
            failure.print();
            failure.code()
        }
    }
}

/// From now on only root sees this process's memory and environment, which hold secrets: not in `/proc`, not in a
/// debugger, not in a core file. Where the system refuses, they are as visible as those of any process.
fn hide_memory() {
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
}

fn parse_and_run(args: &[OsString]) -> Result<(), Failure> {
    warn_of_plaintexts(args);
    let command = command();
    let parser = environment::without_empty(command.clone());
    let matches = match parser.clone().try_get_matches_from(args) {
        Ok(matches) => matches,
        // `--help` and `--version` are errors to clap. The help names all variables.
        Err(error) if !error.use_stderr() => {
            let help = command.try_get_matches_from(args).err().unwrap_or(error);
            return Ok(help.print()?);
        }
        // `hallpass` or `hallpass user` without a command prints the help, too.
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.print()?;
            return Err(Failure::silent(ExitCode::Usage));
        }
        Err(error) => return Err(usage_error::failure(&error, args)),
    };
    let usage_error = |error| usage_error::failure(&error, args);
    let run = || {
        check_environment(&command, &matches)?;
        let file = SettingsFile::find(&matches)?;
        let matches = if file.is_empty() {
            matches
        } else {
            let parsed = file.apply(parser).try_get_matches_from(args);
            parsed.map_err(usage_error)?
        };
        let cli = Cli::from_arg_matches(&matches).map_err(usage_error)?;
        dispatch(cli.command, &matches, &file)
    };
    run().map_err(|failure| usage_error::with_help(failure, args))
}

/// Warns of secrets among the arguments, whether or not the command succeeds.
fn warn_of_plaintexts(args: &[OsString]) {
    let texts = args.iter().filter_map(|arg| arg.to_str());
    for token in texts.filter_map(|text| TokenText::from_paste(text).ok()) {
        output::hint(&format!(
            "The secret of the token {} is in an argument: everyone who can see this machine's processes can read it, \
             and your shell may keep it. Give the ID instead. If others may have seen it, rotate or delete the token.",
            token.id()
        ));
    }
}

fn check_environment(command: &Command, matches: &ArgMatches) -> Result<(), Failure> {
    environment::refuse_unknown(&variables(command))?;
    Ok(refuse_invisible(command, matches)?)
}

fn dispatch(command: Commands, matches: &ArgMatches, file: &SettingsFile) -> Result<(), Failure> {
    if !matches!(command, Commands::Serve(_)) {
        logging::start_for_command();
    }
    match command {
        Commands::Serve(settings) => serve::run(&settings),
        Commands::Login(args) => login::login(*args),
        Commands::Logout(args) => login::logout(args),
        Commands::Whoami(args) => whoami::run(&args),
        Commands::Status(args) => status::run(&args),
        Commands::Version(args) => version::run(&args),
        Commands::User(command) => user::run(command),
        Commands::Machine(command) => machine::run(command),
        Commands::Token(command) => token::run(command),
        Commands::Audit(command) => audit::run(command),
        Commands::Backup(args) => backup::run(&args),
        Commands::Restore(args) => restore::run(&args),
        Commands::Data(command) => data::run(command),
        Commands::Migrate(args) => migrate::run(&args),
        Commands::Config(command) => {
            let matches = matches.subcommand_matches("config").unwrap_or(matches);
            config::run(&command, matches, file)
        }
        Commands::Scan(args) => scan::run(&args),
        Commands::Healthcheck(args) => healthcheck::run(&args),
        Commands::Bench(args) => bench::run(&args),
        Commands::Completions(args) => completions::run(&args),
        Commands::Man(args) => man::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands(command: &Command, found: &mut Vec<Command>) {
        found.push(command.clone());
        for sub in command.get_subcommands() {
            commands(sub, found);
        }
    }

    #[test]
    fn the_command_is_valid_for_clap() {
        command().debug_assert();
    }

    #[test]
    fn every_command_and_argument_is_described() {
        let mut found = vec![];
        commands(&command(), &mut found);
        for command in found {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{name}: {}", arg.get_id());
            }
        }
    }

    #[test]
    fn no_argument_is_a_password() {
        let mut found = vec![];
        commands(&command(), &mut found);
        for command in found {
            for arg in command.get_arguments() {
                let is_file_or_switch = !arg.get_action().takes_values()
                    || arg.get_id().as_str().ends_with("password_file");
                assert!(is_file_or_switch || !arg.get_id().as_str().contains("password"));
            }
        }
    }
}
