//! The paths of http-hello that answer, as a native program: what `wasmdock bench` holds the Wasm guest against.
//!
//! Nothing but the standard library, a thread per connection that stays open: as small and quick as native gets, so
//! that Wasm has no easy opponent. It listens on WASMDOCK_HTTP_ADDRESS, else on 0.0.0.0:8080.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{env, thread};

/// How often this process has been asked for `/count`: unlike a Wasm instance it goes on counting.
static COUNT: AtomicU32 = AtomicU32::new(0);

const LONGEST_BODY: u64 = 1 << 20;

fn main() -> io::Result<()> {
    let address = env::var("WASMDOCK_HTTP_ADDRESS").unwrap_or_else(|_| "0.0.0.0:8080".into());
    for stream in TcpListener::bind(address)?.incoming() {
        let stream = stream?;
        // A connection that breaks off is the client's to notice.
        thread::spawn(move || converse(stream));
    }
    Ok(())
}

/// Answers the requests of one connection until it ends.
fn converse(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let (length, keeps) = headers(&mut reader)?;
        let mut body = Vec::new();
        (&mut reader)
            .take(length.min(LONGEST_BODY))
            .read_to_end(&mut body)?;
        let (status, text) = answer(&line, body);
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\n\r\n",
            text.len()
        );
        stream.write_all(&[head.as_bytes(), &text].concat())?;
        if !keeps || length > LONGEST_BODY {
            return Ok(());
        }
    }
}

/// The length of the body, and whether the connection stays open.
fn headers(reader: &mut impl BufRead) -> io::Result<(u64, bool)> {
    let (mut length, mut keeps) = (0, true);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            return Ok((length, keeps));
        }
        let lower = line.trim_end().to_ascii_lowercase();
        match lower.split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().unwrap_or(0),
            Some(("connection", value)) => keeps = value.trim() != "close",
            _ => {}
        }
    }
}

/// The status line and the body for a request's first line.
fn answer(line: &str, body: Vec<u8>) -> (&'static str, Vec<u8>) {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let text = match (method, path) {
        ("GET", "/") => "Hello from wasmdock!\n".into(),
        ("GET", "/echo") => format!("method: GET\npath: {path}\nquery: {query}\n"),
        ("POST", "/echo") => return ("200 OK", body),
        ("GET", "/count") => format!("{}\n", COUNT.fetch_add(1, Ordering::Relaxed) + 1),
        ("GET", "/sleep") => match query.strip_prefix("ms=").and_then(|ms| ms.parse().ok()) {
            Some(ms) => {
                thread::sleep(Duration::from_millis(ms));
                format!("slept {ms} ms\n")
            }
            None => return ("400 Bad Request", b"usage: /sleep?ms=N\n".to_vec()),
        },
        _ => return ("404 Not Found", b"not found\n".to_vec()),
    };
    ("200 OK", text.into_bytes())
}
