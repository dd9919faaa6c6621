//! The settings as they are in effect, and where each comes from: what `hallpass config check` prints.

use clap::{ArgMatches, Command, parser::ValueSource};
use serde::Serialize;

use super::environment::{ADMIN_PASSWORD, ADMIN_PASSWORD_FILE, AdminPassword};

/// What stands in the place of a secret.
pub const REDACTED: &str = "[secret]";

/// A setting in effect.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Effective {
    /// The flag, or the variable where there is no flag.
    pub name: String,
    /// As it was written; more than one are separated by commas. `None`: not set.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Source,
}

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The environment.
    Env,
    /// The command line.
    Flag,
}

impl Source {
    /// The word for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Env => "env",
            Self::Flag => "flag",
        }
    }
}

/// All settings of `command`, as `matches` has them. The values are those that were checked.
pub fn settings(command: &Command, matches: &ArgMatches) -> Vec<Effective> {
    command
        .get_arguments()
        .filter(|arg| arg.get_env().is_some())
        .map(|arg| {
            let id = arg.get_id().as_str();
            let values = matches.get_raw(id).map(|values| {
                let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
                values.join(",")
            });
            Effective {
                name: format!("--{}", arg.get_long().unwrap_or(id)),
                value: values,
                source: match matches.value_source(id) {
                    Some(ValueSource::CommandLine) => Source::Flag,
                    Some(ValueSource::EnvVariable) => Source::Env,
                    _ => Source::Default,
                },
            }
        })
        .collect()
}

/// The first admin's password: that it is set, never what it is.
pub fn admin_password(password: &AdminPassword) -> Effective {
    let (name, value, source) = match password {
        AdminPassword::NotSet => (ADMIN_PASSWORD, None, Source::Default),
        AdminPassword::Given(_) => (ADMIN_PASSWORD, Some(REDACTED.to_owned()), Source::Env),
        AdminPassword::File(path) => (
            ADMIN_PASSWORD_FILE,
            Some(path.to_string_lossy().into_owned()),
            Source::Env,
        ),
    };
    Effective {
        name: name.to_owned(),
        value,
        source,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;
    use crate::{config::Settings, domain::secret::Secret};

    #[test]
    fn each_setting_is_told_with_its_source() {
        let command = Settings::augment_args(Command::new("probe"));
        let matches = command.clone().get_matches_from([
            "probe",
            "--max-body-bytes=64KiB",
            "--trusted-proxy=::1,10.0.0.0/8",
        ]);
        Settings::from_arg_matches(&matches).unwrap();
        let all = settings(&command, &matches);
        let find = |name: &str| all.iter().find(|setting| setting.name == name).unwrap();
        assert_eq!(find("--max-body-bytes").value.as_deref(), Some("64KiB"));
        assert_eq!(find("--max-body-bytes").source, Source::Flag);
        assert_eq!(
            find("--trusted-proxy").value.as_deref(),
            Some("::1,10.0.0.0/8")
        );
        assert_eq!(find("--max-token-ttl").value, None);
        assert_eq!(find("--max-token-ttl").source, Source::Default);
        assert_eq!(
            find("--allow-open-permissions").value.as_deref(),
            Some("false")
        );
    }

    #[test]
    fn the_admin_password_is_redacted() {
        let secret = AdminPassword::Given(Secret::new("correct horse battery".to_owned()));
        let setting = admin_password(&secret);
        assert_eq!(setting.value.as_deref(), Some("[secret]"));
        assert_eq!(setting.source, Source::Env);
    }
}
