//! Process 1 of a Wasm container: loads the compiled code, runs the guest, ends as the guest ended.

mod command;
mod console;
mod ending;
mod serve;
mod signals;
mod state;

use crate::engine;
use crate::launch::{Form, Launch, VARIABLE};
use ending::Ending;
use std::time::Duration;
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

/// Runs the container's guest and never returns.
pub fn main(arguments: Vec<String>) -> ! {
    let ending = match launch() {
        Ok(Launch {
            fault: Some(fault), ..
        }) => Ending::refused(fault),
        Ok(launch) => run(&launch, &arguments),
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
    signals::end_at_once();
    let engine = match Engine::new(&engine::configuration(launch.tuning, false)) {
        Ok(engine) => engine,
        Err(error) => return Ending::broken(format!("starting wasmtime: {error:#}")),
    };
    match launch.tuning.form {
        Form::Module => {
            // SAFETY: the OCI runtime wrote this file outside the container and mounted it read-only.
            match unsafe { Module::deserialize_file(&engine, &launch.code) } {
                Ok(module) => command::run_module(launch, &engine, &module, arguments),
                Err(error) => unusable(launch, &error),
            }
        }
        Form::Component => {
            // SAFETY: as above.
            match unsafe { Component::deserialize_file(&engine, &launch.code) } {
                Ok(component) => run_component(launch, &engine, &component, arguments),
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
    if launch.export.is_none() && serve::is_served(engine, component) {
        return serve::run(launch);
    }
    command::run_component(launch, engine, component, arguments)
}

fn unusable(launch: &Launch, error: &wasmtime::Error) -> Ending {
    Ending::broken(format!("loading {}: {error:#}", launch.code))
}

/// Starts the clock of a command; served components have one clock per request instead.
fn start_clock(launch: &Launch) {
    if let Some(milliseconds) = launch.settings.timeout {
        signals::end_after(Duration::from_millis(milliseconds));
    }
}
