//! The containerd shim: containerd's own one, with our OCI runtime first on its PATH.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const BEHIND: &str = "containerd-shim-runc-v2";
/// Where the link `runc` to this program stands, from the folder of the shim.
const RUNTIME_FOLDERS: [&str; 2] = ["../libexec/wasmdock", "wasmdock"];
const USUAL_FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"];

/// Becomes containerd's shim with the same arguments; returns only where that fails.
pub fn main() -> ExitCode {
    let error = match prepare() {
        Ok(mut command) => command.exec().to_string(),
        Err(error) => error,
    };
    eprintln!("wasmdock: starting {BEHIND}: {error}");
    ExitCode::FAILURE
}

fn prepare() -> Result<Command, String> {
    let own = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let invoked = std::env::args_os().next().unwrap_or_default();
    let folders = [Path::new(&invoked).parent(), own.parent()];
    let runtime = runtime_folder(folders.into_iter().flatten()).ok_or_else(|| {
        format!(
            "the link ../libexec/wasmdock/runc beside {} is missing; install again",
            own.display()
        )
    })?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let behind = find(&own, &path).ok_or("it is in no folder of PATH; install containerd")?;
    let mut command = Command::new(behind);
    command
        .args(std::env::args_os().skip(1))
        .env("PATH", joined(&runtime, &path));
    Ok(command)
}

fn runtime_folder<'a>(beside: impl Iterator<Item = &'a Path>) -> Option<PathBuf> {
    beside
        .flat_map(|folder| RUNTIME_FOLDERS.iter().map(move |below| folder.join(below)))
        .find(|folder| folder.join("runc").exists())
        .and_then(|folder| folder.canonicalize().ok())
}

fn find(own: &Path, path: &OsString) -> Option<PathBuf> {
    let beside = own.parent().map(Path::to_path_buf);
    let usual = USUAL_FOLDERS.iter().map(PathBuf::from);
    let mut folders = std::env::split_paths(path).chain(beside).chain(usual);
    folders.find_map(|folder| Some(folder.join(BEHIND)).filter(|file| file.is_file()))
}

/// `folder` in front of a PATH, once.
fn joined(folder: &Path, path: &OsString) -> OsString {
    let rest = std::env::split_paths(path).filter(|one| one != folder);
    let all = std::iter::once(folder.to_path_buf()).chain(rest);
    std::env::join_paths(all).unwrap_or_else(|_| path.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_folder_comes_first_and_once() {
        let joined = joined(Path::new("/ours"), &"/usr/bin:/ours:/bin".into());
        assert_eq!(joined, "/ours:/usr/bin:/bin");
    }
}
