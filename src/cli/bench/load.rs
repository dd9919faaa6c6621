//! The load: a thread a client, each sends the next request when it has the answer to the last.

use std::{
    io, thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::cli::failure::Failure;

use super::{
    client::Client,
    interrupt::Interrupt,
    server::Server,
    tasks::{self, Task},
};

/// Before a measurement begins: connections are made, memory is warm.
const WARM_UP: Duration = Duration::from_millis(200);
/// So many tokens are made with one token.
const MAKERS: u32 = 16;

/// What a measurement showed.
#[derive(Debug)]
pub(super) struct Turn {
    /// How long each request took, sorted.
    pub(super) times: Vec<Duration>,
    pub(super) elapsed: Duration,
    /// Of the server.
    pub(super) cpu: Option<Duration>,
}

/// Makes `count` tokens, and gives their plaintexts.
pub(super) fn make_tokens(
    server: &Server,
    count: u32,
    interrupt: &Interrupt,
) -> Result<Vec<String>, Failure> {
    let first = plaintext(&server.sign_in().map_err(failed)?)?;
    let makers = thread::scope(|threads| {
        let make = |nth| {
            let (first, count) = (&first, count / MAKERS + u32::from(nth < count % MAKERS));
            threads.spawn(move || {
                let mut client = Client::connect(server.address).map_err(failed)?;
                let request = tasks::create(first);
                let one = |_| {
                    interrupt.check()?;
                    plaintext(client.ask(&request).map_err(failed)?)
                };
                (0..count).map(one).collect::<Result<Vec<_>, Failure>>()
            })
        };
        let makers: Vec<_> = (0..MAKERS).map(make).collect();
        let joined = makers.into_iter().map(|maker| maker.join().map_err(died)?);
        joined.collect::<Result<Vec<_>, Failure>>()
    })?;
    Ok(makers.concat())
}

/// Measures one task for `length`.
pub(super) fn turn(
    server: &Server,
    task: Task,
    clients: usize,
    tokens: &[String],
    length: Duration,
    interrupt: &Interrupt,
) -> Result<Turn, Failure> {
    let requests: Vec<Vec<u8>> = if task == Task::Create {
        // A token that was made with another cannot make any.
        vec![task.request(&plaintext(&server.sign_in().map_err(failed)?)?)]
    } else {
        tokens.iter().map(|token| task.request(token)).collect()
    };
    let connect = || Client::connect(server.address);
    let connected: io::Result<Vec<Client>> = (0..clients).map(|_| connect()).collect();
    let mut connected = connected.map_err(failed)?;
    ask_all(&mut connected, &requests, WARM_UP, interrupt)?;
    let (cpu, begin) = (server.cpu(), Instant::now());
    let mut times = ask_all(&mut connected, &requests, length, interrupt)?;
    let elapsed = begin.elapsed();
    let after = server.cpu();
    interrupt.check()?;
    times.sort_unstable();
    Ok(Turn {
        times,
        elapsed,
        cpu: after.zip(cpu).map(|(after, cpu)| after.saturating_sub(cpu)),
    })
}

fn ask_all(
    clients: &mut [Client],
    requests: &[Vec<u8>],
    length: Duration,
    interrupt: &Interrupt,
) -> Result<Vec<Duration>, Failure> {
    let end = Instant::now() + length;
    let count = clients.len();
    thread::scope(|threads| {
        let asking: Vec<_> = clients
            .iter_mut()
            .enumerate()
            .map(|(nth, client)| {
                // Each begins elsewhere, so that they do not ask for the same at once.
                let next = requests.iter().cycle().skip(requests.len() * nth / count);
                threads.spawn(move || ask_until(client, next, end, interrupt))
            })
            .collect();
        let times = asking.into_iter().map(|asked| asked.join().map_err(died)?);
        Ok(times.collect::<Result<Vec<_>, Failure>>()?.concat())
    })
}

fn ask_until<'a>(
    client: &mut Client,
    requests: impl Iterator<Item = &'a Vec<u8>>,
    end: Instant,
    interrupt: &Interrupt,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    for request in requests {
        let begin = Instant::now();
        if begin >= end || interrupt.came() {
            break;
        }
        client.ask(request).map_err(failed)?;
        times.push(begin.elapsed());
    }
    Ok(times)
}

/// The plaintext in an answer to a create.
fn plaintext(answer: &[u8]) -> Result<String, Failure> {
    let answer: Option<Value> = serde_json::from_slice(answer).ok();
    let token = answer.as_ref().and_then(|answer| answer["token"].as_str());
    let token = token.ok_or_else(|| Failure::failed("the server made no token"))?;
    Ok(token.to_owned())
}

fn failed(error: io::Error) -> Failure {
    Failure::failed(format!("the server does not answer: {error}"))
}

fn died(_: Box<dyn std::any::Any + Send>) -> Failure {
    Failure::failed("a client's thread panicked")
}
