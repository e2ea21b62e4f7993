//! An OCI runtime in front of crun or runc: on `create` of a Wasm container it edits the bundle, then becomes the other.

use crate::compile::{self, Failure};
use crate::image::{self, Program};
use crate::launch::{Form, Launch, Tuning};
use crate::settings::Settings;
use crate::{HOST, spec};
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Options before the command that take a value, in runc and crun.
const VALUED: [&str; 6] = ["root", "log", "log-format", "log-level", "criu", "rootless"];

/// What the arguments of an OCI runtime say, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Call {
    command: String,
    /// Where in the arguments the command stands.
    index: usize,
    bundle: Option<String>,
    process: Option<String>,
    log: Option<String>,
    id: Option<String>,
    root: Option<String>,
}

/// Becomes the real runtime; returns only where something fails.
pub fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let call = parse(&arguments);
    match become_real(&call, &mut arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            report(&call, &reason);
            ExitCode::FAILURE
        }
    }
}

fn become_real(call: &Call, arguments: &mut Vec<String>) -> Result<(), String> {
    match call.command.as_str() {
        "create" | "run" => {
            let bundle = PathBuf::from(call.bundle.as_deref().unwrap_or("."));
            let spec = prepare(&bundle)?;
            if wants_systemd(&spec) && !arguments.iter().any(|one| one == "--systemd-cgroup") {
                arguments.insert(call.index, "--systemd-cgroup".into());
            }
        }
        "exec" => prepare_exec(call)?,
        _ => {}
    }
    let real = real_runtime()?;
    let error = Command::new(&real).args(arguments.iter()).exec();
    Err(format!("starting {}: {error}", real.display()))
}

fn parse(arguments: &[String]) -> Call {
    let mut call = Call::default();
    let mut all = arguments.iter().enumerate();
    while let Some((index, argument)) = all.next() {
        let Some(option) = argument.strip_prefix('-') else {
            if call.command.is_empty() {
                (call.command, call.index) = (argument.clone(), index);
            } else {
                call.id = Some(argument.clone());
                break; // behind the container's name follow the arguments of exec
            }
            continue;
        };
        let option = option.strip_prefix('-').unwrap_or(option);
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None if takes_value(&call.command, option) => {
                (option, all.next().map(|(_, value)| value.clone()))
            }
            None => (option, None),
        };
        match name {
            "bundle" | "b" => call.bundle = value,
            "process" | "p" => call.process = value,
            "log" => call.log = value,
            "root" => call.root = value,
            _ => {}
        }
    }
    call
}

fn takes_value(command: &str, option: &str) -> bool {
    let own: &[&str] = match command {
        "" => &VALUED,
        "create" | "run" | "restore" => &[
            "bundle",
            "b",
            "pid-file",
            "console-socket",
            "preserve-fds",
            "config",
            "f",
        ],
        "exec" => &[
            "process",
            "p",
            "pid-file",
            "console-socket",
            "preserve-fds",
            "cwd",
            "env",
            "e",
            "user",
            "u",
            "cap",
            "c",
            "apparmor",
            "process-label",
            "additional-gids",
            "g",
            "cgroup",
        ],
        _ => &[],
    };
    own.contains(&option)
}

/// Reads the bundle's config.json and, where process 1 is Wasm, edits it.
fn prepare(bundle: &Path) -> Result<Value, String> {
    let path = bundle.join("config.json");
    let mut spec = read(&path)?;
    let root = spec["root"]["path"].as_str().unwrap_or("rootfs");
    let rootfs = bundle.join(root); // an absolute root replaces the bundle's path
    if let Some(program) = wasm_program(&spec, &rootfs)? {
        edit(&mut spec, program)?;
        write(&path, &spec)?;
    }
    Ok(spec)
}

fn read(path: &Path) -> Result<Value, String> {
    let wrong = |what: String| format!("reading {}: {what}", path.display());
    let bytes = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}

fn write(path: &Path, value: &Value) -> Result<(), String> {
    let bytes = serde_json::to_vec(value).expect("a value has only string keys");
    fs::write(path, bytes).map_err(|error| format!("writing {}: {error}", path.display()))
}

/// A Wasm program and the form its first bytes show; `Err` inside where the name promised Wasm in vain.
type Found = (Program, Result<Form, String>);

