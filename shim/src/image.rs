//! Finds the program of a container in its root filesystem and mounts, never outside of them.

use serde_json::Value;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// A program the container wants to run: an open file, its name, and the export after `#`.
#[derive(Debug)]
pub struct Program {
    pub file: File,
    pub name: String,
    pub export: Option<String>,
}

/// Splits `/app.wasm#export`.
pub fn split_export(name: &str) -> (&str, Option<&str>) {
    match name.split_once('#') {
        Some((path, export)) if !path.is_empty() && !export.is_empty() => (path, Some(export)),
        _ => (name, None),
    }
}

/// The absolute paths a name may mean, in order: as it is, or by PATH, or in the working folder.
fn candidates(name: &str, cwd: &str, path: &str) -> Vec<String> {
    let join = |folder: &str| format!("{}/{name}", folder.trim_end_matches('/'));
    if name.starts_with('/') {
        return vec![name.to_string()];
    }
    let mut all = Vec::new();
    if !name.contains('/') {
        all.extend(
            path.split(':')
                .filter(|part| part.starts_with('/'))
                .map(join),
        );
    }
    all.push(join(cwd));
    all
}

/// The host folder or file behind a path of the container, and the rest of the path below it.
fn root_of(spec: &Value, rootfs: &Path, path: &str) -> (PathBuf, String) {
    let below = |destination: &str| {
        let rest = path.strip_prefix(destination.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_string())
    };
    let mounts = spec["mounts"].as_array().map_or(&[][..], Vec::as_slice);
    mounts
        .iter()
        .filter(|mount| crate::spec::is_bind(mount))
        .filter_map(|mount| {
            let destination = mount["destination"].as_str()?;
            Some((
                destination.len(),
                mount["source"].as_str()?,
                below(destination)?,
            ))
        })
        .max_by_key(|(length, _, _)| *length)
        .map_or_else(
            || (rootfs.to_path_buf(), path.to_string()),
            |(_, source, rest)| (PathBuf::from(source), rest),
        )
}

/// Opens the container's program; `None` where no candidate is a file: the real runtime says so best.
pub fn find(spec: &Value, rootfs: &Path, name: &str) -> Option<Program> {
    let process = &spec["process"];
    let cwd = process["cwd"].as_str().unwrap_or("/");
    let path = crate::spec::variable(process, "PATH").unwrap_or("/usr/local/bin:/usr/bin:/bin");
    let (bare, export) = split_export(name);
    for (name, export) in [(name, None), (bare, export)] {
        for candidate in candidates(name, cwd, path) {
            let (root, rest) = root_of(spec, rootfs, &candidate);
            if let Ok(file) = open_within(&root, &rest) {
                return Some(Program {
                    file,
                    name: candidate,
                    export: export.map(str::to_string),
                });
            }
        }
    }
    None
}

/// `struct open_how` of openat2(2).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// Opens the regular file `path` as if `root` were `/`: no link and no `..` leads outside.
pub fn open_within(root: &Path, path: &str) -> io::Result<File> {
    let file = if path.is_empty() {
        File::open(root)?
    } else {
        let folder = File::open(root)?;
        let path = CString::new(path)?;
        let how = OpenHow {
            // Without waiting: a FIFO in an image must not hang the runtime.
            flags: (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK) as u64,
            mode: 0,
            resolve: libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS,
        };
        // SAFETY: valid pointers for the length of the call; the new descriptor is owned by the file.
        unsafe {
            let descriptor = libc::syscall(
                libc::SYS_openat2,
                folder.as_raw_fd(),
                path.as_ptr(),
                &how,
                size_of::<OpenHow>(),
            );
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            File::from_raw_fd(descriptor as i32)
        }
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    Ok(file)
}

/// The first bytes of a program, for telling Wasm from other files; the file is read from its start afterwards.
pub fn first_bytes(file: &File) -> io::Result<Vec<u8>> {
    use std::io::Seek;
    let mut start = Vec::with_capacity(8);
    (&mut &*file).take(8).read_to_end(&mut start)?;
    (&mut &*file).rewind()?;
    Ok(start)
}

/// Whether a name promises Wasm, so that other content is an error of the image.
pub fn promises_wasm(name: &str) -> bool {
    let extension = Path::new(name).extension().map(OsStrExt::as_bytes);
    matches!(extension, Some(b"wasm" | b"wat"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("wasmdock-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn an_export_follows_the_hash() {
        assert_eq!(split_export("/app.wasm#run"), ("/app.wasm", Some("run")));
        assert_eq!(split_export("/app.wasm"), ("/app.wasm", None));
        assert_eq!(
            split_export("/app.wasm#a:b/c#run"),
            ("/app.wasm", Some("a:b/c#run"))
        );
    }

    #[test]
    fn a_bare_name_is_looked_up_in_path_then_in_the_working_folder() {
        assert_eq!(
            candidates("app", "/work", "/bin:relative:/usr/bin/"),
            ["/bin/app", "/usr/bin/app", "/work/app"]
        );
        assert_eq!(candidates("./app", "/work", "/bin"), ["/work/./app"]);
    }

    #[test]
    fn the_deepest_mount_holds_the_file() {
        let spec = json!({"mounts": [
            {"destination": "/data", "source": "/host/data", "type": "bind"},
            {"destination": "/data/app.wasm", "source": "/host/app.wasm", "type": "bind"},
        ]});
        let root = Path::new("/root");
        let found = |path| root_of(&spec, root, path);
        assert_eq!(
            found("/data/app.wasm"),
            ("/host/app.wasm".into(), String::new())
        );
        assert_eq!(found("/data/x"), ("/host/data".into(), "/x".into()));
        assert_eq!(found("/database"), ("/root".into(), "/database".into()));
    }

    #[test]
    fn links_do_not_lead_outside_the_root() {
        let root = folder("links");
        std::fs::write(root.join("inside"), b"x").unwrap();
        std::os::unix::fs::symlink("/inside", root.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../etc/passwd", root.join("escape")).unwrap();
        assert!(open_within(&root, "/absolute").is_ok());
        assert!(open_within(&root, "/escape").is_err());
        assert!(open_within(&root, "/../inside").is_ok());
        assert!(open_within(&root, "/").is_err());
        std::fs::remove_dir_all(root).unwrap();
    }
}
