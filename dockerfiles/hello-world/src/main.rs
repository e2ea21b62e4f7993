//! Greets, and on request shows what the runtime handed in: arguments, environment, exit code.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process;

const USAGE: &str = "usage: hello-world [--args ARG...] [--env] [--exit N]   (N: 0-255)";
const BAD_USAGE: i32 = 2;

/// What one run is asked to do. `--args` takes all that follows it.
enum Request {
    Greet,
    Args(Vec<OsString>),
    Env,
    Exit(u8),
}

fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Request, String> {
    let Some(first) = args.next() else {
        return Ok(Request::Greet);
    };
    let request = match first.to_str() {
        Some("--args") => return Ok(Request::Args(args.collect())),
        Some("--env") => Request::Env,
        Some("--exit") => Request::Exit(exit_code(args.next())?),
        _ => return Err(format!("unknown argument \"{}\"", first.to_string_lossy())),
    };
    match args.next() {
        None => Ok(request),
        Some(extra) => Err(format!(
            "unexpected argument \"{}\"",
            extra.to_string_lossy()
        )),
    }
}

fn exit_code(value: Option<OsString>) -> Result<u8, String> {
    let value = value.ok_or("--exit needs a number")?;
    let text = value.to_string_lossy();
    text.parse()
        .map_err(|_| format!("--exit \"{text}\": not a number from 0 to 255"))
}

/// `pairs` in order. Kept in order from the start: the standard sort would be 5 KB of a 56 KB guest.
fn sorted<P: Ord>(pairs: impl Iterator<Item = P>) -> Vec<P> {
    let mut result = Vec::new();
    for pair in pairs {
        let place = result.partition_point(|other| *other < pair);
        result.insert(place, pair);
    }
    result
}

/// Answers `request` on `out` and gives the exit code.
fn answer(request: Request, out: &mut impl Write) -> io::Result<i32> {
    match request {
        Request::Greet => writeln!(out, "Hello from wasmdock!")?,
        Request::Args(args) => {
            for arg in args {
                writeln!(out, "{}", arg.to_string_lossy())?;
            }
        }
        Request::Env => {
            for (key, value) in sorted(env::vars_os()) {
                writeln!(out, "{}={}", key.to_string_lossy(), value.to_string_lossy())?;
            }
        }
        Request::Exit(code) => return Ok(code.into()),
    }
    Ok(0)
}

fn main() {
    let outcome = parse(env::args_os().skip(1));
    let code = match outcome {
        Ok(request) => answer(request, &mut io::stdout().lock()).unwrap_or(1),
        Err(message) => {
            let _ = writeln!(io::stderr(), "hello-world: {message}\n{USAGE}");
            BAD_USAGE
        }
    };
    if code != 0 {
        process::exit(code); // success returns instead: WASI ends an exit by a trap, which costs 20 us
    }
}
