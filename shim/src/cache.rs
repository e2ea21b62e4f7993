//! Compiled code on the host's disk: found by key, checked, written whole or not at all, bounded in size.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The bytes of compiled code kept, unless WASMDOCK_SHIM_CACHE_BYTES says otherwise.
const BYTES: u64 = 1 << 30;
/// A used entry is marked as used when the last mark is older than this.
const FRESH: Duration = Duration::from_secs(3600);
/// A temporary file older than this belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(900);

/// A folder of compiled code, written by one user only.
pub struct Cache {
    folder: PathBuf,
    bytes: u64,
}

/// The lock on compiling one of sixteen groups of keys, held while it lives.
pub struct Lock(#[expect(dead_code, reason = "closing it releases the lock")] File);

impl Cache {
    /// The cache of this user: WASMDOCK_SHIM_CACHE, else under /var/cache for root and ~/.cache for others.
    pub fn open() -> Result<Cache, String> {
        let bytes = std::env::var("WASMDOCK_SHIM_CACHE_BYTES").ok();
        let bytes = bytes.and_then(|text| text.parse().ok()).unwrap_or(BYTES);
        Cache::at(folder()?, bytes)
    }

    pub fn at(folder: PathBuf, bytes: u64) -> Result<Cache, String> {
        let wrong = |what: &str| {
            format!(
                "opening the cache of compiled code {}: {what}",
                folder.display()
            )
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&folder)
            .map_err(|error| wrong(&error.to_string()))?;
        let kept = fs::symlink_metadata(&folder).map_err(|error| wrong(&error.to_string()))?;
        // SAFETY: geteuid cannot fail.
        if !kept.is_dir() || kept.uid() != unsafe { libc::geteuid() } || kept.mode() & 0o022 != 0 {
            return Err(wrong(
                "others may write to it, so its code cannot be trusted; remove it",
            ));
        }
        Ok(Cache { folder, bytes })
    }

    fn code(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.cwasm"))
    }

    fn stamp(&self, key: &str) -> PathBuf {
        self.folder.join(format!("{key}.stamp"))
    }

    /// The whole and unchanged compiled code of a key; a spoiled entry is removed.
    pub fn find(&self, key: &str) -> Option<PathBuf> {
        let (code, stamp) = (self.code(key), self.stamp(key));
        let text = fs::read_to_string(&stamp).ok()?;
        let (identity, hash) = text.trim_end().split_once(' ')?;
        if identity != identity_of(&code).ok()? {
            if hash_of(&code).ok()? != hash {
                let _ = fs::remove_file(&stamp);
                let _ = fs::remove_file(&code);
                return None;
            }
            let _ = self.write_stamp(key, hash);
        }
        mark_as_used(&stamp);
        Some(code)
    }

    /// Waits for the right to compile a key.
    pub fn lock(&self, key: &str) -> Result<Lock, String> {
        let group = key.get(..1).unwrap_or("0");
        let path = self.folder.join(format!("lock-{group}"));
        let wrong = |error: io::Error| format!("locking {}: {error}", path.display());
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(wrong)?;
        file.lock().map_err(wrong)?;
        Ok(Lock(file))
    }

    /// Keeps what `write` puts into a new file under a key: visible only when whole.
    pub fn keep(
        &self,
        key: &str,
        write: impl FnOnce(&File) -> Result<(), String>,
    ) -> Result<PathBuf, String> {
        let wrong = |error: io::Error| {
            format!(
                "writing compiled code to {}: {error}",
                self.folder.display()
            )
        };
        let (file, named) = self.new_file(key).map_err(wrong)?;
        let written =
            write(&file).and_then(|()| self.publish(key, &file, named.as_deref()).map_err(wrong));
        if let Some(path) = named {
            let _ = fs::remove_file(path);
        }
        written?;
        self.shrink(key);
        Ok(self.code(key))
    }

    /// A file without a name where the filesystem can, so that nothing is left of a killed compiler.
    fn new_file(&self, key: &str) -> io::Result<(File, Option<PathBuf>)> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o644);
        let nameless = options
            .clone()
            .custom_flags(libc::O_TMPFILE)
            .open(&self.folder);
        if let Ok(file) = nameless {
            return Ok((file, None));
        }
        let path = self
            .folder
            .join(format!("{key}.{}.tmp", std::process::id()));
        let file = options.create(true).truncate(true).open(&path)?;
        Ok((file, Some(path)))
    }

    fn publish(&self, key: &str, file: &File, named: Option<&Path>) -> io::Result<()> {
        let code = self.code(key);
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        match named {
            Some(path) => fs::hard_link(path, &code).or_else(|_| fs::rename(path, &code))?,
            None => link(file, &code)?,
        }
        self.write_stamp(key, &hash_of(&code)?)
    }

    fn write_stamp(&self, key: &str, hash: &str) -> io::Result<()> {
        let text = format!("{} {hash}\n", identity_of(&self.code(key))?);
        let temporary = self
            .folder
            .join(format!("{key}.{}.tmp", std::process::id()));
        fs::write(&temporary, text)?;
        fs::rename(&temporary, self.stamp(key))
    }

    /// Removes the entries used longest ago until the rest fits, and what killed processes left.
    fn shrink(&self, keep: &str) {
        let mut entries = self.entries();
        entries.sort_by_key(|(_, _, used)| *used);
        let mut total: u64 = entries.iter().map(|(_, size, _)| size).sum();
        for (key, size, _) in entries {
            if total <= self.bytes {
                break;
            }
            if key != keep {
                let _ = fs::remove_file(self.stamp(&key));
                let _ = fs::remove_file(self.code(&key));
                total -= size;
            }
        }
    }

    /// Key, size and last use of each entry; abandoned temporary files are removed on the way.
    fn entries(&self) -> Vec<(String, u64, SystemTime)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let Ok(known) = entry.metadata() else {
                continue;
            };
            let (path, written) = (
                entry.path(),
                known.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            );
            let stem = path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("cwasm") => {
                    let used = fs::metadata(self.stamp(&stem)).and_then(|stamp| stamp.modified());
                    found.push((stem, known.size(), used.unwrap_or(SystemTime::UNIX_EPOCH)));
                }
                Some("tmp") if is_older(written, ABANDONED) => {
                    let _ = fs::remove_file(path);
                }
                _ => {}
            }
        }
        found
    }
}

