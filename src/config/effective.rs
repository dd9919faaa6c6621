//! The settings in effect, and the source of each: what `hallpass config check` prints.

use clap::{ArgMatches, Command, parser::ValueSource};
use serde::Serialize;

use super::{environment::ADMIN_PASSWORD, file::SettingsFile, secrets::SecretSource};

/// Shown instead of a secret.
const REDACTED: &str = "[secret]";

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
    /// It is not set.
    Default,
    /// The settings file.
    File,
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
            Self::File => "file",
            Self::Env => "env",
            Self::Flag => "flag",
        }
    }
}

/// All settings of `command`, as `matches` has them, where `file` gave the defaults. The values are those that were
/// checked.
pub fn settings(command: &Command, matches: &ArgMatches, file: &SettingsFile) -> Vec<Effective> {
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
                    _ if file.gives(id) => Source::File,
                    _ => Source::Default,
                },
            }
        })
        .collect()
}

/// Whether the first admin's password is set, never what it is.
pub fn admin_password(password: &SecretSource) -> Effective {
    let (value, source) = match password {
        SecretSource::Variable(_) => (Some(REDACTED.to_owned()), Source::Env),
        SecretSource::NotSet | SecretSource::File(_) => (None, Source::Default),
    };
    Effective {
        name: ADMIN_PASSWORD.to_owned(),
        value,
        source,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;
    use crate::{
        config::{Settings, with_variables},
        domain::secret::Secret,
    };

    #[test]
    fn each_setting_is_shown_with_its_source() {
        let command = with_variables(Settings::augment_args(Command::new("probe")));
        let matches = command.clone().get_matches_from([
            "probe",
            "--max-body-bytes=64KiB",
            "--trusted-proxy=::1,10.0.0.0/8",
        ]);
        Settings::from_arg_matches(&matches).unwrap();
        let all = settings(&command, &matches, &SettingsFile::default());
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
        let secret = SecretSource::Variable(Secret::new("correct horse battery".to_owned()));
        let setting = admin_password(&secret);
        assert_eq!(setting.value.as_deref(), Some("[secret]"));
        assert_eq!(setting.source, Source::Env);
    }
}
