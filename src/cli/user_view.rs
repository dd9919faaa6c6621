//! Users as people see them.

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

/// A user to whom something was done, `done`.
pub(super) fn show(output: OutputArgs, user: User, done: &str) -> Result<(), Failure> {
    if output.json {
        return Ok(output::reply(&GetUserResponse { user: Some(user) })?);
    }
    let (kind, role, state) = (kind(&user), role(&user), state(&user));
    let text = format!(
        "{done} {} ({}): {kind}, {role}, {state}",
        user.username, user.id
    );
    Ok(output::line(&text)?)
}

/// All that is known of a user.
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

/// A line for each user.
pub(super) fn list(users: &[User]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let rows = users.iter().map(|user| {
        [
            user.username.clone(),
            kind(user).to_owned(),
            role(user).to_owned(),
            state(user).to_owned(),
            relative_time::short(relative_time::of(user.create_time), now),
            user.description.clone(),
        ]
    });
    let columns = [
        whole("USERNAME"),
        whole("TYPE"),
        whole("ROLE"),
        whole("STATE"),
        whole("CREATED"),
        text("DESCRIPTION"),
    ];
    Ok(table::print(columns, rows.collect())?)
}

/// A user by name, as far as that is known, with its ID.
pub(super) fn named(name: &str, id: &str) -> String {
    if name.is_empty() {
        id.to_owned()
    } else {
        format!("{name} ({id})")
    }
}

/// Whether it is a machine.
pub(super) fn is_machine(user: &User) -> bool {
    user.user_type() == UserType::Machine
}

/// Whether it is a person or a machine, in a word.
pub(super) fn kind(user: &User) -> &'static str {
    if is_machine(user) {
        "machine"
    } else {
        "person"
    }
}

/// A role's word.
pub(super) fn role(user: &User) -> &'static str {
    match user.role() {
        ServerRole::Admin => "admin",
        ServerRole::Member | ServerRole::Unspecified => "member",
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
