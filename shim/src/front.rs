//! The containerd shim: containerd's own one, with our OCI runtime first on its PATH and two shortcuts in front.

use crate::{cleanup, start};
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// containerd's own shim.
pub const BEHIND: &str = "containerd-shim-runc-v2";
/// Where the link `runc` to this program stands, from the folder of the shim.
const RUNTIME_FOLDERS: [&str; 2] = ["../libexec/wasmdock", "wasmdock"];
const USUAL_FOLDERS: [&str; 4] = ["/usr/local/bin", "/usr/bin", "/usr/local/sbin", "/usr/sbin"];

/// The arguments of a call by containerd.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub namespace: String,
    pub id: String,
    pub address: String,
    pub action: String,
    /// An option the shortcuts do not know, like -debug or -info.
    pub unusual: bool,
}

impl Call {
    /// Reads arguments in the way of Go's flag package.
    pub fn read(arguments: &[String]) -> Call {
        let mut call = Call::default();
        let mut all = arguments.iter();
        while let Some(argument) = all.next() {
            let value = match argument.as_str() {
                "-namespace" => &mut call.namespace,
                "-id" => &mut call.id,
                "-address" => &mut call.address,
                "-publish-binary" | "-bundle" => {
                    all.next();
                    continue;
                }
                option if option.starts_with('-') => {
                    call.unusual = true;
                    continue;
                }
                action => {
                    call.action = action.to_string();
                    continue;
                }
            };
            *value = all.next().cloned().unwrap_or_default();
        }
        call.unusual |= call.namespace.is_empty() || call.id.is_empty();
        call
    }
}

/// Takes a shortcut where there is one, else becomes containerd's shim with the same arguments.
pub fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let result = behind().and_then(|behind| {
        let call = Call::read(&arguments);
        if !call.unusual && shortcut(&call, &behind) {
            return Ok(());
        }
        Err(behind.command().args(&arguments).exec().to_string())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wasmdock: starting {BEHIND}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the call was answered here, without a start of containerd's shim. WASMDOCK_SHORTCUTS=0 turns that off.
fn shortcut(call: &Call, behind: &Behind) -> bool {
    if std::env::var_os("WASMDOCK_SHORTCUTS").is_some_and(|value| value == "0") {
        return false;
    }
    match call.action.as_str() {
        "start" => start::start(call, behind),
        "delete" => cleanup::delete(call),
        _ => false,
    }
}

/// containerd's shim and the PATH it is to have.
pub struct Behind {
    pub program: PathBuf,
    path: OsString,
}

impl Behind {
    /// A command of containerd's shim, without arguments.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("PATH", &self.path);
        command
    }
}

fn behind() -> Result<Behind, String> {
    let own = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let invoked = std::env::args_os().next().unwrap_or_default();
    let folders = [Path::new(&invoked).parent(), own.parent()];
    let runtime = runtime_folder(folders.into_iter().flatten()).ok_or_else(|| {
        format!(
            "the link ../libexec/wasmdock/runc beside {} is missing; install again",
            Path::new(&invoked).display()
        )
    })?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let program = find(&own, &path).ok_or("it is in no folder of PATH; install containerd")?;
    Ok(Behind {
        program,
        path: joined(&runtime, &path),
    })
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

    #[test]
    fn the_call_of_containerd_is_understood() {
        let text = "-namespace moby -address /c.sock -publish-binary /usr/bin/containerd -id 7 -bundle /b delete";
        let call = Call::read(&text.split(' ').map(str::to_string).collect::<Vec<_>>());
        assert_eq!(call.namespace, "moby");
        assert_eq!(call.address, "/c.sock");
        assert_eq!(call.id, "7");
        assert_eq!(call.action, "delete");
        assert!(!call.unusual);
    }

    #[test]
    fn unknown_options_are_left_to_containerds_shim() {
        assert!(Call::read(&["-info".into()]).unusual);
        assert!(Call::read(&["-namespace".into(), "a".into(), "-debug".into()]).unusual);
    }
}
