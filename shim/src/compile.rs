//! Compiles untrusted Wasm: in a child process without rights, bounded in size, time and memory.

use crate::cache::Cache;
use crate::launch::Tuning;
use crate::{CODE_REVISION, HOST, WASMTIME, beside, cpu};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The largest module that is read.
const LARGEST: u64 = 512 << 20;
/// Bounds of the compiling child: wall time (a container may have less), processor time, memory and output.
const WALL: Duration = Duration::from_secs(120);
pub const PROCESSOR_SECONDS: u64 = 240;
pub const ADDRESS_SPACE: u64 = 6 << 30;
pub const OUTPUT: u64 = 2 << 30;
/// How much of the child's complaint is kept.
const COMPLAINT: u64 = 16 << 10;

/// Why there is no compiled code.
#[derive(Debug)]
pub enum Failure {
    /// The module's fault: said by process 1 of the container.
    Guest(String),
    /// Ours or the machine's: the container is not created.
    Own(String),
}

/// The compiled code of a module, from the cache or made now, which may take `milliseconds`.
pub fn compiled(
    mut file: File,
    name: &str,
    tuning: Tuning,
    milliseconds: Option<u64>,
) -> Result<PathBuf, Failure> {
    let size = file.metadata().map_or(0, |known| known.len());
    if size > LARGEST {
        return Err(Failure::Guest(format!(
            "compiling {name}: its {size} bytes are more than the {LARGEST} allowed"
        )));
    }
    // Read once: what is hashed is what is compiled, whatever others do to the file meanwhile.
    let mut module = Vec::with_capacity(size as usize);
    (&mut file)
        .take(LARGEST)
        .read_to_end(&mut module)
        .map_err(|error| Failure::Own(format!("reading {name}: {error}")))?;
    let key = key(&module, tuning);
    let cache = Cache::open().map_err(Failure::Own)?;
    if let Some(code) = cache.find(&key) {
        return Ok(code);
    }
    let _lock = cache.lock(&key).map_err(Failure::Own)?;
    if let Some(code) = cache.find(&key) {
        return Ok(code);
    }
    let mut complaint = None;
    let wall = milliseconds.map_or(WALL, |time| WALL.min(Duration::from_millis(time)));
    cache
        .keep(&key, |output| {
            compile(&module, output, tuning, wall).map_err(|failure| {
                let text = format!("compiling {name}: {}", text_of(&failure));
                complaint = Some(failure);
                text
            })
        })
        .map_err(|text| match complaint {
            Some(Failure::Guest(_)) => Failure::Guest(text),
            _ => Failure::Own(text),
        })
}

fn text_of(failure: &Failure) -> &str {
    match failure {
        Failure::Guest(text) | Failure::Own(text) => text,
    }
}

/// Content, configuration, wasmtime and processor: what the compiled code depends on.
fn key(module: &[u8], tuning: Tuning) -> String {
    let content = blake3::hash(module).to_hex();
    let cpu = cpu::fingerprint();
    format!(
        "{}-{}-{WASMTIME}.{CODE_REVISION}-{cpu}",
        &content[..40],
        tuning.name()
    )
}

fn compile(module: &[u8], output: &File, tuning: Tuning, wall: Duration) -> Result<(), Failure> {
    let own = |what: &str| {
        let what = what.to_string();
        move |error: std::io::Error| Failure::Own(format!("{what}: {error}"))
    };
    let host = beside(HOST).map_err(Failure::Own)?;
    let input = in_memory(module).map_err(own("copying the module"))?;
    let output = output.try_clone().map_err(own("passing the output"))?;
    let mut child = Command::new(host)
        .args([
            "compile",
            &serde_json::to_string(&tuning).expect("plain values"),
        ])
        .env_clear()
        .current_dir("/")
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .map_err(own("starting the compiler"))?;
    let mut stderr = child.stderr.take().expect("piped above");
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = (&mut stderr).take(COMPLAINT).read_to_end(&mut text);
        String::from_utf8_lossy(&text).trim_end().to_string()
    });
    let outcome = wait(&mut child, wall).map_err(own("waiting for the compiler"))?;
    let complaint = reader.join().unwrap_or_default();
    match outcome {
        Some(0) => Ok(()),
        Some(_) if !complaint.is_empty() => Err(Failure::Guest(complaint)),
        Some(code) => Err(Failure::Guest(format!(
            "the compiler ended with {code}: more memory ({ADDRESS_SPACE} bytes) or time ({PROCESSOR_SECONDS} s) than allowed?"
        ))),
        None => Err(Failure::Guest(format!(
            "it took more than {wall:?} (WASMDOCK_COMPILE_TIME, {WALL:?} at most)"
        ))),
    }
}

/// Waits for the child for as long as is allowed; `None` where it had to be killed.
fn wait(child: &mut Child, wall: Duration) -> std::io::Result<Option<i32>> {
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.code().unwrap_or(-1)));
        }
        if start.elapsed() > wall {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// A file that exists in memory only.
fn in_memory(bytes: &[u8]) -> std::io::Result<File> {
    // SAFETY: a valid C string; the new descriptor is owned by the file.
    let mut file = unsafe {
        let descriptor = libc::memfd_create(c"module".as_ptr(), libc::MFD_CLOEXEC);
        if descriptor < 0 {
            return Err(std::io::Error::last_os_error());
        }
        File::from(OwnedFd::from_raw_fd(descriptor))
    };
    file.write_all(bytes)?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::Form;

    const PLAIN: Tuning = Tuning {
        form: Form::Module,
        fuel: false,
        epochs: false,
    };

    #[test]
    fn keys_differ_by_content_and_configuration() {
        let fuelled = Tuning {
            fuel: true,
            ..PLAIN
        };
        assert_eq!(key(b"a", PLAIN), key(b"a", PLAIN));
        assert_ne!(key(b"a", PLAIN), key(b"b", PLAIN));
        assert_ne!(key(b"a", PLAIN), key(b"a", fuelled));
    }
}
