//! What is told of wrong arguments, and what is not.

use super::*;

/// All lines but the last, which names the help of `command`.
fn refusal_of(command: &str, args: &[&str]) -> String {
    let args: Vec<OsString> = ["hallpass"].iter().chain(args).map(Into::into).collect();
    let error = crate::cli::command()
        .try_get_matches_from(&args)
        .unwrap_err();
    let text = failure(&error, &args).text().unwrap();
    let text = text.strip_prefix("hallpass: ").unwrap();
    let end = format!("\nSee `{command} --help`.\n");
    text.strip_suffix(&end)
        .unwrap_or_else(|| panic!("{text}"))
        .to_owned()
}

#[test]
fn a_refused_value_is_told_by_setting_and_reason_alone() {
    let serve = |arg| refusal_of("hallpass serve", &["serve", arg]);
    let passes = "--argon2-passes (HALLPASS_ARGON2_PASSES)";
    assert_eq!(
        serve("--argon2-passes=1"),
        format!("{passes}: must be a whole number from 2 to 64, not 1")
    );
    assert_eq!(
        serve("--argon2-passes=2\r"),
        format!("{passes}: ends with \\r, which does not show: leave it out")
    );
    let member = serve("--trusted-proxy= 10.0.0.0/8, here ");
    assert!(member.contains("is not a network"), "{member}");
    let postgres = serve("--database-url=postgres://me:hunter2@db/x");
    assert!(postgres.starts_with("--database-url (HALLPASS_DATABASE_URL): "));
    assert!(!postgres.contains("hunter2"), "{postgres}");
}

#[test]
fn what_is_wrong_and_the_nearest_that_is_right_are_lines_of_their_own() {
    for (args, of, expected) in [
        (
            "user get",
            "user get",
            "missing: <USER>\nUsage: hallpass user get <USER>",
        ),
        (
            "user list --jsn",
            "user list",
            "`hallpass user list` has no flag --jsn\nDid you mean --json?",
        ),
        (
            "--json user list",
            "user list",
            "`hallpass user list` has no flag --json\nGive --json behind `hallpass user list`.",
        ),
        (
            "--server http://[::1]:1 user list",
            "user list",
            "`hallpass user list` has no flag --server\nGive --server behind `hallpass user list`.",
        ),
        (
            "token create --user ci-bot",
            "token create",
            "`hallpass token create` has no flag --user\nGive USER without a flag before it.",
        ),
        // Words that merely begin like one of ours.
        (
            "token revoke --all",
            "token revoke",
            "`hallpass token revoke` has no flag --all\nUsage: hallpass token revoke [OPTIONS] [ID|-]...",
        ),
        (
            "token list --note deploy",
            "token list",
            "`hallpass token list` has no flag --note\nUsage: hallpass token list [OPTIONS] [USER]",
        ),
        (
            "tokn list",
            "",
            "`hallpass` has no command tokn\nDid you mean token?",
        ),
        (
            "data chekc",
            "data",
            "`hallpass data` has no command chekc\nDid you mean check?",
        ),
        (
            "audit remove",
            "audit",
            "`hallpass audit` has no command remove\nIts commands are list, verify.",
        ),
        (
            "user set-role bob adm",
            "user set-role",
            "ROLE: adm is none of admin, member\nDid you mean admin?",
        ),
        (
            "token list --all --state",
            "token list",
            "--state <STATE> lacks its value: live, disabled or expired",
        ),
        (
            "token list --limit",
            "token list",
            "--limit <NUMBER> lacks its value",
        ),
        (
            "token list --limit -1",
            "token list",
            "--limit: must be a whole number from 1 to 1000000000, not -1",
        ),
        (
            "token rotate 0000000000000000000000 --grace -1h",
            "token rotate",
            "--grace: is no duration such as 90d, 36h or 10s",
        ),
        (
            "token list --all --all",
            "token list",
            "--all is given twice",
        ),
        (
            "token list bob --all",
            "token list",
            "USER and --all exclude each other",
        ),
        (
            "token list --json=yes",
            "token list",
            "--json takes no value",
        ),
    ] {
        let of = format!("hallpass {of}");
        let args: Vec<_> = args.split(' ').collect();
        assert_eq!(refusal_of(of.trim_end(), &args), expected);
    }
    let update = ["token", "update", "0000000000000000000000"];
    let missing = refusal_of("hallpass token update", &update);
    let first = "missing: --note <TEXT>, --scope <SCOPE> or --cidr <CIDR>\n";
    assert!(missing.starts_with(first), "{missing}");
}

#[test]
fn what_may_be_a_secret_is_not_repeated() {
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    for (of, args) in [
        ("user create", &["user", "create", "alice", secret][..]),
        (
            "user create",
            &["user", "create", "alice", &format!("--password={secret}")],
        ),
        (
            "user create",
            &["user", "create", "alice", "--password", secret],
        ),
        (
            "user create",
            &["user", "create", "alice", &format!("--{secret}")],
        ),
        ("user set-role", &["user", "set-role", "alice", secret]),
        ("token get", &["token", "get", secret]),
        ("token list", &["token", "list", "--limit", secret]),
        (
            "token list",
            &["token", "list", &format!("--json={secret}")],
        ),
        ("token", &["token", secret]),
        ("", &[secret]),
    ] {
        let refusal = refusal_of(format!("hallpass {of}").trim_end(), args);
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
    let short = &["user", "create", "alice", "hunter2"];
    assert!(!refusal_of("hallpass user create", short).contains("hunter2"));
}
