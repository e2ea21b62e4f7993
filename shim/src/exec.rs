//! `docker exec` in a Wasm container: the guest again, or a reason why not.

use crate::call::Call;
use crate::launch::{Launch, VARIABLE};
use crate::oci::{read, settings, write};
use crate::{HOST, image, record, spec};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// `exec` of the container's own module runs it again; anything else is said to be impossible, unless the image
/// holds a Linux program.
pub fn prepare(call: &Call) -> Result<(), String> {
    let (Some(process), Some(id)) = (&call.process, &call.id) else {
        return Ok(());
    };
    let Some(bundle) = bundle_of(call, id) else {
        return Ok(());
    };
    let spec = read(&bundle.join("config.json"))?;
    let Some(launch) = spec::variable(&spec["process"], VARIABLE) else {
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
        again(&spec, &mut wanted, Launch { export, ..launch }, id)?;
        return write(&path, &wanted);
    }
    let rootfs = bundle.join(spec["root"]["path"].as_str().unwrap_or("rootfs"));
    let mut searched = spec.clone();
    searched["process"] = wanted;
    match image::find(&searched, &rootfs, name) {
        Some(_) => Ok(()),
        None => Err(format!(
            "executing {name}: no such file or directory; this is a Wasm container, its image holds no shell and no tools; {module} is what can be executed"
        )),
    }
}

/// Makes a process the guest once more, with the settings of the container and those in the process's environment.
fn again(spec: &Value, wanted: &mut Value, mut launch: Launch, id: &str) -> Result<(), String> {
    let fuel = launch.settings.fuel;
    launch.settings = settings(spec, wanted, &record::of(spec, id))?;
    // Code compiled without fuel cannot count it, and code compiled with it needs some.
    launch.settings.fuel = launch.settings.fuel.filter(|_| fuel.is_some()).or(fuel);
    let host = format!("{}/{HOST}", spec::base(spec));
    spec::install_process(wanted, &host, &launch);
    Ok(())
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
