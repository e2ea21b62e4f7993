//! An OCI runtime in front of crun or runc: on `create` of a Wasm container it edits the bundle, then becomes the other.

use crate::call::{self, Call};
use crate::compile::{self, Failure};
use crate::image::{self, Program};
use crate::launch::{Form, Launch, Tuning};
use crate::record::{self, Record};
use crate::settings::Settings;
use crate::{HOST, beside, exec, layer, real, report, spec};
use serde_json::Value;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Becomes the real runtime; returns only where something fails.
pub fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let call = call::parse(&arguments);
    match become_real(&call, &mut arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            report::report(&call, &reason);
            ExitCode::FAILURE
        }
    }
}

fn become_real(call: &Call, arguments: &mut Vec<String>) -> Result<(), String> {
    match call.command.as_str() {
        "create" | "run" => {
            let bundle = PathBuf::from(call.bundle.as_deref().unwrap_or("."));
            let spec = prepare(&bundle, call.id.as_deref().unwrap_or_default())?;
            if wants_systemd(&spec) && !arguments.iter().any(|one| one == "--systemd-cgroup") {
                arguments.insert(call.index, "--systemd-cgroup".into());
            }
        }
        "exec" => exec::prepare(call)?,
        _ => {}
    }
    let real = real::runtime()?;
    let error = Command::new(&real).args(arguments.iter()).exec();
    Err(format!("starting {}: {error}", real.display()))
}

/// Reads the bundle's config.json and, where process 1 is Wasm, edits it.
fn prepare(bundle: &Path, id: &str) -> Result<Value, String> {
    let path = bundle.join("config.json");
    let mut spec = read(&path)?;
    let root = spec["root"]["path"].as_str().unwrap_or("rootfs");
    let rootfs = bundle.join(root); // an absolute root replaces the bundle's path
    if let Some(program) = program(&spec, &rootfs, bundle, id)?
        && let Some(found) = wasm(program)?
    {
        let record = record::of(&spec, id);
        edit(&mut spec, &rootfs, found, &record)?;
        write(&path, &spec)?;
    }
    Ok(spec)
}

/// The settings of a process of a container.
pub fn settings(spec: &Value, process: &Value, record: &Record) -> Result<Settings, String> {
    let labels = record.labels.iter();
    let mut settings = Settings::read(
        spec::environment(process),
        spec::annotations(spec),
        labels.map(|(name, value)| (name.as_str(), value.as_str())),
    )?;
    let memory = settings.memory.into_iter().chain(spec::memory_limit(spec));
    settings.memory = memory.min();
    Ok(settings)
}

/// A JSON file.
pub fn read(path: &Path) -> Result<Value, String> {
    let wrong = |what: String| format!("reading {}: {what}", path.display());
    let bytes = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))
}

/// Replaces a JSON file.
pub fn write(path: &Path, value: &Value) -> Result<(), String> {
    let bytes = serde_json::to_vec(value).expect("a value has only string keys");
    fs::write(path, bytes).map_err(|error| format!("writing {}: {error}", path.display()))
}

/// A Wasm program and the form its first bytes show; `Err` inside where the name promised Wasm in vain.
type Found = (Program, Result<Form, String>);

/// The program of the container: a file, or a layer of the image that no engine unpacks.
fn program(
    spec: &Value,
    rootfs: &Path,
    bundle: &Path,
    id: &str,
) -> Result<Option<Program>, String> {
    let arguments = spec::arguments(&spec["process"]);
    let Some(name) = arguments.get(spec::program_index(&arguments)) else {
        return Ok(None);
    };
    if let Some(program) = image::find(spec, rootfs, name) {
        return Ok(Some(program));
    }
    match record::of(spec, id).manifest {
        Some(manifest) => layer::find(bundle, &manifest, name),
        None => Ok(None),
    }
}

fn wasm(program: Program) -> Result<Option<Found>, String> {
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

fn edit(
    spec: &mut Value,
    rootfs: &Path,
    (program, form): Found,
    record: &Record,
) -> Result<(), String> {
    let base = spec::base(spec);
    let settings = settings(spec, &spec["process"], record)?;
    let is_folder = |path: &str| fs::metadata(path).is_ok_and(|known| known.is_dir());
    let mut grants = spec::grants(spec, base, is_folder);
    grants.rename(&settings.renamed)?;
    let shown = spec::image_folders(settings.rootfs, folders_in(rootfs).into_iter());
    grants.folders.extend(shown);
    let host = beside(HOST)?;
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
    let compile_time = settings.compile_time;
    let mut launch = Launch {
        code: format!("{base}/code"),
        tuning,
        export: program.export,
        folders: grants.folders,
        settings,
        fault: None,
        compiled: None,
    };
    let began = Instant::now();
    let code = form
        .map_err(Failure::Guest)
        .and_then(|_| compile::compiled(program.file, &program.name, tuning, compile_time));
    launch.compiled = Some(began.elapsed().as_secs_f64());
    match code {
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

/// The names of the folders of an image, sorted; links are none.
fn folders_in(rootfs: &Path) -> Vec<String> {
    let entries = fs::read_dir(rootfs).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut names: Vec<String> = folders
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
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

/// Whether the cgroup path is one for systemd (slice:prefix:name); containerd's shim only says so to its own runc.
fn wants_systemd(spec: &Value) -> bool {
    let path = spec["linux"]["cgroupsPath"].as_str().unwrap_or("");
    path.split(':').count() == 3 && Path::new("/run/systemd/system").is_dir()
}
