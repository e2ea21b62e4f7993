//! The program of an image that holds it as a layer of its own and not as a file: engines unpack nothing of it.

use crate::image::{Program, split_export};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Media types of layers that are a Wasm binary: the artifact of the CNCF, runwasi's, Spin's.
const TYPES: [&str; 3] = [
    "application/wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
];
/// The largest manifest that is read.
const LARGEST: u64 = 4 << 20;

/// Opens the Wasm layer of an image in containerd's content store; `None` where the image has none, or is not there.
pub fn find(bundle: &Path, manifest: &str, name: &str) -> Result<Option<Program>, String> {
    let Some(store) = store(bundle) else {
        return Ok(None);
    };
    let Some(file) = open(&store, manifest) else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    let read = file.take(LARGEST).read_to_end(&mut bytes);
    read.map_err(|error| format!("reading manifest {manifest}: {error}"))?;
    let manifest: Value = serde_json::from_slice(&bytes)
        .map_err(|error| format!("reading manifest {manifest}: {error}"))?;
    let Some(digest) = only_layer(&manifest)? else {
        return Ok(None);
    };
    let file = open(&store, digest).ok_or_else(|| {
        format!(
            "running {name}: its layer {digest} is not in the engine's store; pull the image again"
        )
    })?;
    let (path, export) = split_export(name);
    Ok(Some(Program {
        file,
        name: path.to_string(),
        export: export.map(str::to_string),
    }))
}

/// containerd's content: beside the `work` folder of the bundle, by <ROOT>/io.containerd.runtime.v2.task/NAMESPACE/ID.
fn store(bundle: &Path) -> Option<PathBuf> {
    let work = fs::read_link(bundle.join("work")).ok()?;
    let root = work.ancestors().nth(3)?;
    Some(root.join("io.containerd.content.v1.content/blobs"))
}

fn open(store: &Path, digest: &str) -> Option<File> {
    let hex = digest.strip_prefix("sha256:")?;
    let sound = hex.len() == 64 && hex.bytes().all(|one| one.is_ascii_hexdigit());
    File::open(sound.then(|| store.join("sha256").join(hex))?).ok()
}

/// The digest of the one Wasm layer of a manifest.
fn only_layer(manifest: &Value) -> Result<Option<&str>, String> {
    let layers = manifest["layers"].as_array().map_or(&[][..], Vec::as_slice);
    let is_wasm = |layer: &&Value| TYPES.iter().any(|one| layer["mediaType"] == *one);
    let found: Vec<&Value> = layers.iter().filter(is_wasm).collect();
    match found[..] {
        [] => Ok(None),
        [layer] => Ok(layer["digest"].as_str()),
        _ => Err(format!(
            "reading the image: {} layers are Wasm, and which is the program nothing says",
            found.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_one_wasm_layer_is_the_program() {
        let wasm = json!({"mediaType": "application/wasm", "digest": "sha256:a"});
        let tar =
            json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": "sha256:b"});
        let manifest = json!({"layers": [tar, wasm]});
        assert_eq!(only_layer(&manifest), Ok(Some("sha256:a")));
        assert_eq!(only_layer(&json!({"layers": [tar]})), Ok(None));
        assert!(only_layer(&json!({"layers": [wasm, wasm]})).is_err());
    }

    #[test]
    fn the_layer_is_opened_in_the_content_store() {
        let root = std::env::temp_dir().join(format!("wasmdock-layer-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        let (bundle, blobs) = (
            root.join("bundle"),
            root.join("io.containerd.content.v1.content/blobs/sha256"),
        );
        fs::create_dir_all(&bundle).unwrap();
        fs::create_dir_all(&blobs).unwrap();
        let work = root.join("io.containerd.runtime.v2.task/moby/id");
        symlink(work, bundle.join("work")).unwrap();
        let (layer, manifest) = ("a".repeat(64), "b".repeat(64));
        let text =
            json!({"layers": [{"mediaType": TYPES[0], "digest": format!("sha256:{layer}")}]});
        fs::write(blobs.join(&manifest), text.to_string()).unwrap();
        let manifest = format!("sha256:{manifest}");
        assert!(find(&bundle, &manifest, "/app.wasm").is_err());
        fs::write(blobs.join(&layer), b"\0asm").unwrap();
        let program = find(&bundle, &manifest, "/app.wasm#run").unwrap().unwrap();
        assert_eq!(
            (program.name.as_str(), program.export.as_deref()),
            ("/app.wasm", Some("run"))
        );
        assert!(
            find(&bundle, "sha256:../../x", "/app.wasm")
                .unwrap()
                .is_none()
        );
        fs::remove_dir_all(root).unwrap();
    }
}
