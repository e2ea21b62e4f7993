//! Finds the OCI runtime that does the work behind ours.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// crun where it is installed and can work here, else runc; WASMDOCK_RUNTIME names another.
pub fn runtime() -> Result<PathBuf, String> {
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
