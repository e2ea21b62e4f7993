//! Edits the OCI runtime spec of a container: process 1 becomes the Wasm host. Values in, values out.

use crate::launch::{Folder, Launch, VARIABLE};
use crate::settings::Rootfs;
use serde_json::{Value, json};

/// Capabilities a root guest keeps while it may use mounted folders of other owners.
const KEPT: [&str; 2] = ["CAP_DAC_OVERRIDE", "CAP_FOWNER"];
/// Mounted by engines into every container; not granted by the user.
const ENGINES_OWN: [&str; 6] = [
    "/etc/resolv.conf",
    "/etc/hostname",
    "/etc/hosts",
    "/run/.containerenv",
    "/sbin/docker-init",
    "/dev/init",
];
const KERNEL_FOLDERS: [&str; 3] = ["/proc", "/dev", "/sys"];
/// What the host itself needs besides the guest's memory.
const OVERHEAD: u64 = 16 << 20;

/// The value of an environment variable of a process; the last one wins.
pub fn variable<'a>(process: &'a Value, name: &str) -> Option<&'a str> {
    environment(process)
        .filter(|(key, _)| *key == name)
        .last()
        .map(|(_, value)| value)
}

/// The environment of a process as pairs.
pub fn environment(process: &Value) -> impl Iterator<Item = (&str, &str)> {
    let variables = process["env"].as_array().map_or(&[][..], Vec::as_slice);
    variables
        .iter()
        .filter_map(|variable| variable.as_str()?.split_once('='))
}

