//! The containerd shim and the OCI runtime of Wasm containers: one program, told apart by its name.

use std::path::Path;
use std::process::ExitCode;
use wasmdock_shim::{WASMTIME, front, oci};

const USAGE: &str = "usage: wasmdock-shim --version
       wasmdock-shim OCI-COMMAND...        an OCI runtime (also under the names runc and wasmdock-runtime)
       containerd-shim-wasmtime-v1 ...     the containerd shim behind io.containerd.wasmtime.v1";

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let path = arguments.next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or_default();
    if name.as_encoded_bytes().starts_with(b"containerd-shim-") {
        return front::main();
    }
    let ours = name == "wasmdock-shim";
    match arguments.next().as_deref().and_then(|first| first.to_str()) {
        Some("--version" | "-v") if ours => {
            println!(
                "wasmdock-shim {} (wasmtime {WASMTIME})",
                env!("CARGO_PKG_VERSION")
            );
            ExitCode::SUCCESS
        }
        None | Some("--help" | "-h") if ours => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => oci::main(),
    }
}
