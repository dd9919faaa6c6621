//! The types that `--json` and `--jsonl` print. `--help` shows this table, and a test checks every command against it.

use clap::{Arg, Command};

/// The JSON of one command.
#[derive(Clone, Copy, Debug)]
pub struct JsonOutput {
    /// The command, without `hallpass`.
    pub command: &'static str,
    /// The flag that selects this type; empty for `--json` alone.
    pub flag: &'static str,
    /// Its type.
    pub json: JsonType,
}

/// The type of a JSON value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonType {
    /// The full name of a message of the API, printed as `ProtoJSON`.
    Message(&'static str),
    /// Another object, as JSON with types or full message names for values. Fields whose names end with `?` may be null
    /// or missing.
    Object(&'static str),
}

const JSON: &str = "json";
const JSONL: &str = "jsonl";
/// [`JsonOutput::flag`] for `--jsonl`.
pub const JSONL_FLAG: &str = "--jsonl";

macro_rules! reply {
    ($command:literal, $flag:expr, $name:literal) => {
        JsonOutput {
            command: $command,
            flag: $flag,
            json: JsonType::Message(concat!("hallpass.v1.", $name)),
        }
    };
    ($command:literal, $name:literal) => {
        reply!($command, "", $name)
    };
}

const fn object(command: &'static str, flag: &'static str, json: &'static str) -> JsonOutput {
    let json = JsonType::Object(json);
    JsonOutput {
        command,
        flag,
        json,
    }
}

/// All commands that print JSON, with an entry for each flag that changes the type.
pub const JSON_OUTPUTS: &[JsonOutput] = &[
    object(
        "login",
        "",
        r#"{"server": "string", "username": "string", "tokenId": "string", "tokenFile": "string", "expireTime?": "string"}"#,
    ),
    reply!("whoami", "GetCurrentUserResponse"),
    object(
        "status",
        "",
        r#"{"target": "string", "why": "string", "tokenSource?": "string", "tokenRefused?": "string", "embedded?": "boolean", "server?": "hallpass.v1.GetServerStatusResponse"}"#,
    ),
    object(
        "version",
        "",
        r#"{"version": "string", "server?": {"target": "string", "version": "string"}}"#,
    ),
    reply!("user create", "CreateUserResponse"),
    reply!("user list", "ListUsersResponse"),
    reply!("user list", JSONL_FLAG, "User"),
    reply!("user get", "GetUserResponse"),
    reply!("user set-password", "SetPasswordResponse"),
    reply!("user set-role", "GetUserResponse"),
    reply!("user describe", "GetUserResponse"),
    reply!("user deactivate", "GetUserResponse"),
    reply!("user reactivate", "GetUserResponse"),
    reply!("user delete", "DeleteUserResponse"),
    reply!("machine create", "CreateUserResponse"),
    reply!("machine list", "ListUsersResponse"),
    reply!("machine list", JSONL_FLAG, "User"),
    reply!("machine get", "GetUserResponse"),
    reply!("machine set-owner", "GetUserResponse"),
    reply!("machine describe", "GetUserResponse"),
    reply!("machine deactivate", "GetUserResponse"),
    reply!("machine reactivate", "GetUserResponse"),
    reply!("machine delete", "DeleteUserResponse"),
    reply!("token create", "CreateTokenResponse"),
    reply!("token list", "ListTokensResponse"),
    reply!("token list", "--all", "ListAllTokensResponse"),
    reply!("token list", "--count", "CountAllTokensResponse"),
    reply!("token list", JSONL_FLAG, "Token"),
    reply!("token get", "GetTokenResponse"),
    reply!("token rotate", "RotateTokenResponse"),
    reply!("token update", "UpdateTokenResponse"),
    reply!("token disable", "UpdateTokenResponse"),
    reply!("token enable", "UpdateTokenResponse"),
    reply!("token explain", "ExplainTokenResponse"),
    reply!("token verify", "VerifyTokenResponse"),
    reply!("token delete", "DeleteTokenResponse"),
    reply!("token revoke", "RevokeTokensResponse"),
    object(
        "token inspect",
        "",
        r#"{"id": "string", "prefix": "string"}"#,
    ),
    reply!("audit list", "ListAuditEventsResponse"),
    reply!("audit list", JSONL_FLAG, "AuditEvent"),
    object(
        "audit tail",
        JSONL_FLAG,
        r#"{"sequence": "number", "time": "string", "actor": "string", "credential_kind": "string", "credential_id": "string", "action": "string", "target": "string", "successor_id": "string", "outcome": "string", "count": "number", "ip": "string", "user_agent": "string", "request_id": "string", "client_request_id": "string", "format": "number", "previous_hash": "string", "hash": "string"}"#,
    ),
    object(
        "audit verify",
        "",
        r#"{"rows": "string", "head": "string", "purged?": {"last": "string", "time": "string", "checkpoint": "string", "retention": "string"}, "breaks": [{"sequence": "string", "problem": "string"}]}"#,
    ),
    object(
        "backup",
        "",
        r#"{"file": "string", "sizeBytes": "string", "sha256": "string", "schema": "number", "auditHead": "string", "verified?": {"auditRows": "string", "users": "string", "tokens": "string"}}"#,
    ),
    object(
        "restore",
        "",
        r#"{"database": "string", "keptAside?": "string", "backupSchema": "number", "backupHead": "string", "auditHead": "string", "keptEnded?": {"tokens": "string", "users": "string"}}"#,
    ),
    object("data check", "", r#"{"findings": ["string"]}"#),
    object(
        "migrate",
        "",
        r#"{"database": "string", "dryRun": "boolean", "fromSchema": "number", "toSchema": "number", "fromVersion?": "string", "toVersion": "string", "migrations": [{"schema": "number", "name": "string"}], "durationMillis": "number"}"#,
    ),
    object(
        "config check",
        "",
        r#"{"settings": [{"name": "string", "value?": "string", "source": "string"}]}"#,
    ),
    object(
        "scan",
        "",
        r#"{"commit?": "string", "object?": "string", "path?": "string", "line": "number", "column": "number", "offset": "number", "encoding?": "string", "prefix": "string", "tokenId": "string"}"#,
    ),
    object(
        "scan",
        "--revoke",
        r#"{"tokenId": "string", "outcome": "string"}"#,
    ),
    object(
        "bench",
        "",
        r#"{"version": "string", "measurements": [{"what": "string", "clients": "number", "perSecond": "number", "p50Micros": "number", "p99Micros": "number", "cpuMicros?": "number"}], "diskSyncMicros": "number", "residentBytes?": "number"}"#,
    ),
];

/// Adds the types to the help of all commands.
pub(super) fn described(command: Command) -> Command {
    describe("", command)
}

fn describe(path: &str, command: Command) -> Command {
    command
        .mut_args(|arg| match arg.get_id().as_str() {
            JSON => with_types(arg, path, |flag| flag != JSONL_FLAG),
            JSONL => with_types(arg, path, |flag| flag == JSONL_FLAG),
            _ => arg,
        })
        .mut_subcommands(|sub| {
            let path = format!("{path} {}", sub.get_name());
            describe(path.trim_start(), sub)
        })
}

fn with_types(arg: Arg, path: &str, is_wanted: impl Fn(&str) -> bool) -> Arg {
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let outputs = JSON_OUTPUTS.iter().filter(|output| output.command == path);
    for (output, at) in outputs.filter(|output| is_wanted(output.flag)).zip(0..) {
        help.push_str(if at == 0 { ": " } else { "; " });
        if at > 0 {
            help.push_str("with ");
            help.push_str(output.flag);
            help.push(' ');
        }
        match output.json {
            JsonType::Message(name) => help.push_str(name),
            JsonType::Object(json) => help.push_str(json),
        }
    }
    arg.help(help)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::proto;

    fn flags(path: &str, command: &Command, found: &mut BTreeSet<(String, &'static str)>) {
        for (flag, with) in [(JSON, ""), (JSONL, JSONL_FLAG)] {
            if command.get_arguments().any(|arg| arg.get_id() == flag) {
                found.insert((path.to_owned(), with));
            }
        }
        for sub in command.get_subcommands() {
            let path = format!("{path} {}", sub.get_name());
            flags(path.trim_start(), sub, found);
        }
    }

    #[test]
    fn every_command_that_prints_json_is_in_the_table_once() {
        let mut found = BTreeSet::new();
        flags("", &super::super::command(), &mut found);
        let is_own = |output: &&JsonOutput| matches!(output.flag, "" | JSONL_FLAG);
        let listed = JSON_OUTPUTS.iter().filter(is_own);
        let listed: Vec<_> = listed
            .map(|output| (output.command.to_owned(), output.flag))
            .collect();
        assert_eq!(listed.iter().cloned().collect::<BTreeSet<_>>(), found);
        assert_eq!(listed.len(), found.len());
    }

    #[test]
    fn every_type_is_a_message_or_an_object() {
        for output in JSON_OUTPUTS {
            match output.json {
                JsonType::Message(name) => {
                    assert!(proto::pool().get_message_by_name(name).is_some(), "{name}");
                }
                JsonType::Object(json) => {
                    let json: serde_json::Value = serde_json::from_str(json).unwrap();
                    assert!(json.is_object(), "{json}");
                }
            }
        }
    }

    #[test]
    fn help_shows_the_type() {
        let mut command = super::super::command();
        let token = command.find_subcommand_mut("token").unwrap();
        let list = token.find_subcommand_mut("list").unwrap();
        let help = list.render_long_help().to_string();
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        for text in [
            "all pages as one reply: hallpass.v1.ListTokensResponse; with --all hallpass.v1.ListAllTokensResponse; with --count",
            "page by page as they arrive: hallpass.v1.Token",
        ] {
            assert!(help.contains(text), "{help}");
        }
    }
}
