//! `hallpass scan`: what it finds, where it looks, and revoking the findings. No output contains a secret.

mod files;
mod fuzz;
mod git;
mod hostile_git;
mod output;
mod revoke;

use std::fs;

use hallpass::domain::{
    id::TokenId,
    token_text::{TokenPrefix, TokenText},
};

use crate::{
    cli::sandbox::{Ran, Sandbox},
    test_app::START,
};

/// A well-formed token that is in no database.
pub(crate) fn token(prefix: &str) -> String {
    let prefix = TokenPrefix::parse(prefix).unwrap();
    let text = TokenText::generate(&prefix, TokenId::generate(START));
    text.expose().to_owned()
}

/// The redacted form of a token.
fn shown(token: &str) -> String {
    let (public, _) = token.rsplit_once('_').unwrap();
    format!("{public}_…")
}

fn write(sandbox: &Sandbox, name: &str, content: impl AsRef<[u8]>) {
    let path = sandbox.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

impl Ran {
    /// The sorted lines on stdout of a command that exited with `code`.
    fn found(&self, code: i32) -> Vec<String> {
        assert_eq!(self.code, code, "{self:?}");
        let mut lines: Vec<_> = self.stdout.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}
