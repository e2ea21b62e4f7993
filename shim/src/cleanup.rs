//! The second shortcut: `delete` after an ordinary end finds nothing left to clean up and says so, without a start of
//! containerd's shim and of an OCI runtime. Anything left is for containerd's shim.

use crate::front::Call;
use crate::start::socket_of;
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where containerd's shim lets runc and crun keep their state, below it the namespace and the container.
const STATE: &str = "/run/containerd/runc";
/// What is answered for a container that nobody knows any more: killed.
const STATUS: u64 = 128 + libc::SIGKILL as u64;
/// How often a shim is asked that may be about to end: half a second.
const DYING: usize = 50;

/// Answers `delete`; false, with nothing done, where something is left of the container.
pub fn delete(call: &Call) -> bool {
    let Ok(bundle) = std::env::current_dir() else {
        return false;
    };
    let bundle = bundle.with_file_name(&call.id);
    let socket = known_socket(&bundle).unwrap_or_else(|| socket_of(call));
    let answers = remove_dead_socket(&socket);
    if is_left(call, &bundle) {
        if answers {
            wait_for_its_end(&socket);
        }
        return false;
    }
    let process = fs::read_to_string(bundle.join("init.pid")).unwrap_or_default();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap_or_default();
    let answer = response(
        process.trim().parse().unwrap_or(0),
        now.as_secs(),
        u64::from(now.subsec_nanos()),
    );
    std::io::stdout().write_all(&answer).is_ok()
}

/// The task socket that containerd 2 wrote down; containerd 1 has one rule for all.
fn known_socket(bundle: &Path) -> Option<PathBuf> {
    let text = fs::read(bundle.join("bootstrap.json")).ok()?;
    let known: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let address = known["address"].as_str()?.strip_prefix("unix://")?;
    Some(address.into())
}

/// Removes the task socket of a shim that was killed; containerd leaves it lying. Whether a shim still listens there.
fn remove_dead_socket(socket: &Path) -> bool {
    match UnixStream::connect(socket) {
        Ok(_) => true,
        Err(error) => {
            if error.kind() == ErrorKind::ConnectionRefused {
                let _ = fs::remove_file(socket);
            }
            false
        }
    }
}

/// The kernel closes a killed shim's socket a little after its connection to containerd, which calls us at once.
fn wait_for_its_end(socket: &Path) {
    for _ in 0..DYING {
        std::thread::sleep(Duration::from_millis(10));
        if !remove_dead_socket(socket) {
            return;
        }
    }
}

/// Whether the OCI runtime still has a state of the container, elsewhere than usual perhaps, or its files are mounted.
fn is_left(call: &Call, bundle: &Path) -> bool {
    let options = fs::read_to_string(bundle.join("options.json")).unwrap_or_default();
    let state = Path::new(STATE).join(&call.namespace).join(&call.id);
    !matches!(options.trim(), "" | "{}") || state.exists() || has_mounts(bundle)
}

fn has_mounts(bundle: &Path) -> bool {
    let Ok(table) = fs::read_to_string("/proc/self/mountinfo") else {
        return true;
    };
    let rootfs = bundle.join("rootfs");
    let point = |line: &str| {
        line.split(' ')
            .nth(4)
            .map(|point| Path::new(point).to_path_buf())
    };
    table
        .lines()
        .filter_map(point)
        .any(|point| point.starts_with(&rootfs))
}

/// containerd.task.v2/v3.DeleteResponse: 1 the process, 2 its status, 3 a timestamp of seconds and nanoseconds.
fn response(process: u64, seconds: u64, nanoseconds: u64) -> Vec<u8> {
    let mut time = Vec::new();
    field(&mut time, 1, seconds);
    field(&mut time, 2, nanoseconds);
    let mut all = Vec::new();
    field(&mut all, 1, process);
    field(&mut all, 2, STATUS);
    all.push(3 << 3 | 2);
    number(&mut all, time.len() as u64);
    all.extend(time);
    all
}

/// A protobuf field that is a number.
fn field(bytes: &mut Vec<u8>, tag: u8, value: u64) {
    bytes.push(tag << 3);
    number(bytes, value);
}

/// A protobuf number: seven bits a byte, the lowest first.
fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn only_a_socket_without_a_server_is_removed() {
        let socket = std::env::temp_dir().join(format!("wasmdock-socket-{}", std::process::id()));
        let server = UnixListener::bind(&socket).unwrap();
        assert!(remove_dead_socket(&socket));
        assert!(socket.exists());
        drop(server);
        assert!(!remove_dead_socket(&socket));
        assert!(!socket.exists());
    }

    #[test]
    fn a_shim_that_is_about_to_end_is_waited_for() {
        let socket = std::env::temp_dir().join(format!("wasmdock-dying-{}", std::process::id()));
        let server = UnixListener::bind(&socket).unwrap();
        let dying = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            drop(server);
        });
        wait_for_its_end(&socket);
        assert!(!socket.exists());
        dying.join().unwrap();
    }

    #[test]
    fn the_answer_is_the_protobuf_that_containerds_shim_sends() {
        // As seen on the wire: process 22942, status 137, a time in 2026.
        let seen = [
            0x08, 0x9e, 0xb3, 0x01, 0x10, 0x89, 0x01, 0x1a, 0x0b, 0x08, 0xee, 0xdc, 0x91, 0xd8,
            0x06, 0x10, 0x96, 0xfb, 0x8e, 0x7c,
        ];
        assert_eq!(response(22942, 1_795_452_526, 260_291_990), seen);
    }
}
