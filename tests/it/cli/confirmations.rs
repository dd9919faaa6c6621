//! Prompts before something ends, on a terminal; and what happens without one.

use serde_json::{Value, json};

use super::{sandbox::Sandbox, terminal::Terminal};
use crate::test_app::id_of;

/// Creates a machine and a used token with two children.
fn with_token() -> (Sandbox, String) {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let token = sandbox.create_token("ci-bot", &["--note=nightly"]);
    let server = sandbox.serve(&[]);
    for _ in 0..2 {
        let (status, _) = server.call("TokenService/CreateToken", &token, &json!({}));
        assert_eq!(status, 200);
    }
    // Shutting down stores the uses.
    server.stop();
    (sandbox, token)
}

fn is_there(sandbox: &Sandbox, id: &str) -> bool {
    sandbox.run(&["token", "get", id]).code == 0
}

#[test]
fn deleting_a_token_asks_and_names_the_consequences() {
    let (sandbox, token) = with_token();
    let id = id_of(&token);
    let delete = |keys: &str| {
        let mut terminal = Terminal::run(&sandbox, &format!("token delete {id}"));
        terminal.expect("[y/N]").type_keys(keys);
        terminal.end()
    };
    // An empty line, no, a word that only begins like yes, the end of the input, and Ctrl-C.
    for keys in ["\n", "n\n", "yeah\n", "\x04", "\x03"] {
        let (code, seen) = delete(keys);
        assert_eq!(code, 1, "{keys:?}: {seen}");
        assert!(
            seen.contains("hallpass: nothing was done"),
            "{keys:?}: {seen}"
        );
        assert!(is_there(&sandbox, id), "{keys:?}");
    }
    let (code, seen) = delete("YES\n");
    assert_eq!(code, 0, "{seen}");
    let seen = seen.replace("\r\n", "");
    assert!(seen.contains("On sqlite:/"), "{seen}");
    let consequences = format!("the token {id} of ci-bot (\"nightly\") was last used ");
    assert!(seen.contains(&consequences), "{seen}");
    assert!(
        seen.contains("ago from 127.0.0.1; ") || seen.contains("now from 127.0.0.1; "),
        "{seen}"
    );
    let question = "2 tokens created with it would end, too. Delete it and them? [y/N]";
    assert!(seen.contains(question), "{seen}");
    assert!(!is_there(&sandbox, id));
}

#[test]
fn rotating_without_a_grace_asks_and_with_one_does_not() {
    let (sandbox, token) = with_token();
    let id = id_of(&token);
    for args in ["", "--grace=0s"] {
        let mut terminal = Terminal::run(&sandbox, &format!("token rotate {id} {args}"));
        terminal.expect("[y/N]").type_keys("\n");
        let (code, seen) = terminal.end();
        assert_eq!(code, 1, "{seen}");
        assert!(seen.contains("its secret ends at once"), "{seen}");
    }
    let server = sandbox.serve(&[]);
    assert!(server.accepts(&token), "the token must be unchanged");
    let (code, seen) = Terminal::run(&sandbox, &format!("token rotate {id} --grace=1h")).end();
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains("[y/N]") && server.accepts(&token), "{seen}");
    let new = sandbox.create_token("ci-bot", &[]);
    let rotate = format!("token rotate {} -y", id_of(&new));
    let (code, seen) = Terminal::run(&sandbox, &rotate).end();
    assert_eq!(code, 0, "{seen}");
    assert!(
        !seen.contains("[y/N]") && seen.contains("on sqlite:/"),
        "{seen}"
    );
    assert!(!server.accepts(&new));
    server.stop();
}

#[test]
fn change_made_during_the_prompt_is_reported() {
    let (sandbox, token) = with_token();
    let other = sandbox.create_token("ci-bot", &[]);
    for (command, other_deed, told, code) in [
        (
            format!("token delete {}", id_of(&token)),
            id_of(&token),
            "deleted before",
            0,
        ),
        (
            format!("token rotate {}", id_of(&other)),
            id_of(&other),
            "somebody else has deleted it",
            1,
        ),
    ] {
        let mut terminal = Terminal::run(&sandbox, &command);
        terminal.expect("[y/N]");
        // No lock is held during the prompt.
        sandbox.print(&["token", "delete", other_deed]);
        let (ended, seen) = terminal.type_keys("y\n").end();
        assert_eq!(ended, code, "{seen}");
        assert!(seen.contains(told), "{seen}");
    }
}

#[test]
fn deleting_a_user_reports_its_tokens_and_their_last_use() {
    let (sandbox, _) = with_token();
    for verb in ["delete", "deactivate"] {
        let mut terminal = Terminal::run(&sandbox, &format!("user {verb} ci-bot"));
        terminal.expect("[y/N]").type_keys("\x03");
        let (code, seen) = terminal.end();
        assert_eq!(code, 1, "{seen}");
        assert!(
            seen.contains("ci-bot has 3 live tokens, last used "),
            "{seen}"
        );
        let user = sandbox.json(&["user", "get", "ci-bot"]);
        assert_eq!(user["user"]["deactivated"], false);
    }
}

#[test]
fn without_a_terminal_only_bulk_revocation_needs_yes() {
    let (sandbox, token) = with_token();
    let [second, third] = [(); 2].map(|()| sandbox.create_token("ci-bot", &[]));
    for args in [
        &["token", "revoke", id_of(&third)][..],
        &["token", "revoke", "--user=ci-bot"],
        &["token", "revoke", "-"],
        &["user", "delete", "ci-bot"],
        &["user", "deactivate", "ci-bot"],
    ] {
        let refusal = sandbox.run_with(args, &third).stderr;
        assert_eq!(sandbox.run_with(args, &third).code, 2, "{args:?}");
        assert!(refusal.contains("--yes"), "{args:?}: {refusal}");
        assert!(is_there(&sandbox, id_of(&third)), "{args:?}");
    }
    // Only the result is on stdout.
    let ran = sandbox.run(&["token", "rotate", id_of(&second), "--json"]);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(told["predecessor"]["id"], id_of(&second));
    assert!(ran.stderr.starts_with("on sqlite:/"), "{ran:?}");
    let ran = sandbox.run(&["token", "delete", id_of(&token), "--json"]);
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(
        told,
        json!({ "deletedChildren": 2, "alreadyDeleted": false })
    );
    assert!(ran.stderr.starts_with("on sqlite:/"), "{ran:?}");
    let again = sandbox.print(&["token", "delete", id_of(&token)]);
    assert!(again.contains("was deleted before"), "{again}");
    sandbox.print(&["token", "revoke", id_of(&third), "--yes"]);
    assert!(!is_there(&sandbox, id_of(&third)));
}
