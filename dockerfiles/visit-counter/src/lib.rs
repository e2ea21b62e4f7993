//! Counts visits in Redis: each `GET /` is one more; `GET /health` asks Redis whether it is there.

mod redis;

use std::io;

use redis::Redis;
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

fn visit() -> io::Result<String> {
    let count = Redis::connect()?.ask(&["INCR", "visits"])?;
    Ok(format!("You are visitor {count}.\n"))
}

fn health() -> io::Result<String> {
    Ok(format!("{}\n", Redis::connect()?.ask(&["PING"])?))
}

/// Status and text for a request.
fn answer(request: &IncomingRequest) -> (u16, String) {
    let path = request.path_with_query().unwrap_or_default();
    let result = match (request.method(), path.as_str()) {
        (Method::Get, "/") => visit(),
        (Method::Get, "/health") => health(),
        _ => return (404, "not found\n".to_owned()),
    };
    match result {
        Ok(text) => (200, text),
        Err(error) => {
            eprintln!("visit-counter: asking Redis: {error}");
            (503, "Redis does not answer\n".to_owned())
        }
    }
}

/// None where the client has gone away.
fn send(out: ResponseOutparam, status: u16, text: &str) -> Option<()> {
    let headers = Fields::new();
    headers.append("content-type", b"text/plain").ok()?;
    let response = OutgoingResponse::new(headers);
    response.set_status_code(status).ok()?;
    let body = response.body().ok()?;
    let stream = body.write().ok()?;
    ResponseOutparam::set(out, Ok(response));
    stream.blocking_write_and_flush(text.as_bytes()).ok()?;
    drop(stream);
    OutgoingBody::finish(body, None).ok()
}

struct Service;

impl wasip2::exports::http::incoming_handler::Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, text) = answer(&request);
        // A broken-off answer is the client's to notice: there is nobody left to tell.
        let _ = send(out, status, &text);
    }
}

wasip2::http::proxy::export!(Service);
