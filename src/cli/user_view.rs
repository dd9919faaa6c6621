//! Prints users for people.

use std::io;

use crate::{
    domain::clock::{Clock, SystemClock},
    proto::hallpass::v1::{GetUserResponse, ServerRole, User, UserType},
};

use super::{
    failure::Failure,
    output::{self, OutputArgs},
    relative_time,
    table::{self, text, whole},
};

/// Prints what was `done` to a user.
pub(super) fn show(output: OutputArgs, user: User, done: &str) -> Result<(), Failure> {
    if output.json {
        return Ok(output::reply(&GetUserResponse { user: Some(user) })?);
    }
    let (kind, role, state) = (kind(&user), role(&user), state(&user));
    let user = named(&user.username, &user.id);
    Ok(output::line(&format!(
        "{done} {user}: {kind}, {role}, {state}"
    ))?)
}

/// Prints all fields of a user.
pub(super) fn show_details(
    output: OutputArgs,
    user: User,
    owner: Option<String>,
) -> Result<(), Failure> {
    if output.json {
        return Ok(output::reply(&GetUserResponse { user: Some(user) })?);
    }
    let now = SystemClock.now();
    let time = |time| relative_time::show(relative_time::of(time), now);
    let (kind, role, state) = (kind(&user), role(&user), state(&user));
    let owner = owner.map_or_else(
        || user.owner_id.clone(),
        |owner| named(&owner, &user.owner_id),
    );
    Ok(output::fields([
        ("Username", user.username),
        ("ID", user.id),
        ("Type", kind.to_owned()),
        ("Role", role.to_owned()),
        ("State", state.to_owned()),
        ("Owner", output::or_dash(owner)),
        ("Description", user.description),
        ("Created", time(user.create_time)),
        ("Changed", time(user.update_time)),
    ])?)
}

/// Prints a table of users, whose second column is `column` with the values of `value`.
pub(super) fn list(
    users: &[User],
    column: &'static str,
    value: impl Fn(&User) -> String,
) -> io::Result<()> {
    let now = SystemClock.now();
    let rows = users.iter().map(|user| {
        [
            user.username.clone(),
            value(user),
            role(user).to_owned(),
            state(user).to_owned(),
            relative_time::short(relative_time::of(user.create_time), now),
            user.description.clone(),
        ]
    });
    let columns = [
        whole("USERNAME"),
        whole(column),
        whole("ROLE"),
        whole("STATE"),
        whole("CREATED"),
        text("DESCRIPTION"),
    ];
    table::print(columns, rows.collect())
}

/// `NAME (ID)`, or the ID alone if the name is unknown.
pub(super) fn named(name: &str, id: &str) -> String {
    if name.is_empty() {
        id.to_owned()
    } else {
        format!("{name} ({id})")
    }
}

pub(super) fn is_machine(user: &User) -> bool {
    user.user_type() == UserType::Machine
}

pub(super) fn kind(user: &User) -> &'static str {
    if is_machine(user) {
        "machine"
    } else {
        "person"
    }
}

pub(super) fn role(user: &User) -> &'static str {
    match user.role() {
        ServerRole::Admin => "admin",
        ServerRole::Member | ServerRole::Unspecified => "member",
    }
}

pub(super) const fn state(user: &User) -> &'static str {
    if user.deactivated {
        "deactivated"
    } else {
        "active"
    }
}
