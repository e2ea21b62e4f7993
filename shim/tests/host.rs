//! The host as a process: compiles text modules with its own compiler, runs them, and ends as they end.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use wasmdock_shim::launch::{Form, Launch, Tuning, VARIABLE};
use wasmdock_shim::settings::Settings;

const HOST: &str = env!("CARGO_BIN_EXE_wasmdock-host");
const SPIN: &str = r#"(module (func (export "_start") (loop $again (br $again))))"#;
const TRAP: &str = r#"(module (func $inner unreachable) (func (export "_start") (call $inner)))"#;
const GROW: &str = r#"(module (memory 1) (func (export "_start")
    (loop $again
        (if (i32.eq (memory.grow (i32.const 16)) (i32.const -1)) (then unreachable))
        (br $again))))"#;
const EXIT: &str = r#"(module
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (func (export "_start") (call $exit (i32.const 42)))
    (func (export "other") (call $exit (i32.const 43))))"#;

/// Compiled code in a file that is gone with the value.
struct Code(PathBuf, Tuning);

impl Drop for Code {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn compiler(tuning: Tuning, output: Stdio) -> Child {
    Command::new(HOST)
        .args(["compile", &serde_json::to_string(&tuning).unwrap()])
        .stdin(Stdio::piped())
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn code(text: &str, fuel: bool) -> Code {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!(
        "wasmdock-host-test-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    let path = std::env::temp_dir().join(name);
    let tuning = Tuning {
        form: Form::Module,
        fuel,
        epochs: false,
    };
    let mut child = compiler(tuning, File::create(&path).unwrap().into());
    let module = wat::parse_str(text).unwrap();
    child.stdin.take().unwrap().write_all(&module).unwrap();
    assert!(child.wait().unwrap().success());
    Code(path, tuning)
}

fn host(code: &Code, change: impl FnOnce(&mut Launch)) -> Command {
    let mut launch = Launch {
        code: code.0.to_string_lossy().into_owned(),
        tuning: code.1,
        export: None,
        folders: Vec::new(),
        settings: Settings::default(),
        fault: None,
        compiled: None,
    };
    change(&mut launch);
    let mut command = Command::new(HOST);
    command
        .arg("guest.wasm")
        .env(VARIABLE, serde_json::to_string(&launch).unwrap());
    command
}

fn run(code: &Code, change: impl FnOnce(&mut Launch)) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = host(code, change).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn exit_code_is_the_guests() {
    assert_eq!(run(&code(EXIT, false), |_| ()), (Some(42), String::new()));
}

#[test]
fn named_export_is_called_instead() {
    let (status, _) = run(&code(EXIT, false), |launch| {
        launch.export = Some("other".into())
    });
    assert_eq!(status, Some(43));
}

#[test]
fn steps_are_said_where_marks_are_asked_for() {
    let (status, said) = run(&code(EXIT, false), |launch| {
        launch.settings.marks = true;
        launch.compiled = Some(0.5);
    });
    assert_eq!(status, Some(42));
    let text = said.strip_prefix("wasmdock-marks: ").unwrap();
    let marks: serde_json::Map<_, _> = serde_json::from_str(text).unwrap();
    let mut names: Vec<_> = marks.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["compile", "instantiate", "map", "run"]);
    assert_eq!(marks["compile"], 0.5);
}

#[test]
fn trap_is_134_with_a_backtrace() {
    let (status, said) = run(&code(TRAP, false), |_| ());
    assert_eq!(status, Some(134));
    assert!(said.starts_with("wasmdock: running guest.wasm: "), "{said}");
    assert!(
        said.contains("inner") && said.contains("unreachable"),
        "{said}"
    );
}

#[test]
fn refused_memory_is_137_and_said_so() {
    let (status, said) = run(&code(GROW, false), |launch| {
        launch.settings.memory = Some(4 << 20)
    });
    assert_eq!(status, Some(137));
    assert!(said.starts_with("wasmdock: out of memory: "), "{said}");
}

#[test]
fn fuel_ends_a_loop() {
    let (status, said) = run(&code(SPIN, true), |launch| {
        launch.settings.fuel = Some(10_000)
    });
    assert_eq!(status, Some(134));
    assert!(said.contains("fuel"), "{said}");
}

#[test]
fn time_limit_ends_a_loop_with_124() {
    let (status, said) = run(&code(SPIN, false), |launch| {
        launch.settings.timeout = Some(50)
    });
    assert_eq!(status, Some(124));
    assert!(said.contains("WASMDOCK_TIMEOUT"), "{said}");
}

#[test]
fn signal_ends_a_loop_within_a_second() {
    let code = code(SPIN, false);
    let mut child = host(&code, |_| ()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    // SAFETY: the child is ours and not waited for yet.
    unsafe { libc::kill(child.id() as i32, libc::SIGTERM) };
    assert_eq!(child.wait().unwrap().code(), Some(128 + libc::SIGTERM));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn fault_is_said_before_exit_126() {
    let (status, said) = run(&code(EXIT, false), |launch| {
        launch.fault = Some("broken".into())
    });
    assert_eq!((status, said.as_str()), (Some(126), "wasmdock: broken\n"));
}

#[test]
fn compiler_names_what_is_wrong() {
    let tuning = Tuning {
        form: Form::Module,
        fuel: false,
        epochs: false,
    };
    let mut child = compiler(tuning, Stdio::null());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"\0asm\x01\0\0\0\x01\x7f")
        .unwrap();
    let Output { status, stderr, .. } = child.wait_with_output().unwrap();
    assert_eq!(status.code(), Some(1));
    assert!(!stderr.is_empty());
}

#[test]
fn host_without_a_launch_says_who_starts_it() {
    let Output { status, stderr, .. } = Command::new(HOST).output().unwrap();
    assert_eq!(status.code(), Some(125));
    assert!(String::from_utf8_lossy(&stderr).contains("OCI runtime"));
}
