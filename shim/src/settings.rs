//! The limits and settings of a container, read from its environment and annotations.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Environment variable, annotation, meaning: the documented names. The first two of a row are the same setting.
pub const NAMES: [(&str, &str); 11] = [
    ("WASMDOCK_MEMORY", "wasmdock.memory"),
    ("WASMDOCK_TABLES", "wasmdock.tables"),
    ("WASMDOCK_TIMEOUT", "wasmdock.timeout"),
    ("WASMDOCK_FUEL", "wasmdock.fuel"),
    ("WASMDOCK_ROOTFS", "wasmdock.rootfs"),
    ("WASMDOCK_DIRS", "wasmdock.dirs"),
    ("WASMDOCK_HTTP_ADDRESS", "wasmdock.http.address"),
    ("WASMDOCK_HTTP_BACKLOG", "wasmdock.http.backlog"),
    ("WASMDOCK_HTTP_CONCURRENCY", "wasmdock.http.concurrency"),
    ("WASMDOCK_HTTP_DRAIN", "wasmdock.http.drain"),
    ("WASMDOCK_MARKS", "wasmdock.marks"),
];

/// Names of the runwasi shim, taken as well: images written for it keep working.
const RUNWASI: [(&str, &str); 3] = [
    ("WASMTIME_HTTP_PROXY_SOCKET_ADDR", "WASMDOCK_HTTP_ADDRESS"),
    ("WASMTIME_HTTP_PROXY_BACKLOG", "WASMDOCK_HTTP_BACKLOG"),
    ("WASMTIME_HTTP_BACKLOG", "WASMDOCK_HTTP_BACKLOG"),
];

/// Whether the guest sees the image's own files besides its mounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    #[default]
    Hidden,
    ReadOnly,
    Writable,
}

/// Limits and HTTP settings; sizes in bytes, times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// All linear memories of one instance together.
    pub memory: Option<u64>,
    /// Elements of all tables of one instance together.
    pub tables: u64,
    /// Wall time of a command, or of one request of a served component.
    pub timeout: Option<u64>,
    pub fuel: Option<u64>,
    pub rootfs: Rootfs,
    /// Folders of the container shown to the guest under other names.
    pub renamed: Vec<(String, String)>,
    pub address: SocketAddr,
    pub backlog: u32,
    pub concurrency: u32,
    pub drain: u64,
    /// Whether process 1 says how long each of its steps took.
    #[serde(default)]
    pub marks: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            memory: None,
            tables: 1_000_000,
            timeout: None,
            fuel: None,
            rootfs: Rootfs::Hidden,
            renamed: Vec::new(),
            address: SocketAddr::from(([0, 0, 0, 0], 8080)),
            backlog: 1024,
            concurrency: 128,
            drain: 8_000,
            marks: false,
        }
    }
}

impl Settings {
    /// Reads the settings of a container; environment wins over annotation.
    pub fn read<'a>(
        environment: impl Iterator<Item = (&'a str, &'a str)>,
        annotations: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for (name, value) in annotations {
            if let Some((variable, _)) = NAMES.iter().find(|row| row.1 == name) {
                settings.set(variable, name, value)?;
            }
        }
        settings.override_by(environment)?;
        Ok(settings)
    }

    /// Takes over what an environment sets.
    pub fn override_by<'a>(
        &mut self,
        environment: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), String> {
        for (name, value) in environment {
            if let Some(variable) = known(name) {
                self.set(variable, name, value)?;
            }
        }
        Ok(())
    }

    fn set(&mut self, variable: &str, name: &str, value: &str) -> Result<(), String> {
        let wrong = |wanted: &str| format!("reading {name}={value}: not {wanted}");
        match variable {
            "WASMDOCK_MEMORY" => {
                self.memory = Some(bytes(value).ok_or_else(|| wrong("a size like 64m or 1g"))?)
            }
            "WASMDOCK_TABLES" => self.tables = count(value).ok_or_else(|| wrong("a number"))?,
            "WASMDOCK_TIMEOUT" => {
                self.timeout =
                    Some(milliseconds(value).ok_or_else(|| wrong("a time like 2s or 500ms"))?)
            }
            "WASMDOCK_FUEL" => {
                self.fuel = Some(
                    value
                        .parse()
                        .map_err(|_| wrong("a number of instructions"))?,
                )
            }
            "WASMDOCK_ROOTFS" => {
                self.rootfs = match value {
                    "none" => Rootfs::Hidden,
                    "ro" => Rootfs::ReadOnly,
                    "rw" => Rootfs::Writable,
                    _ => return Err(wrong("none, ro or rw")),
                }
            }
            "WASMDOCK_DIRS" => {
                let pairs: Option<Vec<_>> = value.split(',').map(renaming).collect();
                self.renamed = pairs.ok_or_else(|| wrong("a list like /data::/"))?
            }
            "WASMDOCK_HTTP_ADDRESS" => {
                self.address = value
                    .parse()
                    .map_err(|_| wrong("an address like 0.0.0.0:8080"))?
            }
            "WASMDOCK_HTTP_BACKLOG" => {
                self.backlog = value.parse().map_err(|_| wrong("a number"))?
            }
            "WASMDOCK_HTTP_CONCURRENCY" => {
                self.concurrency = match value.parse() {
                    Ok(count) if (1..=10_000).contains(&count) => count,
                    _ => return Err(wrong("a number from 1 to 10000")),
                }
            }
            "WASMDOCK_MARKS" => self.marks = value == "1",
            _ => self.drain = milliseconds(value).ok_or_else(|| wrong("a time like 2s"))?,
        }
        Ok(())
    }
}

