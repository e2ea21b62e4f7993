//! The arguments of an OCI runtime, in the ways containerd's shim, Docker and podman write them.

/// Options before the command that take a value, in runc and crun.
const VALUED: [&str; 6] = ["root", "log", "log-format", "log-level", "criu", "rootless"];

/// What the arguments of an OCI runtime say, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Call {
    pub command: String,
    /// Where in the arguments the command stands.
    pub index: usize,
    pub bundle: Option<String>,
    pub process: Option<String>,
    pub log: Option<String>,
    pub id: Option<String>,
    pub root: Option<String>,
}

/// Reads arguments, the program's name left out.
pub fn parse(arguments: &[String]) -> Call {
    let mut call = Call::default();
    let mut all = arguments.iter().enumerate();
    while let Some((index, argument)) = all.next() {
        let Some(option) = argument.strip_prefix('-') else {
            if call.command.is_empty() {
                (call.command, call.index) = (argument.clone(), index);
            } else {
                call.id = Some(argument.clone());
                break; // behind the container's name follow the arguments of exec
            }
            continue;
        };
        let option = option.strip_prefix('-').unwrap_or(option);
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None if takes_value(&call.command, option) => {
                (option, all.next().map(|(_, value)| value.clone()))
            }
            None => (option, None),
        };
        match name {
            "bundle" | "b" => call.bundle = value,
            "process" | "p" => call.process = value,
            "log" => call.log = value,
            "root" => call.root = value,
            _ => {}
        }
    }
    call
}

fn takes_value(command: &str, option: &str) -> bool {
    let own: &[&str] = match command {
        "" => &VALUED,
        "create" | "run" | "restore" => &[
            "bundle",
            "b",
            "pid-file",
            "console-socket",
            "preserve-fds",
            "config",
            "f",
        ],
        "exec" => &[
            "process",
            "p",
            "pid-file",
            "console-socket",
            "preserve-fds",
            "cwd",
            "env",
            "e",
            "user",
            "u",
            "cap",
            "c",
            "apparmor",
            "process-label",
            "additional-gids",
            "g",
            "cgroup",
        ],
        _ => &[],
    };
    own.contains(&option)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Call {
        parse(&text.split(' ').map(str::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn the_call_of_containerds_shim_is_understood() {
        let call = parsed(
            "--root /run/r --log /b/log.json --log-format json create --bundle /b --pid-file /b/p id",
        );
        assert_eq!(call.command, "create");
        assert_eq!(call.index, 6);
        assert_eq!(call.bundle.as_deref(), Some("/b"));
        assert_eq!(call.log.as_deref(), Some("/b/log.json"));
        assert_eq!(call.id.as_deref(), Some("id"));
    }

    #[test]
    fn the_calls_of_podman_and_of_exec_are_understood() {
        let podman = parsed("--systemd-cgroup create --bundle=/b --pid-file /p id");
        assert_eq!(podman.command, "create");
        assert_eq!(podman.bundle.as_deref(), Some("/b"));
        let exec = parsed("--root /r exec --process /p.json --detach id");
        assert_eq!(exec.process.as_deref(), Some("/p.json"));
        assert_eq!(exec.id.as_deref(), Some("id"));
    }
}
