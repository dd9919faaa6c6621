//! Finding what a shown token stands for. All that accepts tokens comes through here: authentication and
//! verification cannot differ in what they look up.

use crate::{
    domain::{
        id::TokenId,
        token_text::{TokenHash, TokenText},
    },
    store::tokens::{self, Credential},
};

use super::{App, Error, error::Unauthenticated};

/// A token of the right form that somebody showed: what is needed to find and to recognise it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) id: TokenId,
    hash: TokenHash,
}

impl Shown {
    /// From plaintext.
    ///
    /// # Errors
    /// It has not the form of a token, or its checksum does not fit.
    pub(super) fn parse(text: &str) -> Result<Self, Unauthenticated> {
        let text = TokenText::parse(text).map_err(|_| Unauthenticated::Malformed)?;
        Ok(Self {
            id: text.id(),
            hash: text.hash(),
        })
    }
}

impl App {
    /// What is stored of the token that was shown, as it was committed after this call began. That its
    /// secret is right says nothing of its being valid still.
    ///
    /// # Errors
    /// There is none with that secret, or the store failed.
    pub(super) async fn find_credential(&self, shown: Shown) -> Result<Credential, Error> {
        let credential = self
            .read(move |tx| Ok(tokens::find_credential(tx, shown.id)?))
            .await?;
        match credential {
            Some(credential) if credential.hash.matches(&shown.hash) => Ok(credential),
            _ => Err(Unauthenticated::WrongToken.into()),
        }
    }
}
