//! The actions in the audit log, such as `token.create` in the group `token`.

/// Every recorded action. Writing a row with any other action is a bug, since no filter would find it.
pub const ACTIONS: [&str; 42] = [
    "audit.list",
    "audit.purge",
    "authenticate.password",
    "authenticate.token",
    "data.backup",
    "data.check",
    "data.migrate",
    RESTORED,
    RESTORED_FORGETTING,
    RESTORED_KEEPING,
    "policies.set",
    "token.adopt_children",
    "token.create",
    "token.delete",
    "token.delete_all",
    "token.delete_children",
    "token.describe",
    "token.disable",
    "token.disable_on_reuse",
    "token.enable",
    "token.explain",
    "token.get",
    "token.list",
    "token.list_all",
    "token.narrow",
    "token.purge",
    "token.revoke",
    "token.revoke_leaked",
    "token.rotate",
    "token.rotated",
    "token.undo_rotation",
    "token.update",
    "user.create",
    "user.deactivate",
    "user.delete",
    "user.describe",
    "user.get",
    "user.list",
    "user.reactivate",
    "user.set_owner",
    "user.set_password",
    "user.set_role",
];

/// A backup was restored where there was no database.
pub const RESTORED: &str = "data.restore";
/// A backup was restored, and what had ended since became valid again.
pub const RESTORED_FORGETTING: &str = "data.restore_forget";
/// A backup was restored, and what had ended since stayed so.
pub const RESTORED_KEEPING: &str = "data.restore_keep";

/// A backup was restored.
pub const RESTORATIONS: [&str; 3] = [RESTORED, RESTORED_FORGETTING, RESTORED_KEEPING];

/// The groups of actions, without duplicates.
pub fn groups() -> impl Iterator<Item = &'static str> {
    let groups = ACTIONS.iter().map(|action| group(action));
    let mut before = "";
    groups.filter(move |group| std::mem::replace(&mut before, group) != *group)
}

/// The actions that `name` selects: the action of that name, or all of that group. Empty if there is none.
pub fn named(name: &str) -> Vec<&'static str> {
    let named = ACTIONS.into_iter();
    named
        .filter(|action| *action == name || group(action) == name)
        .collect()
}

fn group(action: &str) -> &str {
    action.split('.').next().unwrap_or(action)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_selects_an_action_or_a_whole_group() {
        assert_eq!(named("token.create"), ["token.create"]);
        assert_eq!(
            named("authenticate"),
            ["authenticate.password", "authenticate.token"]
        );
        for none in ["", "tok", "token.", "token.creat", "Token.create"] {
            assert_eq!(named(none), [""; 0], "{none}");
        }
        assert!(ACTIONS.is_sorted());
        let groups: Vec<_> = groups().collect();
        assert_eq!(
            groups,
            ["audit", "authenticate", "data", "policies", "token", "user"]
        );
    }
}
