//! One program with several names: the shim, the OCI runtime, the compiler and the host of Wasm containers.

mod cache;
mod compile;
mod cpu;
mod engine;
mod front;
mod host;
mod image;
mod launch;
mod oci;
mod settings;
mod spec;

use std::path::Path;
use std::process::ExitCode;

const USAGE: &str = "usage: wasmdock-shim --version
       wasmdock-shim OCI-COMMAND...        an OCI runtime (also under the names runc and wasmdock-runtime)
       containerd-shim-wasmtime-v1 ...     the containerd shim behind io.containerd.wasmtime.v1";

/// The name under which the OCI runtime starts this program as process 1 of a container.
pub const HOST: &str = "wasmdock-host";
/// The argument with which the OCI runtime starts this program to compile a module.
pub const COMPILE: &str = "wasmdock-compile";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let name = arguments.first().map_or("", |path| file_name(path));
    if name == HOST {
        host::main(arguments[1..].to_vec());
    }
    if name.starts_with("containerd-shim-") {
        return front::main();
    }
    match arguments.get(1).map(String::as_str) {
        Some(COMPILE) => compile::child(&arguments[2..]),
        Some("--version" | "-v") if name == "wasmdock-shim" => {
            println!(
                "wasmdock-shim {} (wasmtime {})",
                env!("CARGO_PKG_VERSION"),
                engine::WASMTIME
            );
            ExitCode::SUCCESS
        }
        None | Some("--help" | "-h") if name == "wasmdock-shim" => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => oci::main(),
    }
}

fn file_name(path: &str) -> &str {
    Path::new(path)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or(path)
}
