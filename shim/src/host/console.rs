//! The container's standard streams as the guest's: written at once, never buffered, so that no end loses a line.

use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// How much a guest may write in one call.
const PERMIT: usize = 64 << 10;

/// Whether the last byte on standard error was not the end of a line.
static MID_LINE: AtomicBool = AtomicBool::new(false);

/// What to write before a line of our own: nothing, or the line's end the guest left out.
pub fn line_end() -> &'static str {
    if MID_LINE.load(Ordering::Relaxed) {
        "\n"
    } else {
        ""
    }
}

/// Writes all bytes to a descriptor, waiting where it is not ready.
fn write_all(descriptor: RawFd, mut bytes: &[u8]) -> io::Result<()> {
    if descriptor == 2 {
        MID_LINE.store(
            !bytes.ends_with(b"\n") && !bytes.is_empty(),
            Ordering::Relaxed,
        );
    }
    while !bytes.is_empty() {
        // SAFETY: the pointer and length are those of a live slice.
        let written = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(count) => bytes = &bytes[count..],
            Err(_) => wait_after(io::Error::last_os_error(), descriptor)?,
        }
    }
    Ok(())
}

fn wait_after(error: io::Error, descriptor: RawFd) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::Interrupted => Ok(()),
        io::ErrorKind::WouldBlock => {
            let mut poll = libc::pollfd {
                fd: descriptor,
                events: libc::POLLOUT,
                revents: 0,
            };
            // SAFETY: one valid pollfd.
            unsafe { libc::poll(&mut poll, 1, -1) };
            Ok(())
        }
        _ => Err(error),
    }
}

fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

/// Standard output or standard error of this process.
#[derive(Clone, Copy)]
pub struct Console(pub RawFd);

/// The same with a mark at the start of each line: whose request wrote it.
#[derive(Clone)]
pub struct Marked {
    descriptor: RawFd,
    mark: Arc<str>,
    line: Arc<Mutex<Vec<u8>>>,
}

impl Marked {
    pub fn new(descriptor: RawFd, mark: &str) -> Marked {
        Marked {
            descriptor,
            mark: mark.into(),
            line: Arc::default(),
        }
    }

    fn put(&self, bytes: &[u8]) -> io::Result<()> {
        let mut line = self.line.lock().expect("no writer panics");
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            if line.is_empty() {
                line.extend_from_slice(self.mark.as_bytes());
            }
            line.extend_from_slice(part);
            if line.ends_with(b"\n") || line.len() > PERMIT {
                write_all(self.descriptor, &line)?;
                line.clear();
            }
        }
        Ok(())
    }

    /// Writes the last line where the guest ended it without a newline.
    pub fn finish(&self) {
        let mut line = self.line.lock().expect("no writer panics");
        if !line.is_empty() {
            line.push(b'\n');
            let _ = write_all(self.descriptor, &line);
            line.clear();
        }
    }
}

/// One way to put bytes somewhere, from which the two kinds of streams follow.
trait Sink: Clone + Send + Sync + Unpin + 'static {
    fn write_bytes(&self, bytes: &[u8]) -> io::Result<()>;
    fn terminal(&self) -> bool;
}

impl Sink for Console {
    fn write_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        write_all(self.0, bytes)
    }
    fn terminal(&self) -> bool {
        // SAFETY: isatty takes any number.
        unsafe { libc::isatty(self.0) == 1 }
    }
}

impl Sink for Marked {
    fn write_bytes(&self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes)
    }
    fn terminal(&self) -> bool {
        false
    }
}

struct Stream<S>(S);

impl<S: Sink> OutputStream for Stream<S> {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.0.write_bytes(&bytes).map_err(stream_error)
    }
    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }
    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT)
    }
}

#[wasmtime_wasi::async_trait]
impl<S: Sink> Pollable for Stream<S> {
    async fn ready(&mut self) {}
}

impl<S: Sink> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.0.write_bytes(bytes).map(|()| bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

macro_rules! stdout_stream {
    ($sink:ty) => {
        impl IsTerminal for $sink {
            fn is_terminal(&self) -> bool {
                self.terminal()
            }
        }
        impl StdoutStream for $sink {
            fn p2_stream(&self) -> Box<dyn OutputStream> {
                Box::new(Stream(self.clone()))
            }
            fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
                Box::new(Stream(self.clone()))
            }
        }
    };
}

stdout_stream!(Console);
stdout_stream!(Marked);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::{AsRawFd, FromRawFd};

    fn pipe() -> (std::fs::File, std::fs::File) {
        let mut ends = [0; 2];
        // SAFETY: pipe fills two descriptors, owned by the files from here on.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            (
                std::fs::File::from_raw_fd(ends[0]),
                std::fs::File::from_raw_fd(ends[1]),
            )
        }
    }

    #[test]
    fn every_line_carries_the_mark_and_the_last_is_ended() {
        let (mut read, write) = pipe();
        let marked = Marked::new(write.as_raw_fd(), "[7] ");
        marked.put(b"one\ntw").unwrap();
        marked.put(b"o").unwrap();
        marked.finish();
        drop(write);
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "[7] one\n[7] two\n");
    }
}
