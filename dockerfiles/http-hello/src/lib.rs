//! A wasi:http service: greets, echoes what it is sent, and misbehaves on request.
//!
//! `/spin`, `/grow` and `/panic` never answer: they show what the host's limits do.

mod http;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, hint, process, thread};

use http::{Request, Responder};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// How often this instance has been asked for `/count`: 1 at most, as each request has an instance of its own.
static COUNT: AtomicU32 = AtomicU32::new(0);

const GROWTH_STEP: usize = 1 << 20;

/// None where the answer was broken off.
fn answer(request: Request, responder: Responder) -> Option<()> {
    let (path, query) = request.path_and_query();
    match (request.method(), path.as_str()) {
        ("GET", "/") => responder.text(200, "Hello from wasmdock!\n"),
        ("GET", "/echo") => {
            responder.text(200, &format!("method: GET\npath: {path}\nquery: {query}\n"))
        }
        ("POST", "/echo") => responder.stream(200, request.body()?),
        ("GET", "/env") => responder.text(200, &environment()),
        ("GET", "/count") => responder.text(
            200,
            &format!("{}\n", COUNT.fetch_add(1, Ordering::Relaxed) + 1),
        ),
        ("GET", "/sleep") => match milliseconds(&query) {
            Some(ms) => {
                thread::sleep(Duration::from_millis(ms));
                responder.text(200, &format!("slept {ms} ms\n"))
            }
            None => responder.text(400, "usage: /sleep?ms=N\n"),
        },
        ("GET", "/spin") => loop {
            hint::black_box(());
        },
        ("GET", "/grow") => grow(),
        ("GET", "/panic") => panic!("asked to panic"),
        ("GET", "/log") => {
            println!("a line on stdout");
            eprintln!("a line on stderr");
            responder.text(200, "logged\n")
        }
        (
            _,
            "/" | "/echo" | "/env" | "/count" | "/sleep" | "/spin" | "/grow" | "/panic" | "/log",
        ) => responder.text(405, "method not allowed\n"),
        _ => responder.text(404, "not found\n"),
    }
}

/// The environment as K=V lines, in order.
fn environment() -> String {
    let mut lines = Vec::new();
    // `vars` and the standard sort would be 9 KB more.
    for (key, value) in env::vars_os() {
        let line = format!("{}={}\n", key.to_string_lossy(), value.to_string_lossy());
        let place = lines.partition_point(|other| *other < line);
        lines.insert(place, line);
    }
    lines.concat()
}

/// N of a query `ms=N`.
fn milliseconds(query: &str) -> Option<u64> {
    query.strip_prefix("ms=")?.parse().ok()
}

/// Takes and touches memory until the host says no, which ends the instance.
fn grow() -> ! {
    let mut taken = Vec::new();
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(GROWTH_STEP).is_err() {
            process::abort();
        }
        block.resize(GROWTH_STEP, 1u8);
        taken.push(hint::black_box(block));
    }
}

struct Service;

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        // A broken-off answer is the client's to notice: there is nobody left to tell.
        let _ = answer(Request(request), Responder(out));
    }
}

wasip2::http::proxy::export!(Service);
