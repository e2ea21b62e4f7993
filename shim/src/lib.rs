//! What the runtime behind io.containerd.wasmtime.v1 is made of, besides wasmtime: the containerd shim's front, the OCI
//! runtime, the cache of compiled code, and the words they share with the Wasm host.

pub mod cache;
pub mod call;
pub mod capabilities;
pub mod cleanup;
pub mod compile;
pub mod cpu;
pub mod exec;
pub mod front;
pub mod image;
pub mod launch;
pub mod layer;
pub mod oci;
pub mod real;
pub mod record;
pub mod report;
pub mod settings;
pub mod spec;
pub mod start;

use std::path::PathBuf;

/// The line of wasmtime of the host; a part of every key in the cache of compiled code.
pub const WASMTIME: &str = "48.0.8";

/// Raised by hand when the host's wasmtime configuration changes in a way that changes compiled code.
pub const CODE_REVISION: u32 = 1;

/// The program that is process 1 of a Wasm container, and compiles.
pub const HOST: &str = "wasmdock-host";

/// A file in the folder of this program.
pub fn beside(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let file = own.with_file_name(name);
    match file.is_file() {
        true => Ok(file),
        false => Err(format!(
            "finding {}: no such file; install again",
            file.display()
        )),
    }
}
