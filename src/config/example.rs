//! A settings file for people to edit, made from the flags.

use std::fmt::Write as _;

use clap::Arg;

use super::file::{keys, settings};

/// The width of the comments.
const WIDTH: usize = 100;

/// A settings file with each setting, its description and its default; where there is no default, with an example.
/// All are commented out.
pub fn example() -> String {
    let mut example = String::from(
        "# Settings of hallpass serve --config FILE. A flag beats a variable, and a variable beats this file.\n",
    );
    let mut last_heading = None;
    for arg in keys(&settings()) {
        let heading = arg.get_help_heading();
        if heading != last_heading {
            last_heading = heading;
            let _ = write!(example, "\n# {}\n", heading.unwrap_or_default());
        }
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = write!(
            example,
            "\n{}#{} = {}\n",
            comment(&help),
            arg.get_id(),
            example_of(arg)
        );
    }
    example
}

fn comment(text: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::from("#"));
    for word in text.split_whitespace() {
        if line.len() + word.len() >= WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    lines + &line + "\n"
}

fn example_of(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return "false".to_owned();
    }
    let default = arg.get_default_values().first();
    let value = default.and_then(|value| value.to_str());
    let name = arg.get_value_names().and_then(|names| names.first());
    let value = value.unwrap_or_else(|| match name.map_or("", |name| name.as_str()) {
        "ADDRESS:PORT" => "127.0.0.1:9090",
        "URL" => "https://tokens.example.com",
        "ORIGIN" => "https://console.example.com",
        "NAME" => "x-tenant",
        "SINK" => "file:/var/log/hallpass/audit.jsonl",
        "CIDR" => "10.0.0.0/8",
        "DURATION" => "90d",
        "NUMBER" => "600",
        _ => "/run/secrets/hallpass",
    });
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    match (is_number, arg.get_value_delimiter()) {
        (true, None) => value.to_owned(),
        (_, None) => format!("\"{value}\""),
        (_, Some(_)) => format!("[\"{value}\"]"),
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;
    use crate::config::{Settings, file::SettingsFile};

    #[test]
    fn the_example_gives_every_setting_a_value_that_is_taken() {
        let lines = example();
        let given = lines.lines().filter_map(|line| {
            let line = line.strip_prefix('#')?;
            (!line.is_empty() && !line.starts_with(' ')).then_some(line)
        });
        let text: Vec<_> = given.collect();
        let file = SettingsFile::parse(&text.join("\n")).unwrap();
        let command = settings();
        assert!(keys(&command).all(|arg| file.gives(arg.get_id().as_str())));
        let matches = file.apply(command).get_matches_from([""; 0]);
        let parsed = Settings::from_arg_matches(&matches).unwrap();
        assert_eq!(parsed.server.max_connections, 1_024);
        assert_eq!(parsed.server.cors_header, ["x-tenant"]);
        parsed.options().unwrap();
        // As it is, it gives none.
        let unchanged = SettingsFile::parse(&lines).unwrap();
        assert!(keys(&settings()).all(|arg| !unchanged.gives(arg.get_id().as_str())));
    }
}
