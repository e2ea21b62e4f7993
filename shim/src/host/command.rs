//! Commands: core modules of WASI preview 1, components of WASI 0.2, or one export of either.

use crate::console::Console;
use crate::ending::Ending;
use crate::marks;
use crate::state::{self, Budget, ComponentState, ModuleState};
use wasmdock_shim::launch::Launch;
use wasmtime::component::{self, Component};
use wasmtime::{Engine, Error, Func, Linker, Module, Result, Store, Val};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{I32Exit, WasiCtxBuilder, p1, p2};

/// Runs a future to its end on this thread alone.
fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread needs no resources")
        .block_on(future)
}

fn wasi(launch: &Launch, arguments: &[String]) -> Result<WasiCtxBuilder, String> {
    let mut builder = state::builder(&state::environment());
    builder
        .args(arguments)
        .allow_blocking_current_thread(true)
        .inherit_stdin()
        .stdout(Console(1))
        .stderr(Console(2));
    state::grant(&mut builder, &launch.folders)?;
    Ok(builder)
}

/// Runs a core module: its `_start`, or the export of the launch.
pub fn run_module(
    launch: &Launch,
    engine: &Engine,
    module: &Module,
    arguments: &[String],
) -> Ending {
    let mut wasi = match wasi(launch, arguments) {
        Ok(wasi) => wasi,
        Err(reason) => return Ending::broken(reason),
    };
    let state = ModuleState {
        wasi: wasi.build_p1(),
        budget: Budget::new(launch),
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.budget);
    crate::guard(launch);
    match block_on(call_module(launch, engine, module, &mut store)) {
        Ok(()) => Ending::exited(0),
        Err(error) => Ending::of(&error, &store.data().budget, &attempt(arguments)),
    }
}

async fn call_module(
    launch: &Launch,
    engine: &Engine,
    module: &Module,
    store: &mut Store<ModuleState>,
) -> Result<()> {
    state::refuel(store, launch)?;
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |state: &mut ModuleState| &mut state.wasi)?;
    pass_all_codes(&mut linker)?;
    let instance = linker.instantiate_async(&mut *store, module).await?;
    marks::step("instantiate");
    let name = launch.export.as_deref().unwrap_or("_start");
    if name != "_start"
        && let Some(initialize) = instance.get_func(&mut *store, "_initialize")
    {
        initialize.call_async(&mut *store, &[], &mut []).await?;
    }
    let Some(function) = instance.get_func(&mut *store, name) else {
        return Err(missing(
            name,
            module.exports().map(|export| export.name().to_string()),
        ));
    };
    call_function(&function, store, name).await
}

/// wasmtime's own proc_exit traps from 126 on; a container ends with any code from 0 to 255.
fn pass_all_codes(linker: &mut Linker<ModuleState>) -> Result<()> {
    linker.allow_shadowing(true);
    let exit = |code: i32| -> Result<()> { Err(I32Exit(code).into()) };
    linker.func_wrap("wasi_snapshot_preview1", "proc_exit", exit)?;
    linker.allow_shadowing(false);
    Ok(())
}

async fn call_function<T: Send>(function: &Func, store: &mut Store<T>, name: &str) -> Result<()> {
    let kind = function.ty(&*store);
    if kind.params().len() > 0 {
        return Err(Error::msg(format!(
            "export {name} takes parameters, an entrypoint takes none"
        )));
    }
    let mut results = vec![Val::I32(0); kind.results().len()];
    function.call_async(store, &[], &mut results).await
}

/// Runs a component: its `wasi:cli/run`, or the export of the launch.
pub fn run_component(
    launch: &Launch,
    engine: &Engine,
    component: &Component,
    arguments: &[String],
) -> Ending {
    let mut wasi = match wasi(launch, arguments) {
        Ok(wasi) => wasi,
        Err(reason) => return Ending::broken(reason),
    };
    let state = ComponentState::new(wasi.build(), Budget::new(launch));
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.budget);
    store.set_epoch_deadline(u64::MAX / 2);
    crate::guard(launch);
    match block_on(call_component(launch, engine, component, &mut store)) {
        Ok(true) => Ending::exited(0),
        Ok(false) => Ending::exited(1),
        Err(error) => Ending::of(&error, &store.data().budget, &attempt(arguments)),
    }
}

/// Calls a component; `false` where it answered with an error of its own.
async fn call_component(
    launch: &Launch,
    engine: &Engine,
    component: &Component,
    store: &mut Store<ComponentState>,
) -> Result<bool> {
    state::refuel(store, launch)?;
    let mut linker = component::Linker::new(engine);
    p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    if let Some(name) = &launch.export {
        let instance = linker.instantiate_async(&mut *store, component).await?;
        marks::step("instantiate");
        return call_export(&instance, store, name).await;
    }
    let command = Command::instantiate_async(&mut *store, component, &linker).await?;
    marks::step("instantiate");
    Ok(command.wasi_cli_run().call_run(store).await?.is_ok())
}

/// Calls `function` or `interface#function` of a component.
async fn call_export(
    instance: &component::Instance,
    store: &mut Store<ComponentState>,
    name: &str,
) -> Result<bool> {
    let parent = match name.split_once('#') {
        Some((interface, _)) => instance.get_export_index(&mut *store, None, interface),
        None => None,
    };
    let last = name.rsplit('#').next().unwrap_or(name);
    let index = instance.get_export_index(&mut *store, parent.as_ref(), last);
    let Some(function) = index.and_then(|index| instance.get_func(&mut *store, index)) else {
        return Err(missing(name, std::iter::empty()));
    };
    let kind = function.ty(&*store);
    if kind.params().len() > 0 {
        return Err(Error::msg(format!(
            "export {name} takes parameters, an entrypoint takes none"
        )));
    }
    let mut results = vec![component::Val::Bool(false); kind.results().len()];
    function.call_async(store, &[], &mut results).await?;
    Ok(!matches!(
        results.first(),
        Some(component::Val::Result(Err(_)))
    ))
}

fn missing(name: &str, exports: impl Iterator<Item = String>) -> Error {
    let known: Vec<String> = exports.collect();
    let known = if known.is_empty() {
        String::new()
    } else {
        format!("; it exports {}", known.join(", "))
    };
    Error::msg(format!("the guest has no export {name}{known}"))
}

/// What was tried, for the front of a message.
pub fn attempt(arguments: &[String]) -> String {
    format!(
        "running {}",
        arguments.first().map_or("the guest", |name| name)
    )
}
