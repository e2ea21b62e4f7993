//! Asks for a message, its signature and a certificate file, and says whether the signature is valid.
//!
//! The answers come from standard input, or from the file named as the only argument, a line each.
//!
//! Exit codes: 0 valid, 1 not valid, 2 could not be checked (with one line on stderr saying why).

use std::env;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::process::ExitCode;

use anyhow::{bail, Context, Result};
use ed25519_compact::{PublicKey, Signature};

const NOT_VALID: u8 = 1;
const NOT_CHECKED: u8 = 2;

/// Writes `question` as a line of its own and gives the next line of `input` without its line end.
fn ask(input: &mut impl BufRead, output: &mut impl Write, question: &str) -> Result<String> {
    writeln!(output, "{question}:")?;
    let mut line = String::new();
    let read = input
        .read_line(&mut line)
        .with_context(|| format!("reading the {question}"))?;
    if read == 0 {
        bail!("reading the {question}: end of input");
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// The bytes behind `text`, which must be exactly `N` of them in hex.
fn decode<const N: usize>(what: &str, text: &str) -> Result<[u8; N]> {
    let bytes = hex::decode(text.trim()).with_context(|| format!("{what} is not hex"))?;
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| anyhow::anyhow!("{what} has {length} bytes, expected {N}"))
}

/// The public key in the file at `path`.
fn read_certificate(path: &str) -> Result<PublicKey> {
    let bytes = fs::read(path).with_context(|| format!("reading the certificate \"{path}\""))?;
    let what = format!("the certificate in \"{path}\"");
    let text = std::str::from_utf8(&bytes).with_context(|| format!("{what} is not text"))?;
    Ok(PublicKey::new(decode(&what, text)?))
}

/// The whole conversation; true where the signature is valid.
fn check(input: &mut impl BufRead, output: &mut impl Write) -> Result<bool> {
    let message = ask(input, output, "message")?;
    let signature = ask(input, output, "signature in hex")?;
    let signature = Signature::new(decode("the signature", &signature)?);
    let path = ask(input, output, "path of the certificate")?;
    let key = read_certificate(&path)?;
    Ok(key.verify(message, &signature).is_ok())
}

/// Where the answers come from.
fn open_input() -> Result<Box<dyn BufRead>> {
    let Some(path) = env::args_os().nth(1) else {
        return Ok(Box::new(io::stdin().lock()));
    };
    let file = File::open(&path)
        .with_context(|| format!("opening the answers \"{}\"", path.to_string_lossy()))?;
    Ok(Box::new(BufReader::new(file)))
}

fn main() -> ExitCode {
    let mut output = io::stdout().lock();
    let outcome = open_input().and_then(|mut input| check(&mut input, &mut output));
    let (code, verdict) = match outcome {
        Ok(true) => (ExitCode::SUCCESS, "The signature is valid."),
        Ok(false) => (NOT_VALID.into(), "The signature is NOT valid."),
        Err(error) => {
            let _ = writeln!(io::stderr(), "signature-checker: {error:#}");
            return NOT_CHECKED.into();
        }
    };
    match writeln!(output, "{verdict}") {
        Ok(()) => code,
        Err(_) => NOT_CHECKED.into(),
    }
}
