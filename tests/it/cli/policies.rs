//! The operator's policies: refused where they contradict each other, and obeyed by commands, too, which take
//! them from the server, or from the last one that ran on the database.

use super::sandbox::{Ran, Sandbox};

#[test]
fn default_lifetime_beyond_the_maximum_is_refused_at_start() {
    let sandbox = Sandbox::set_up();
    let contradiction = [
        "--max-machine-token-ttl=30d",
        "--default-machine-token-ttl=31d",
    ];
    for command in [&["config", "check"][..], &["serve", "--listen=127.0.0.1:0"]] {
        let refusal = sandbox.run(&[command, &contradiction].concat()).refused(2);
        assert!(
            refusal
                .starts_with("--default-machine-token-ttl (HALLPASS_DEFAULT_MACHINE_TOKEN_TTL): "),
            "{refusal}"
        );
        assert!(refusal.contains(" 30d"), "{refusal}");
    }
    let fits = [
        "--max-machine-token-ttl=30d",
        "--default-machine-token-ttl=30d",
    ];
    sandbox.print(&[&["config", "check"], &fits[..]].concat());
}

#[test]
fn token_create_obeys_the_policies_of_the_current_or_last_server() {
    let sandbox = Sandbox::set_up();
    sandbox.print(&["machine", "create", "ci-bot", "--owner=admin"]);
    let create = |user: &str, args: &[&str]| -> Ran {
        let command = sandbox.command(&[&["token", "create", user, "--json"], args].concat());
        Ran::of(command)
    };
    let expires = |ran: Ran| {
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout.contains("\"expireTime\"")
    };
    let check = || {
        let refusal = create("admin", &[]).refused(1);
        assert!(refusal.contains("at most 30d"), "{refusal}");
        let refusal = create("admin", &["--expires=31d"]).refused(1);
        assert!(refusal.contains("at most 30d"), "{refusal}");
        // Whole seconds, below the maximum: the process has its own clock.
        assert!(expires(create("admin", &["--expires=29d"])));
        assert!(expires(create("ci-bot", &[])), "the default");
        assert!(
            !expires(create("ci-bot", &["--expires=never"])),
            "the requested expiry"
        );
    };
    let policies = [
        "--max-person-token-ttl=30d",
        "--default-machine-token-ttl=7d",
    ];
    let server = sandbox.serve(&policies);
    check();
    server.stop();
    check();
    let stricter = [&policies[..], &["--forbid-never-expiring"]].concat();
    sandbox.serve(&stricter).stop();
    create("ci-bot", &["--expires=never"]).refused(1);
    assert!(expires(create("ci-bot", &[])));
    let events = sandbox.json(&["audit", "list"])["events"].clone();
    let changes = events.as_array().unwrap().iter();
    assert_eq!(
        changes
            .filter(|event| event["action"] == "policies.set")
            .count(),
        2
    );
}