fn folder() -> Result<PathBuf, String> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(folder) = variable("WASMDOCK_SHIM_CACHE") {
        return Ok(folder.into());
    }
    // SAFETY: geteuid cannot fail.
    if unsafe { libc::geteuid() } == 0 {
        return Ok("/var/cache/wasmdock/code".into());
    }
    let base = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    base.map(|base| base.join("wasmdock/code"))
        .ok_or_else(|| "finding a folder for compiled code: set WASMDOCK_SHIM_CACHE".into())
}

/// Changes whenever anything writes to a file: cheap to look at, unlike its content.
fn identity_of(path: &Path) -> io::Result<String> {
    let known = fs::symlink_metadata(path)?;
    Ok(format!(
        "{}:{}:{}.{}",
        known.ino(),
        known.size(),
        known.ctime(),
        known.ctime_nsec()
    ))
}

fn hash_of(path: &Path) -> io::Result<String> {
    Ok(blake3::hash(&fs::read(path)?).to_hex().to_string())
}

fn mark_as_used(stamp: &Path) {
    let written = fs::metadata(stamp).and_then(|known| known.modified());
    if written.is_ok_and(|written| is_older(written, FRESH))
        && let Ok(file) = OpenOptions::new().write(true).open(stamp)
    {
        let _ = file.set_modified(SystemTime::now());
    }
}

fn is_older(time: SystemTime, age: Duration) -> bool {
    time.elapsed().is_ok_and(|elapsed| elapsed > age)
}

/// Gives a nameless file its name.
fn link(file: &File, path: &Path) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let from = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let to = CString::new(path.to_string_lossy().as_bytes())?;
    // SAFETY: two valid C strings.
    let done = unsafe {
        libc::linkat(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn cache(name: &str, bytes: u64) -> Cache {
        let folder =
            std::env::temp_dir().join(format!("wasmdock-cache-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        Cache::at(folder, bytes).unwrap()
    }

    fn keep(cache: &Cache, key: &str, content: &[u8]) -> PathBuf {
        cache
            .keep(key, |mut file| {
                file.write_all(content).map_err(|error| error.to_string())
            })
            .unwrap()
    }

    #[test]
    fn what_was_kept_is_found() {
        let cache = cache("found", BYTES);
        assert_eq!(cache.find("a"), None);
        let path = keep(&cache, "a", b"code");
        assert_eq!(cache.find("a"), Some(path.clone()));
        assert_eq!(fs::read(path).unwrap(), b"code");
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 2);
        fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[test]
    fn a_spoiled_entry_is_removed() {
        let cache = cache("spoiled", BYTES);
        let path = keep(&cache, "a", b"code");
        fs::write(&path, b"evil").unwrap();
        assert_eq!(cache.find("a"), None);
        assert!(!path.exists());
        fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[test]
    fn a_touched_entry_with_the_same_content_stays() {
        let cache = cache("touched", BYTES);
        let path = keep(&cache, "a", b"code");
        fs::write(&path, b"code").unwrap();
        assert_eq!(cache.find("a"), Some(path));
        fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[test]
    fn a_failed_compilation_leaves_nothing() {
        let cache = cache("failed", BYTES);
        assert!(cache.keep("a", |_| Err("no".into())).is_err());
        assert_eq!(fs::read_dir(&cache.folder).unwrap().count(), 0);
        fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[test]
    fn the_oldest_entries_give_way() {
        let cache = cache("bounded", 10);
        keep(&cache, "a", b"12345678");
        keep(&cache, "b", b"12345678");
        assert_eq!(cache.find("a"), None);
        assert!(cache.find("b").is_some());
        fs::remove_dir_all(&cache.folder).unwrap();
    }

    #[test]
    fn a_folder_others_may_write_to_is_refused() {
        let cache = cache("open", BYTES);
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Cache::at(cache.folder.clone(), BYTES).is_err());
        fs::remove_dir_all(&cache.folder).unwrap();
    }
}
