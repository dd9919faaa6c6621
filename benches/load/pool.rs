//! What creates are compared with: ten pooled connections, each create a transaction of its own, on a
//! blocking thread, under `axum::serve`. It checks and writes what `CreateToken` does, in the same number
//! of statements, on the same schema and with the same durability; the audit chain's hash is left out.

use std::{path::PathBuf, time::Duration};

use axum::{Router, extract::State, http::HeaderMap, routing::post};
use hallpass::{
    cli::bench::load::Result,
    domain::{
        clock::{Clock, SystemClock},
        id::TokenId,
        token_text::{TokenPrefix, TokenText},
    },
    proto::hallpass::v1::CreateTokenRequest,
};
use prost::Message;
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{TransactionBehavior, params};

use crate::baseline::{listen, runtime};

const CONNECTIONS: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(30);

type Pool = r2d2::Pool<SqliteConnectionManager>;

/// Serves creates on `database`, on any path.
pub(crate) fn serve(database: PathBuf) -> Result<()> {
    let manager = SqliteConnectionManager::file(database).with_init(|connection| {
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(32);
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA cache_size = -4096;",
        )
    });
    let pool = r2d2::Pool::builder()
        .max_size(CONNECTIONS)
        .connection_timeout(PATIENCE)
        .build(manager)?;
    runtime()?.block_on(async {
        let routes = Router::new()
            .route("/{service}/{method}", post(answer))
            .with_state(pool);
        Ok(axum::serve(listen().await?, routes).await?)
    })
}

async fn answer(
    State(pool): State<Pool>,
    headers: HeaderMap,
    body: bytes::Bytes,
) -> std::result::Result<String, String> {
    let bearer = headers.get("authorization").and_then(|v| v.to_str().ok());
    let bearer = bearer.and_then(|v| v.strip_prefix("Bearer "));
    let bearer = TokenText::parse(bearer.unwrap_or_default()).map_err(|e| e.to_string())?;
    let request = CreateTokenRequest::decode(body).map_err(|e| e.to_string())?;
    tokio::task::spawn_blocking(move || create(&pool, &bearer, &request))
        .await
        .map_err(|e| e.to_string())?
        .map_err(|e| e.to_string())
}

fn create(pool: &Pool, bearer: &TokenText, request: &CreateTokenRequest) -> Result<String> {
    let now = SystemClock.now();
    let id = TokenId::generate(now);
    let text = TokenText::generate(&TokenPrefix::default(), id);
    let mut connection = pool.get()?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (user, hash): (String, Vec<u8>) = tx
        .prepare_cached(
            "SELECT t.user_id, t.hash FROM tokens t JOIN users u ON u.id = t.user_id \
             WHERE t.id = ?1 AND t.delete_time IS NULL AND u.deactivated = 0",
        )?
        .query_row([bearer.id().to_string()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if hash != bearer.hash().as_bytes() {
        return Err("not this token".into());
    }
    for (column, id) in [("user_id", &user), ("parent_id", &bearer.id().to_string())] {
        let sql =
            format!("SELECT count(*) FROM tokens WHERE {column} = ?1 AND delete_time IS NULL");
        let live: i64 = tx.prepare_cached(&sql)?.query_row([id], |row| row.get(0))?;
        if live >= 1_000_000_000 {
            return Err("too many".into());
        }
    }
    tx.prepare_cached(
        "INSERT INTO tokens (id, user_id, note, scopes, allowed_cidrs, create_time, expire_time, disabled, \
         parent_id, family_id, delete_time, hash) \
         VALUES (?1, ?2, ?3, '', '', ?4, NULL, 0, ?5, ?1, NULL, ?6)",
    )?
    .execute(params![
        id.to_string(),
        user,
        request.note,
        now.as_micros(),
        bearer.id().to_string(),
        text.hash().as_bytes(),
    ])?;
    let last: Option<i64> = tx
        .prepare_cached("SELECT max(sequence) FROM audit")?
        .query_row([], |row| row.get(0))?;
    tx.prepare_cached(
        "INSERT INTO audit (sequence, time, actor, credential_id, target, action, outcome, count, \
         request_id, client_request_id, ip, user_agent, hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, 'token.create', 'ok', 1, ?5, '', '127.0.0.1', '', ?6)",
    )?
    .execute(params![
        last.unwrap_or(0) + 1,
        now.as_micros(),
        user,
        bearer.id().to_string(),
        id.to_string(),
        text.hash().as_bytes(),
    ])?;
    tx.commit()?;
    Ok(text.expose().to_owned())
}
