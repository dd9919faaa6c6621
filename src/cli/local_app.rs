//! The application as a command has it: on the database itself, beside a server that may be running, on
//! one thread. What it does stands in the audit log as `local:UID`.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use crate::{
    app::{
        App, AppOptions, Error,
        caller::Caller,
        page::{Page, PageRequest},
    },
    config::store::StoreArgs,
    domain::{clock::SystemClock, id::UserId, user::User},
    store::{Db, OpenAs},
};

use super::failure::Failure;

/// The application, and what runs it.
pub(super) struct LocalApp {
    runtime: Runtime,
    app: App,
    caller: Caller,
}

impl LocalApp {
    /// Opens the database that `store` names.
    pub(super) fn open(store: &StoreArgs, mut options: AppOptions) -> Result<Self, Failure> {
        options.initial_password_file = store.initial_password_file();
        let db = Db::open(&store.options(OpenAs::Tool))?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
        let app = runtime.block_on(App::start(db, Arc::new(SystemClock), options))?;
        let caller = Caller::local(rustix::process::getuid().as_raw(), app.now());
        Ok(Self {
            runtime,
            app,
            caller,
        })
    }

    /// Runs one command's work to its end.
    pub(super) fn run<T>(
        &self,
        work: impl AsyncFnOnce(&App, &Caller) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        Ok(self.runtime.block_on(work(&self.app, &self.caller))?)
    }
}

/// The user that a person names by username or ID. No text is both: an ID begins with a digit.
pub(super) async fn find_user(app: &App, caller: &Caller, name: &str) -> Result<User, Error> {
    if UserId::parse(name).is_some() {
        app.get_user(caller, name).await
    } else {
        app.get_user_by_username(caller, name).await
    }
}

/// All entries of a list, page by page, at most `limit`.
pub(super) async fn all_pages<T>(
    reverse: bool,
    limit: usize,
    mut next: impl AsyncFnMut(PageRequest) -> Result<Page<T>, Error>,
) -> Result<Vec<T>, Error> {
    const LARGEST: u32 = crate::domain::page::MAX_PAGE_SIZE;
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let wanted = u32::try_from(limit - items.len()).unwrap_or(LARGEST);
        if wanted == 0 {
            return Ok(items);
        }
        let page = next(PageRequest {
            size: wanted.min(LARGEST),
            token,
            reverse,
        })
        .await?;
        items.extend(page.items);
        if page.next_page_token.is_empty() {
            return Ok(items);
        }
        token = page.next_page_token;
    }
}
