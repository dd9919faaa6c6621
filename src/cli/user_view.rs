//! Users as people see them.

use crate::{
    domain::clock::{Clock, SystemClock},
    proto::hallpass::v1::{GetUserResponse, ServerRole, User, UserType},
};

use super::{
    failure::Failure,
    output::{self, OutputArgs},
    relative_time,
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
pub(super) fn show_details(output: OutputArgs, user: User) -> Result<(), Failure> {
    if output.json {
        return Ok(output::reply(&GetUserResponse { user: Some(user) })?);
    }
    let now = SystemClock.now();
    let time = |time| relative_time::show(relative_time::of(time), now);
    let (kind, role, state) = (kind(&user), role(&user), state(&user));
    Ok(output::fields([
        ("Username", user.username),
        ("ID", user.id),
        ("Type", kind.to_owned()),
        ("Role", role.to_owned()),
        ("State", state.to_owned()),
        ("Owner", output::or_dash(user.owner_id)),
        ("Description", user.description),
        ("Created", time(user.create_time)),
        ("Changed", time(user.update_time)),
    ])?)
}

/// A line for each user.
pub(super) fn table(users: &[User]) -> Result<(), Failure> {
    let now = SystemClock.now();
    let rows = users.iter().map(|user| {
        [
            user.username.clone(),
            user.id.clone(),
            kind(user).to_owned(),
            role(user).to_owned(),
            state(user).to_owned(),
            relative_time::show(relative_time::of(user.create_time), now),
            user.description.clone(),
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

/// Whether it is a machine.
pub(super) fn is_machine(user: &User) -> bool {
    user.user_type() == UserType::Machine
}

fn kind(user: &User) -> &'static str {
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
