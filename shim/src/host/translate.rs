//! The compiling child: gives up its rights, compiles standard input, writes code to standard output.

use crate::engine;
use std::io::{Read, Write};
use std::process::ExitCode;
use wasmdock_shim::compile::{ADDRESS_SPACE, OUTPUT, PROCESSOR_SECONDS};
use wasmdock_shim::launch::{Form, Tuning};

/// The user that owns nothing.
const NOBODY: u32 = 65534;

/// Runs the child to its end.
pub fn main(arguments: &[String]) -> ExitCode {
    match give_up_rights().and_then(|()| translate(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn translate(arguments: &[String]) -> Result<(), String> {
    let tuning = arguments.first().ok_or("no tuning")?;
    let tuning: Tuning = serde_json::from_str(tuning).map_err(|error| error.to_string())?;
    let mut module = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut module);
    read.map_err(|error| error.to_string())?;
    let text = |error: wasmtime::Error| format!("{error:#}");
    let engine = wasmtime::Engine::new(&engine::configuration(tuning, true)).map_err(text)?;
    let code = match tuning.form {
        Form::Module => engine.precompile_module(&module).map_err(text)?,
        Form::Component => engine.precompile_component(&module).map_err(text)?,
    };
    let written = std::io::stdout().lock().write_all(&code);
    written.map_err(|error| error.to_string())
}

fn give_up_rights() -> Result<(), String> {
    let limits = [
        (libc::RLIMIT_AS, ADDRESS_SPACE),
        (libc::RLIMIT_CPU, PROCESSOR_SECONDS),
        (libc::RLIMIT_FSIZE, OUTPUT),
        (libc::RLIMIT_NOFILE, 64),
        (libc::RLIMIT_CORE, 0),
    ];
    for (resource, value) in limits {
        let limit = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        // SAFETY: a valid limit.
        check(
            unsafe { libc::setrlimit(resource, &limit) },
            "limiting itself",
        )?;
    }
    // SAFETY: calls without pointers besides the empty list of groups.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        check(
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
            "giving up new rights",
        )?;
        if libc::geteuid() == 0 {
            // Not in every sandbox; no network and no other processes' memory is only a second fence.
            libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWIPC);
            check(libc::setgroups(0, std::ptr::null()), "giving up groups")?;
            check(
                libc::setresgid(NOBODY, NOBODY, NOBODY),
                "giving up the group",
            )?;
            check(
                libc::setresuid(NOBODY, NOBODY, NOBODY),
                "giving up the user",
            )?;
            // The change of user cleared it.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
    }
    Ok(())
}

fn check(result: libc::c_int, attempt: &str) -> Result<(), String> {
    match result {
        0 => Ok(()),
        _ => Err(format!("{attempt}: {}", std::io::Error::last_os_error())),
    }
}