fn wasm_program(spec: &Value, rootfs: &Path) -> Result<Option<Found>, String> {
    let arguments = spec::arguments(&spec["process"]);
    let Some(name) = arguments.get(spec::program_index(&arguments)) else {
        return Ok(None);
    };
    let Some(program) = image::find(spec, rootfs, name) else {
        return Ok(None);
    };
    let start = image::first_bytes(&program.file)
        .map_err(|error| format!("reading {}: {error}", program.name))?;
    match Form::of(&start) {
        Some(form) => Ok(Some((program, Ok(form)))),
        None if start.starts_with(b"\0asm") || image::promises_wasm(&program.name) => {
            let fault = format!(
                "running {}: it is not a Wasm binary of a known version (it starts with {start:02x?})",
                program.name
            );
            Ok(Some((program, Err(fault))))
        }
        None => Ok(None),
    }
}

fn edit(spec: &mut Value, (program, form): Found) -> Result<(), String> {
    let base = spec::base(spec);
    let mut settings =
        Settings::read(spec::environment(&spec["process"]), spec::annotations(spec))?;
    settings.memory = settings
        .memory
        .into_iter()
        .chain(spec::memory_limit(spec))
        .min();
    let is_folder = |path: &str| fs::metadata(path).is_ok_and(|known| known.is_dir());
    let mut grants = spec::grants(spec, base, is_folder);
    grants.folders.extend(spec::rootfs_folder(settings.rootfs));
    let host = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let inside = format!("{base}/{HOST}");
    let mut mounts = vec![spec::file_mount(&host.to_string_lossy(), &inside, false)];
    for (source, target, writable) in &grants.files {
        mounts.push(spec::file_mount(source, target, *writable));
    }
    let tuning = Tuning {
        form: *form.as_ref().unwrap_or(&Form::Module),
        fuel: settings.fuel.is_some(),
        epochs: form == Ok(Form::Component) && names_http(&program),
    };
    let mut launch = Launch {
        code: format!("{base}/code"),
        tuning,
        export: program.export,
        folders: grants.folders,
        settings,
        fault: None,
    };
    match form
        .map_err(Failure::Guest)
        .and_then(|_| compile::compiled(program.file, &program.name, tuning))
    {
        Ok(code) => mounts.push(spec::file_mount(
            &code.to_string_lossy(),
            &launch.code,
            false,
        )),
        Err(Failure::Guest(fault)) => launch.fault = Some(fault),
        Err(Failure::Own(reason)) => return Err(reason),
    }
    spec::install(spec, &inside, mounts, &launch);
    Ok(())
}

/// Whether a component speaks of wasi:http's incoming handler: then it is served, and its code must give way to
/// time limits. A false alarm only costs a little speed.
fn names_http(program: &Program) -> bool {
    use std::os::unix::fs::FileExt;
    const NAME: &[u8] = b"wasi:http/incoming-handler@";
    const STEP: usize = 1 << 20;
    let mut block = vec![0; STEP + NAME.len()];
    let mut offset = 0;
    while let Ok(count @ 1..) = program.file.read_at(&mut block, offset) {
        if block[..count]
            .windows(NAME.len())
            .any(|window| window == NAME)
        {
            return true;
        }
        if count <= NAME.len() {
            return false;
        }
        offset += (count - NAME.len()) as u64;
    }
    false
}

/// `exec` of the container's own module runs it again; anything else is said to be impossible, unless the image
/// holds a Linux program.
fn prepare_exec(call: &Call) -> Result<(), String> {
    let (Some(process), Some(id)) = (&call.process, &call.id) else {
        return Ok(());
    };
    let Some(bundle) = bundle_of(call, id) else {
        return Ok(());
    };
    let spec = read(&bundle.join("config.json"))?;
    let Some(launch) = spec::variable(&spec["process"], crate::launch::VARIABLE) else {
        return Ok(()); // not a Wasm container
    };
    let launch: Launch = serde_json::from_str(launch).map_err(|error| error.to_string())?;
    let path = PathBuf::from(process);
    let mut wanted = read(&path)?;
    let arguments = spec::arguments(&wanted);
    let name = arguments.first().map_or("", String::as_str);
    let own = spec::arguments(&spec["process"]);
    let module = own
        .get(spec::program_index(&own) + 1)
        .map_or("", String::as_str);
    if image::split_export(name).0 == image::split_export(module).0 {
        let export = image::split_export(name).1.map(str::to_string);
        let launch = Launch { export, ..launch };
        let host = format!("{}/{HOST}", spec::base(&spec));
        spec::install_process(&mut wanted, &host, &launch);
        return write(&path, &wanted);
    }
    let rootfs = bundle.join(spec["root"]["path"].as_str().unwrap_or("rootfs"));
    let mut searched = spec.clone();
    searched["process"] = wanted;
    match image::find(&searched, &rootfs, name) {
        Some(_) => Ok(()),
        None => Err(format!(
            "executing {name}: no such file; this is a Wasm container, its image holds no shell and no tools; {module} is what can be executed"
        )),
    }
}

