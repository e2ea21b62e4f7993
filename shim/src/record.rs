//! What Docker has on record about a container and tells no runtime: its labels, and the manifest of its image.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Docker's own files of a container, mounted into it: they lie in the folder that holds the record.
const MOUNTED: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];

/// Empty where the engine is not Docker, or keeps its records elsewhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The container's, with those of its image.
    pub labels: Vec<(String, String)>,
    /// The digest of the manifest the container was made from.
    pub manifest: Option<String>,
}

/// Docker's record of the container `id`.
pub fn of(spec: &Value, id: &str) -> Record {
    file(spec, id)
        .filter(|path| fs::metadata(path).is_ok_and(|known| known.is_file() && known.uid() == 0))
        .and_then(|path| fs::read(path).ok())
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .map_or_else(Record::default, |known| parse(&known))
}

/// `containers/ID/config.v2.json`. The files may be another container's (`--network container:X`): a sibling folder.
fn file(spec: &Value, id: &str) -> Option<PathBuf> {
    let mounts = spec["mounts"].as_array()?;
    mounts
        .iter()
        .filter(|mount| MOUNTED.iter().any(|one| mount["destination"] == *one))
        .filter_map(|mount| Path::new(mount["source"].as_str()?).parent()?.parent())
        .find(|folder| folder.ends_with("containers"))
        .map(|folder| folder.join(id).join("config.v2.json"))
}

fn parse(known: &Value) -> Record {
    let labels = known["Config"]["Labels"].as_object().into_iter().flatten();
    let digest = known["ImageManifest"]["digest"].as_str();
    Record {
        labels: labels
            .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_string())))
            .collect(),
        manifest: digest.or(known["Image"].as_str()).map(String::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_record_lies_beside_dockers_own_files() {
        let spec = json!({"mounts": [
            {"destination": "/etc/hosts", "source": "/home/user/hosts"},
            {"destination": "/etc/hostname", "source": "/var/lib/docker/containers/other/hostname"},
        ]});
        let found = file(&spec, "own").unwrap();
        assert_eq!(
            found,
            Path::new("/var/lib/docker/containers/own/config.v2.json")
        );
        assert_eq!(of(&json!({}), "own"), Record::default());
    }

    #[test]
    fn labels_and_manifest_are_read() {
        let record = parse(&json!({
            "Config": {"Labels": {"wasmdock.fuel": "5"}},
            "Image": "sha256:index", "ImageManifest": {"digest": "sha256:manifest"},
        }));
        assert_eq!(record.labels, [("wasmdock.fuel".into(), "5".into())]);
        assert_eq!(record.manifest.as_deref(), Some("sha256:manifest"));
    }
}
