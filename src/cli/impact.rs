//! Says what would break if a token or a user ended, for the question before it does.

use std::fmt::Display;

use super::{plural, relative_time};
use crate::{
    domain::{relative, time::Timestamp},
    proto::hallpass::v1::{LastUse, LookUpTokenResponse, LookUpUserResponse},
};

/// `the token ID of ci-bot ("nightly") was last used 3 minutes ago from 10.0.0.7`.
pub(super) fn of_token(id: impl Display, found: &LookUpTokenResponse, now: Timestamp) -> String {
    let of_whom = match &*found.username {
        "" => String::new(),
        name => format!(" of {name}"),
    };
    let note = match &*found.note {
        "" => String::new(),
        note => format!(" (\"{note}\")"),
    };
    let used = last_use(found.last_use.as_ref(), now);
    format!("the token {id}{of_whom}{note} was {used}")
}

/// `alice has 3 live tokens, last used 3 minutes ago; it owns 2 machines`.
pub(super) fn of_user(found: &LookUpUserResponse, now: Timestamp) -> String {
    let name = &found.username;
    let owned = match found.machines {
        0 => String::new(),
        count => format!("; it owns {}", plural::count(count, "machine")),
    };
    if found.live_tokens == 0 {
        return format!("{name} has no live tokens{owned}");
    }
    let tokens = plural::count(found.live_tokens, "live token");
    let last = found.last_use_time.map(|time| LastUse {
        time: Some(time),
        ..LastUse::default()
    });
    format!(
        "{name} has {tokens}, {}{owned}",
        last_use(last.as_ref(), now)
    )
}

/// `last used 3 minutes ago from 10.0.0.7`. A use within the last minute may not be recorded yet.
pub(super) fn last_use(last: Option<&LastUse>, now: Timestamp) -> String {
    let Some(last) = last else {
        return "never used".to_owned();
    };
    let time = relative::relative(relative_time::of(last.time), now);
    match &*last.ip {
        "" => format!("last used {time}"),
        ip => format!("last used {time} from {ip}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impact_names_last_use_tokens_and_machines() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let ago = |secs| relative_time::to_proto(now.minus(std::time::Duration::from_secs(secs)));
        let used = LookUpTokenResponse {
            username: "ci-bot".to_owned(),
            note: "nightly".to_owned(),
            last_use: Some(LastUse {
                time: Some(ago(180)),
                ip: "10.0.0.7".to_owned(),
                reporter_ip: String::new(),
            }),
            live_children: 2,
        };
        assert_eq!(
            of_token("ID", &used, now),
            "the token ID of ci-bot (\"nightly\") was last used 3 minutes ago from 10.0.0.7"
        );
        let never = LookUpTokenResponse::default();
        assert_eq!(of_token("ID", &never, now), "the token ID was never used");
        let mut user = LookUpUserResponse {
            username: "ci-bot".to_owned(),
            live_tokens: 1,
            last_use_time: Some(ago(7_200)),
            ..LookUpUserResponse::default()
        };
        assert_eq!(
            of_user(&user, now),
            "ci-bot has 1 live token, last used 2 hours ago"
        );
        user.live_tokens = 0;
        assert_eq!(of_user(&user, now), "ci-bot has no live tokens");
        user.machines = 2;
        assert_eq!(
            of_user(&user, now),
            "ci-bot has no live tokens; it owns 2 machines"
        );
    }
}
