//! Process 1 of a Wasm container: loads the compiled code, runs the guest, ends as the guest ended.

mod asking;
mod command;
mod console;
mod ending;
mod engine;
mod marks;
mod serve;
mod signals;
mod state;
mod threads;
mod translate;

use ending::Ending;
use std::process::ExitCode;
use std::time::Duration;
use wasmdock_shim::launch::{Form, Launch, VARIABLE};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    if std::env::var_os(VARIABLE).is_none() && arguments.first().is_some_and(|one| one == "compile")
    {
        arguments.remove(0);
        return translate::main(&arguments);
    }
    host(&arguments)
}

/// Runs the container's guest and ends this process.
fn host(arguments: &[String]) -> ! {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.to_string();
        Ending::broken(match text.contains("spawn") {
            true => {
                "starting a thread: the container may have no more processes (--pids-limit)".into()
            }
            false => format!("a bug of the host: {text}"),
        })
        .finish()
    }));
    let ending = match launch() {
        Ok(Launch {
            fault: Some(fault), ..
        }) => Ending::refused(fault),
        Ok(launch) => {
            marks::begin(&launch);
            run(&launch, arguments)
        }
        Err(reason) => Ending::broken(reason),
    };
    ending.finish()
}

fn launch() -> Result<Launch, String> {
    let text = std::env::var(VARIABLE).map_err(|_| {
        format!("starting: {VARIABLE} is not set; the OCI runtime of this program starts it")
    })?;
    serde_json::from_str(&text).map_err(|error| format!("reading {VARIABLE}: {error}"))
}

fn run(launch: &Launch, arguments: &[String]) -> Ending {
    let engine = match Engine::new(&engine::hosting(launch.tuning, launch.settings.stack)) {
        Ok(engine) => engine,
        Err(error) => return Ending::broken(format!("starting wasmtime: {error:#}")),
    };
    match launch.tuning.form {
        Form::Module => {
            // SAFETY: the OCI runtime wrote this file outside the container and mounted it read-only.
            match unsafe { Module::deserialize_file(&engine, &launch.code) } {
                Ok(module) => {
                    marks::step("map");
                    match asking::refuse_module(launch, &module, arguments) {
                        Some(refusal) => refusal,
                        None => command::run_module(launch, &engine, &module, arguments),
                    }
                }
                Err(error) => unusable(launch, &error),
            }
        }
        Form::Component => {
            // SAFETY: as above.
            match unsafe { Component::deserialize_file(&engine, &launch.code) } {
                Ok(component) => {
                    marks::step("map");
                    run_component(launch, &engine, &component, arguments)
                }
                Err(error) => unusable(launch, &error),
            }
        }
    }
}

fn run_component(
    launch: &Launch,
    engine: &Engine,
    component: &Component,
    arguments: &[String],
) -> Ending {
    if let Some(refusal) = asking::refuse_component(launch, engine, component, arguments) {
        return refusal;
    }
    if launch.export.is_none() && serve::is_served(engine, component) {
        return serve::run(launch);
    }
    command::run_component(launch, engine, component, arguments)
}

fn unusable(launch: &Launch, error: &wasmtime::Error) -> Ending {
    Ending::broken(format!("loading {}: {error:#}", launch.code))
}

/// Signals and clock of a command. A served component has its own: it drains, and has one clock per request.
fn guard(launch: &Launch) {
    signals::end_at_once();
    if let Some(milliseconds) = launch.settings.timeout {
        signals::end_after(Duration::from_millis(milliseconds));
    }
}
