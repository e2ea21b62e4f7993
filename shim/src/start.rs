//! The first shortcut: `start` binds the task socket and starts containerd's shim as the server at once, where that shim
//! would start itself a second time. A Go program less on the way to every container.

use crate::front::{Behind, Call};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Where containerd's shims have their sockets.
const SOCKETS: &str = "/run/containerd/s";
/// Where it is remembered which protocol a shim speaks.
const MEMORY: &str = "/run/wasmdock";
/// Annotations that put several containers into one shim.
const GROUPS: [&str; 2] = [
    "io.containerd.runc.v2.group",
    "io.kubernetes.cri.sandbox-id",
];

/// What a shim's binary says about the protocol between containerd, `start` and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// containerd 1: the answer is the address, which is also kept in a file for the server.
    Two,
    /// containerd 2: the answer is JSON.
    Three,
    /// Newer than what is known here.
    Unknown,
}

/// Answers `start`; false, with nothing done, where anything is out of the ordinary.
pub fn start(call: &Call, behind: &Behind) -> bool {
    let ordinary = std::env::var_os("SCHED_CORE").is_none() && !is_grouped() && !has_options();
    let protocol = if ordinary {
        protocol_of(&behind.program)
    } else {
        Protocol::Unknown
    };
    if protocol == Protocol::Unknown {
        return false;
    }
    let socket = socket_of(call);
    let Ok(listener) = UnixListener::bind(&socket) else {
        return false; // left behind, or in use: containerd's shim knows what to do
    };
    let started = fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).is_ok()
        && serve(call, behind, &listener).is_ok()
        && answer(protocol, &socket).is_ok();
    if !started {
        let _ = fs::remove_file(&socket);
    }
    started
}

fn is_grouped() -> bool {
    let spec = fs::read("config.json").unwrap_or_default();
    let text = String::from_utf8_lossy(&spec);
    spec.is_empty() || GROUPS.iter().any(|name| text.contains(name))
}

/// Whether options of the runtime were passed on standard input. Looking is enough: they stay there.
fn has_options() -> bool {
    let mut waiting: libc::c_int = 0;
    // SAFETY: one valid pollfd and one integer to be filled.
    unsafe {
        let mut poll = libc::pollfd {
            fd: 0,
            events: libc::POLLIN,
            revents: 0,
        };
        libc::poll(&mut poll, 1, 1000);
        libc::ioctl(0, libc::FIONREAD, &mut waiting);
    }
    waiting > 0
}

/// The socket containerd's shim would choose, so that it also finds it when it cleans up.
pub fn socket_of(call: &Call) -> PathBuf {
    let name = Path::new(&call.address)
        .join(&call.namespace)
        .join(&call.id);
    let hash = Sha256::digest(name.as_os_str().as_encoded_bytes());
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Path::new(SOCKETS).join(hash)
}

/// Starts the server with the socket as its descriptor 3, in a process group of its own.
fn serve(call: &Call, behind: &Behind, listener: &UnixListener) -> std::io::Result<()> {
    let socket = listener.as_raw_fd();
    // SAFETY: getppid cannot fail.
    let score = format!("/proc/{}/oom_score_adj", unsafe { libc::getppid() });
    let score = fs::read_to_string(score).unwrap_or_default();
    let score = score
        .trim()
        .parse::<i32>()
        .unwrap_or(0)
        .saturating_add(1)
        .min(1000);
    let mut command = behind.command();
    command
        .args([
            "-namespace",
            &call.namespace,
            "-id",
            &call.id,
            "-address",
            &call.address,
        ])
        .env("GOMAXPROCS", "4")
        .env("OTEL_SERVICE_NAME", format!("containerd-shim-{}", call.id))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    // SAFETY: dup2 and fcntl are safe between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let done = if socket == 3 {
                libc::fcntl(3, libc::F_SETFD, 0)
            } else {
                libc::dup2(socket, 3)
            };
            if done < 0 {
                return Err(std::io::Error::last_os_error());
            }
            Ok(())
        });
    }
    let child = command.spawn()?;
    // As containerd's shim does: the server is killed a little sooner than containerd.
    let _ = fs::write(
        format!("/proc/{}/oom_score_adj", child.id()),
        score.to_string(),
    );
    Ok(())
}

fn answer(protocol: Protocol, socket: &Path) -> std::io::Result<()> {
    let address = format!("unix://{}", socket.display());
    let text = match protocol {
        Protocol::Three => {
            serde_json::json!({"version": 3, "address": address, "protocol": "ttrpc"}).to_string()
        }
        _ => {
            fs::write("address", &address)?;
            address
        }
    };
    std::io::stdout().write_all(text.as_bytes())
}

/// The protocol of a shim's binary, read once and remembered until the binary changes.
fn protocol_of(program: &Path) -> Protocol {
    let Ok(known) = fs::metadata(program) else {
        return Protocol::Unknown;
    };
    let name = format!(
        "protocol-{}-{}-{}-{}",
        known.dev(),
        known.ino(),
        known.ctime(),
        known.ctime_nsec()
    );
    let memory = Path::new(MEMORY).join(name);
    if let Ok(text) = fs::read_to_string(&memory) {
        return match text.as_str() {
            "2" => Protocol::Two,
            "3" => Protocol::Three,
            _ => Protocol::Unknown,
        };
    }
    let protocol = fs::read(program).map_or(Protocol::Unknown, |binary| protocol_in(&binary));
    let text = match protocol {
        Protocol::Two => "2",
        Protocol::Three => "3",
        Protocol::Unknown => "-",
    };
    let _ = fs::DirBuilder::new().mode(0o700).create(MEMORY);
    let temporary = memory.with_extension(std::process::id().to_string());
    if fs::write(&temporary, text).is_ok() {
        let _ = fs::rename(&temporary, &memory);
    }
    protocol
}

/// Tells protocols by the names of the services a Go binary holds.
fn protocol_in(binary: &[u8]) -> Protocol {
    let holds = |name: &[u8]| binary.windows(name.len()).any(|window| window == name);
    if holds(b"containerd.runtime.bootstrap") || holds(b"runtime/bootstrap/v1") {
        Protocol::Unknown
    } else if holds(b"containerd.task.v3.Task") {
        Protocol::Three
    } else if holds(b"containerd.task.v2.Task") {
        Protocol::Two
    } else {
        Protocol::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_one_containerds_shim_would_choose() {
        let call = Call {
            namespace: "moby".into(),
            id: "7".into(),
            address: "/run/containerd/containerd.sock".into(),
            ..Call::default()
        };
        let hash = Sha256::digest(b"/run/containerd/containerd.sock/moby/7");
        let socket = socket_of(&call);
        let name = socket.file_name().unwrap().to_str().unwrap();
        assert_eq!(name.len(), 64);
        assert!(name.starts_with(&format!("{:02x}", hash[0])));
    }

    #[test]
    fn protocols_are_told_by_the_services_in_the_binary() {
        assert_eq!(protocol_in(b"..containerd.task.v2.Task.."), Protocol::Two);
        assert_eq!(
            protocol_in(b"containerd.task.v2.Task containerd.task.v3.Task"),
            Protocol::Three
        );
        assert_eq!(
            protocol_in(b"containerd.task.v3.Task api/runtime/bootstrap/v1"),
            Protocol::Unknown
        );
        assert_eq!(protocol_in(b"\x7fELF"), Protocol::Unknown);
    }
}