/// The documented variable behind a name of the environment, ours or runwasi's.
fn known(name: &str) -> Option<&'static str> {
    let ours = NAMES.iter().find(|row| row.0 == name).map(|row| row.0);
    ours.or_else(|| RUNWASI.iter().find(|row| row.0 == name).map(|row| row.1))
}

/// Whether a variable of the container's environment is for the host, not for the guest.
pub fn is_for_the_host(name: &str) -> bool {
    known(name).is_some() || name == crate::launch::VARIABLE
}

/// `/data::/` means: the container's /data is the guest's /.
fn renaming(text: &str) -> Option<(String, String)> {
    let (container, guest) = text.split_once("::")?;
    let absolute = container.starts_with('/') && guest.starts_with('/');
    absolute.then(|| (container.to_string(), guest.to_string()))
}

/// A whole number, also written like 1e15.
fn count(text: &str) -> Option<u64> {
    let exact = text.parse().ok();
    exact.or_else(|| {
        let value = text.parse::<f64>().ok()?;
        ((0.0..1e19).contains(&value) && value.fract() == 0.0).then_some(value as u64)
    })
}

/// A size: a number with an optional k, m, g (powers of 1024), with or without `b` or `ib`.
fn bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(factor)
}

/// A time: seconds, or with a unit ms, s, m, h; more than zero.
fn milliseconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &text[digits.len()..] {
        "ms" => 1.0,
        "" | "s" => 1_000.0,
        "m" => 60_000.0,
        "h" => 3_600_000.0,
        _ => return None,
    };
    let value = digits.parse::<f64>().ok()? * factor;
    (1.0..1e15).contains(&value).then_some(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        environment: &[(&str, &str)],
        annotations: &[(&str, &str)],
    ) -> Result<Settings, String> {
        Settings::read(environment.iter().copied(), annotations.iter().copied())
    }

    #[test]
    fn sizes_and_times_take_the_usual_units() {
        assert_eq!(bytes("64m"), Some(64 << 20));
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!(bytes("4096"), Some(4096));
        assert_eq!(bytes("1x"), None);
        assert_eq!(count("1e+15"), Some(1_000_000_000_000_000));
        assert_eq!(count("1.5"), None);
        assert_eq!(milliseconds("1.5"), Some(1500));
        assert_eq!(milliseconds("500ms"), Some(500));
        assert_eq!(milliseconds("0"), None);
        assert_eq!(milliseconds("-1s"), None);
    }

    #[test]
    fn environment_wins_over_annotation() {
        let settings = read(&[("WASMDOCK_FUEL", "5")], &[("wasmdock.fuel", "7")]).unwrap();
        assert_eq!(settings.fuel, Some(5));
    }

    #[test]
    fn names_of_runwasi_are_understood() {
        let settings = read(&[("WASMTIME_HTTP_PROXY_SOCKET_ADDR", "127.0.0.1:80")], &[]).unwrap();
        assert_eq!(settings.address.port(), 80);
    }

    #[test]
    fn folders_may_have_other_names_for_the_guest() {
        let settings = read(&[("WASMDOCK_DIRS", "/a::/,/b::/c")], &[]).unwrap();
        assert_eq!(settings.renamed[1], ("/b".into(), "/c".into()));
        assert!(read(&[("WASMDOCK_DIRS", "a")], &[]).is_err());
    }

    #[test]
    fn a_wrong_value_names_the_variable_and_what_was_wanted() {
        let message = read(&[("WASMDOCK_MEMORY", "lots")], &[]).unwrap_err();
        assert_eq!(
            message,
            "reading WASMDOCK_MEMORY=lots: not a size like 64m or 1g"
        );
    }

    #[test]
    fn other_variables_stay_with_the_guest() {
        assert!(!is_for_the_host("PATH"));
        assert!(!is_for_the_host("WASMDOCK_OTHER"));
        assert!(is_for_the_host("WASMDOCK_TIMEOUT"));
        assert!(is_for_the_host("WASMDOCK_LAUNCH"));
    }
}