/// Where the engine keeps the bundle: the runtime's own record of the container knows.
fn bundle_of(call: &Call, id: &str) -> Option<PathBuf> {
    if Path::new("config.json").exists() {
        return std::env::current_dir().ok(); // containerd's shim works in the bundle
    }
    let root = PathBuf::from(call.root.as_deref().unwrap_or("/run/crun"));
    let crun = read(&root.join(id).join("status")).ok();
    if let Some(bundle) = crun.as_ref().and_then(|status| status["bundle"].as_str()) {
        return Some(bundle.into());
    }
    let runc = read(&root.join(id).join("state.json")).ok()?;
    let labels = runc["config"]["labels"].as_array()?;
    let bundle = labels
        .iter()
        .find_map(|label| label.as_str()?.strip_prefix("bundle="))?;
    Some(bundle.into())
}

/// Whether the cgroup path is one for systemd (slice:prefix:name); containerd's shim only says so to its own runc.
fn wants_systemd(spec: &Value) -> bool {
    let path = spec["linux"]["cgroupsPath"].as_str().unwrap_or("");
    path.split(':').count() == 3 && Path::new("/run/systemd/system").is_dir()
}

/// crun where it is installed and can work here, else runc; WASMDOCK_RUNTIME names another.
fn real_runtime() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("WASMDOCK_RUNTIME") {
        return Ok(named.into());
    }
    // crun refuses a hybrid of both versions of cgroups.
    let hybrid = Path::new("/sys/fs/cgroup/unified/cgroup.procs").exists();
    let names: &[&str] = if hybrid { &["runc"] } else { &["crun", "runc"] };
    let own = fs::metadata("/proc/self/exe")
        .map(|known| (known.dev(), known.ino()))
        .ok();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"].map(PathBuf::from);
    let folders: Vec<PathBuf> = std::env::split_paths(&path).chain(usual).collect();
    for name in names {
        for file in folders.iter().map(|folder| folder.join(name)) {
            let other = fs::metadata(&file).ok().filter(fs::Metadata::is_file);
            if other.is_some_and(|other| Some((other.dev(), other.ino())) != own) {
                return Ok(file);
            }
        }
    }
    Err("finding crun or runc: neither is in a folder of PATH; install one, or name it in WASMDOCK_RUNTIME".into())
}

/// Says a failure where the caller looks for it: the log it asked for, and stderr.
fn report(call: &Call, reason: &str) {
    eprintln!("wasmdock: {reason}");
    let Some(log) = &call.log else { return };
    if let Ok(mut file) = fs::OpenOptions::new().create(true).append(true).open(log) {
        let entry = json!({"level": "error", "msg": format!("wasmdock: {reason}"), "time": now()});
        let _ = writeln!(file, "{entry}");
    }
}

/// The time as RFC 3339 in UTC; the civil date by the usual count of days from 0000-03-01.
fn now() -> String {
    let elapsed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    timestamp(elapsed.map_or(0, |elapsed| elapsed.as_secs()))
}

fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Call {
        parse(&text.split(' ').map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_call_of_containerds_shim_is_understood() {
        let call = parsed(
            "--root /run/r --log /b/log.json --log-format json create --bundle /b --pid-file /b/p id",
        );
        assert_eq!(call.command, "create");
        assert_eq!(call.index, 6);
        assert_eq!(call.bundle.as_deref(), Some("/b"));
        assert_eq!(call.log.as_deref(), Some("/b/log.json"));
        assert_eq!(call.id.as_deref(), Some("id"));
    }

    #[test]
    fn the_calls_of_podman_and_of_exec_are_understood() {
        let podman = parsed("--systemd-cgroup create --bundle=/b --pid-file /p id");
        assert_eq!(podman.command, "create");
        assert_eq!(podman.bundle.as_deref(), Some("/b"));
        let exec = parsed("--root /r exec --process /p.json --detach id");
        assert_eq!(exec.process.as_deref(), Some("/p.json"));
        assert_eq!(exec.id.as_deref(), Some("id"));
    }

    #[test]
    fn times_are_civil_dates() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_827_696), "2000-02-29T12:34:56Z");
    }
}
