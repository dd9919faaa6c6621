//! The command line: one file a noun. A command that works on data is a client of the RPCs: `client` finds the
//! server, or serves them to itself. `serve` puts the server together. There is no policy and no SQL here.
//!
//! stdout holds the answer alone; everything else goes to stderr. A failure is a line, where the command was called
//! wrongly with what helps in lines below it, and an exit code from the one table in [`exit_code`].

mod audit;
mod bench;
mod client;
mod completions;
mod config;
mod confirmation;
mod data;
pub mod exit_code;
mod failure;
mod healthcheck;
mod impact;
pub mod json_shape;
mod logging;
mod login;
mod machine;
mod man;
mod open_files;
mod output;
mod password_input;
mod plural;
mod relative_time;
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
    config::{Settings, environment, unseen::refuse_unseen, variables},
    domain::token_text::TokenText,
};
use exit_code::ExitCode;
use failure::Failure;

/// Issues, lists, verifies and revokes API tokens for machines.
///
/// `hallpass serve` is the server. The commands that work on data are its clients. What they work on is the first
/// that is given of --server, --database-url, `HALLPASS_SERVER`, `HALLPASS_DATABASE_URL`, the server of the last
/// `hallpass login`, and the database hallpass.db here; `hallpass status` tells. On a database that no server owns, a
/// command works by itself.
///
/// Settings are flags or environment variables: --database-url is `HALLPASS_DATABASE_URL`.
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
    /// Log in to a server, for commands from this machine: by password or with a token.
    ///
    /// With a password, a token is made for you that expires. A token that you have is stored once the server has
    /// said whose it is. It is kept in a file for your eyes alone, goes to this very server, and is used where no other
    /// token is given. `hallpass logout` ends it.
    Login(Box<login::LoginArgs>),
    /// Forget a stored login, and revoke its token where the login has made it.
    Logout(login::LogoutArgs),
    /// Tell as whom the server knows you.
    Whoami(whoami::Whoami),
    /// Tell which server or database commands work on and why, and how it is.
    ///
    /// Everyone is told version and readiness, whoever has a valid token which policies are in force, admins and
    /// commands on the server's machine how many users and tokens there are. The exit code is 0 where it is ready.
    Status(status::Status),
    /// Tell the version of this program, and of the server that it would call.
    Version(version::Version),
    /// People, and what is done to any user.
    #[command(subcommand)]
    User(user::UserCommand),
    /// Machines: users that have no password, only tokens.
    #[command(subcommand)]
    Machine(machine::MachineCommand),
    /// Tokens.
    #[command(subcommand, after_help = token::EXAMPLES)]
    Token(token::TokenCommand),
    /// The audit log.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// The database as a whole.
    #[command(subcommand)]
    Data(data::DataCommand),
    /// The settings.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Find leaked tokens in files, stdin or Git history, and revoke them.
    ///
    /// A token is told by its form and its checksum, whatever its prefix and whatever surrounds it, in files of
    /// any kind: as it is, in base64, in UTF-16, broken over lines (of 24 characters or more), and in gzip, zip
    /// and tar. What is encrypted or compressed in another way is not unpacked. Limits keep what was made to
    /// unpack without end from doing so; what they cut off is told.
    ///
    /// All of a folder is searched, hidden files and .git too, but for what --exclude names. A path that is named
    /// is always searched. Symbolic links are not followed, and a file is read once, however many names it has.
    ///
    /// Of a Git repository nothing but its objects is read: none of its settings counts, and nothing that it
    /// names is run.
    ///
    /// The exit code is 0 if nothing was found, 1 if tokens were, and more if something went wrong.
    Scan(scan::Scan),
    /// Ask the server on this machine whether it is ready.
    Healthcheck(healthcheck::Healthcheck),
    /// Measure how fast this machine is, on a server and a database of the measurement's own.
    Bench(bench::Bench),
    /// Print a script that lets a shell complete these commands, and the names, IDs and scopes that are there.
    ///
    /// bash: `source <(hallpass completions bash)` in ~/.bashrc; zsh: the same behind compinit in ~/.zshrc; fish:
    /// `hallpass completions fish | source` in ~/.config/fish/config.fish. The script asks this program, which asks what
    /// the command on the line works on, for a second at most. Reads of an admin are on record, these with the user
    /// agent `hallpass/VERSION (completion)`.
    Completions(completions::Completions),
    /// Write manual pages.
    #[command(hide = true)]
    Man(man::ManArgs),
}

/// The command line as clap knows it: for completions, and for whoever describes it.
pub fn command() -> Command {
    take_negative_numbers(json_shape::described(Cli::command())).after_help(exit_code::help())
}

/// Has `--limit -1` be a value, which is refused with the range, and not an unknown flag `-1`. Whatever else begins
/// with a hyphen, these values' parsers refuse.
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

/// Runs the command that `args` say, and tells how it ended.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    hide_memory();
    let args: Vec<_> = args.into_iter().collect();
    if completions::answer(&args) {
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
    let matches = match environment::without_empty(command.clone()).try_get_matches_from(args) {
        Ok(matches) => matches,
        // `--help` and `--version` are errors to clap. Help names all variables.
        Err(error) if !error.use_stderr() => {
            let help = command.try_get_matches_from(args).err().unwrap_or(error);
            return Ok(help.print()?);
        }
        // The same text, where `hallpass` or `hallpass user` was told nothing to do.
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.print()?;
            return Err(Failure::silent(ExitCode::Usage));
        }
        Err(error) => return Err(usage_error::failure(&error, args)),
    };
    let cli =
        Cli::from_arg_matches(&matches).map_err(|error| usage_error::failure(&error, args))?;
    check_environment(&command, &matches)
        .and_then(|()| dispatch(cli.command, &matches))
        .map_err(|failure| usage_error::with_help(failure, args))
}

/// Warns of a secret among the arguments, whatever else becomes of the command. Its ID is no secret.
fn warn_of_plaintexts(args: &[OsString]) {
    let texts = args.iter().filter_map(|arg| arg.to_str());
    for token in texts.filter_map(|text| TokenText::from_paste(text).ok()) {
        output::hint(&format!(
            "The secret of the token {} stands in an argument: whoever may see this machine's processes can read it, \
             and your shell may keep it. Give the ID instead; a token that others may have seen is to be rotated or \
             deleted.",
            token.id()
        ));
    }
}

fn check_environment(command: &Command, matches: &ArgMatches) -> Result<(), Failure> {
    environment::refuse_unknown(&variables(command))?;
    Ok(refuse_unseen(command, matches)?)
}

fn dispatch(command: Commands, matches: &ArgMatches) -> Result<(), Failure> {
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
        Commands::Data(command) => data::run(command),
        Commands::Config(command) => {
            let matches = matches.subcommand_matches("config").unwrap_or(matches);
            config::run(&command, matches)
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
    fn clap_finds_no_mistake() {
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
                let is_file_or_switch =
                    !arg.get_action().takes_values() || arg.get_id().as_str() == "password_file";
                assert!(is_file_or_switch || !arg.get_id().as_str().contains("password"));
            }
        }
    }
}
