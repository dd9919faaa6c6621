//! Users as people see them.

use crate::domain::{
    clock::{Clock, SystemClock},
    user::{Role, User, UserKind},
};

use super::{
    answer::{Answer, UserAnswer},
    failure::Failure,
    output::{self, OutputArgs},
    relative_time,
};

/// A user to whom something was done, `done`.
pub(super) fn show(output: OutputArgs, user: &User, done: &str) -> Result<(), Failure> {
    if output.json {
        return Ok(output::json(&Answer("user", UserAnswer::from(user)))?);
    }
    let (kind, role, state) = (kind(user), role(user.role), state(user));
    let text = format!(
        "{done} {} ({}): {kind}, {role}, {state}",
        user.username, user.id
    );
    Ok(output::line(&text)?)
}

/// All that is known of a user.
pub(super) fn show_details(output: OutputArgs, user: &User) -> Result<(), Failure> {
    if output.json {
        return Ok(output::json(&Answer("user", UserAnswer::from(user)))?);
    }
    let now = SystemClock.now();
    Ok(output::fields([
        ("Username", user.username.to_string()),
        ("ID", user.id.to_string()),
        ("Type", kind(user).to_owned()),
        ("Role", role(user.role).to_owned()),
        ("State", state(user).to_owned()),
        (
            "Owner",
            user.owner()
                .map_or_else(|| "-".to_owned(), |id| id.to_string()),
        ),
        ("Description", user.description.as_str().to_owned()),
        ("Created", relative_time::show(user.create_time, now)),
        ("Changed", relative_time::show(user.update_time, now)),
    ])?)
}

/// A line for each user.
pub(super) fn table(users: &[User]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let rows = users.iter().map(|user| {
        [
            user.username.to_string(),
            user.id.to_string(),
            kind(user).to_owned(),
            role(user.role).to_owned(),
            state(user).to_owned(),
            relative_time::show(user.create_time, now),
            user.description.as_str().to_owned(),
        ]
    });
    let header = [
        "USERNAME",
        "ID",
        "TYPE",
        "ROLE",
        "STATE",
        "CREATED",
        "DESCRIPTION",
    ];
    Ok(output::table(header, rows.collect())?)
}

const fn kind(user: &User) -> &'static str {
    match user.kind {
        UserKind::Person => "person",
        UserKind::Machine { .. } => "machine",
    }
}

/// A role's word.
pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Member => "member",
    }
}

/// Whether it is deactivated.
pub(super) const fn state(user: &User) -> &'static str {
    if user.deactivated {
        "deactivated"
    } else {
        "active"
    }
}
