//! What hostile and broken peers send or fail to send: limits, malformed requests, slow sockets, floods,
//! and a shutdown during them. Tests write raw bytes where no client library would.

mod closing;
mod connections;
mod drain;
mod endurance;
mod every_reply;
mod exhaustion;
mod health_streams;
mod http1;
mod http2;
mod limits;
mod malformed;
mod memory;
mod message_format;
mod process;
mod request_target;
mod slow_sockets;
mod smuggling;
mod time_limits;

use std::time::Duration;

const CREATE: &str = "/hallpass.v1.TokenService/CreateToken";
/// A procedure that any caller may call and that changes nothing.
const CURRENT_USER: &str = "/hallpass.v1.AuthnService/GetCurrentUser";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
/// A time limit that is never reached.
const UNREACHED: Duration = Duration::from_hours(1);
/// Generous, for a busy machine.
const TIMEOUT: Duration = Duration::from_secs(20);