/// The annotations of a spec as pairs.
pub fn annotations(spec: &Value) -> impl Iterator<Item = (&str, &str)> + Clone {
    let pairs = spec["annotations"].as_object().into_iter().flatten();
    pairs.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

/// Where the program stands in the arguments: behind an init of the engine where there is one.
pub fn program_index(arguments: &[String]) -> usize {
    let init = arguments.first().is_some_and(|first| {
        first == "/sbin/docker-init" || first == "/dev/init" || first == "/run/podman-init"
    });
    match arguments.get(1).map(String::as_str) {
        Some("--") if init => 2,
        _ => 0,
    }
}

pub fn is_bind(mount: &Value) -> bool {
    let kind = mount["type"].as_str().unwrap_or("");
    let bind = |option: &Value| matches!(option.as_str(), Some("bind" | "rbind"));
    kind == "bind"
        || mount["options"]
            .as_array()
            .is_some_and(|all| all.iter().any(bind))
}

fn is_read_only(mount: &Value) -> bool {
    let options = mount["options"].as_array();
    options.is_some_and(|all| all.iter().any(|option| option == "ro"))
}

fn is_inside(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What the user granted: folders, and single files to be mounted a second time in a folder of their own.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Grants {
    pub folders: Vec<Folder>,
    pub files: Vec<(String, String, bool)>,
}

impl Grants {
    /// Shows granted folders under the names the container asks for.
    pub fn rename(&mut self, renamed: &[(String, String)]) -> Result<(), String> {
        for (container, guest) in renamed {
            let folder = self
                .folders
                .iter_mut()
                .find(|folder| folder.host == *container);
            let folder = folder.ok_or_else(|| {
                format!(
                    "reading WASMDOCK_DIRS: {container} is not a folder mounted into the container"
                )
            })?;
            folder.guest.clone_from(guest);
        }
        Ok(())
    }
}

/// The user's mounts among those of a spec. `is_folder` looks at the host.
pub fn grants(spec: &Value, base: &str, is_folder: impl Fn(&str) -> bool) -> Grants {
    let mut grants = Grants::default();
    let mut parents: Vec<(String, bool)> = Vec::new();
    for mount in spec["mounts"].as_array().map_or(&[][..], Vec::as_slice) {
        let Some(destination) = mount["destination"].as_str() else {
            continue;
        };
        let destination = match destination.trim_end_matches('/') {
            "" => "/",
            trimmed => trimmed,
        };
        if !(is_bind(mount) || mount["type"] == "tmpfs") || is_engines(destination) {
            continue;
        }
        let (writable, source) = (!is_read_only(mount), mount["source"].as_str().unwrap_or(""));
        if !is_bind(mount) || is_folder(source) {
            grants.folders.push(Folder {
                host: destination.to_string(),
                guest: destination.to_string(),
                writable,
            });
            continue;
        }
        let (parent, name) = destination.rsplit_once('/').unwrap_or(("", destination));
        let index = parents.iter().position(|(known, _)| known == parent);
        let index = index.unwrap_or_else(|| {
            parents.push((parent.to_string(), false));
            parents.len() - 1
        });
        parents[index].1 |= writable;
        let target = format!("{base}/files/{index}/{name}");
        grants.files.push((source.to_string(), target, writable));
    }
    for (index, (parent, writable)) in parents.into_iter().enumerate() {
        grants.folders.push(Folder {
            host: format!("{base}/files/{index}"),
            guest: if parent.is_empty() {
                "/".into()
            } else {
                parent
            },
            writable,
        });
    }
    grants
}

fn is_engines(destination: &str) -> bool {
    ENGINES_OWN.contains(&destination)
        || KERNEL_FOLDERS
            .iter()
            .any(|folder| is_inside(destination, folder))
}

/// The folder for our own mounts: on the container's /dev, a tmpfs, where it leaves nothing in the image.
pub fn base(spec: &Value) -> &'static str {
    let tmpfs = |mount: &Value| mount["destination"] == "/dev" && mount["type"] == "tmpfs";
    let mounts = spec["mounts"].as_array();
    if mounts.is_some_and(|mounts| mounts.iter().any(tmpfs)) {
        "/dev/.wasmdock"
    } else {
        "/.wasmdock"
    }
}

/// The linear memory a guest may have under the container's own limit, in bytes.
pub fn memory_limit(spec: &Value) -> Option<u64> {
    let limit = spec["linux"]["resources"]["memory"]["limit"].as_i64()?;
    let limit = u64::try_from(limit).ok().filter(|limit| *limit > 0)?;
    Some(limit - OVERHEAD.min(limit / 2))
}

/// The image's own folders, where the container asks for them. Never its /proc: a guest that could write to
/// /proc/self/mem would leave its sandbox.
pub fn image_folders(rootfs: Rootfs, names: impl Iterator<Item = String>) -> Vec<Folder> {
    if rootfs == Rootfs::Hidden {
        return Vec::new();
    }
    let paths = names.map(|name| format!("/{name}"));
    let hidden = |path: &String| KERNEL_FOLDERS.contains(&path.as_str()) || path == "/.wasmdock";
    paths
        .filter(|path| !hidden(path))
        .map(|path| Folder {
            host: path.clone(),
            guest: path,
            writable: rootfs == Rootfs::Writable,
        })
        .collect()
}

/// A read-only bind mount of a file.
pub fn file_mount(source: &str, destination: &str, writable: bool) -> Value {
    let access = if writable { "rw" } else { "ro" };
    json!({
        "destination": destination, "type": "bind", "source": source,
        "options": ["bind", "rprivate", "nosuid", "nodev", access],
    })
}

/// Makes process 1 the host, with what it needs mounted and its launch in the environment.
pub fn install(spec: &mut Value, host: &str, mounts: Vec<Value>, launch: &Launch) {
    match spec["mounts"].as_array_mut() {
        Some(all) => all.extend(mounts),
        None => spec["mounts"] = Value::Array(mounts),
    }
    install_process(&mut spec["process"], host, launch);
}

/// The same for a process alone: process 1, or one that joins a running container.
pub fn install_process(process: &mut Value, host: &str, launch: &Launch) {
    let index = program_index(&arguments(process));
    if let Some(all) = process["args"].as_array_mut() {
        if let (Some(export), Some(Value::String(name))) = (&launch.export, all.get_mut(index)) {
            let end = name.len()
                - name
                    .strip_suffix(export.as_str())
                    .map_or(0, |_| export.len() + 1);
            name.truncate(end);
        }
        all.insert(index, json!(host));
    }
    let text = serde_json::to_string(launch).expect("a launch has only string keys");
    let variable = json!(format!("{VARIABLE}={text}"));
    let prefix = format!("{VARIABLE}=");
    match process["env"].as_array_mut() {
        Some(all) => {
            all.retain(|one| !one.as_str().unwrap_or("").starts_with(&prefix));
            all.push(variable);
        }
        None => process["env"] = json!([variable]),
    }
    process["noNewPrivileges"] = json!(true);
    drop_capabilities(process, !launch.folders.is_empty());
}

/// The arguments of a process.
pub fn arguments(process: &Value) -> Vec<String> {
    let all = process["args"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter()
        .filter_map(|argument| argument.as_str().map(str::to_string))
        .collect()
}

fn drop_capabilities(process: &mut Value, folders: bool) {
    let Some(sets) = process["capabilities"].as_object_mut() else {
        return;
    };
    for set in sets.values_mut().filter_map(Value::as_array_mut) {
        set.retain(|one| folders && one.as_str().is_some_and(|name| KEPT.contains(&name)));
    }
}

#[cfg(test)]
#[path = "spec_tests.rs"]
mod tests;
