//! The limits and settings of a container, read from its environment, annotations and labels.

use crate::capabilities;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Environment variable, annotation, meaning: the documented names. The first two of a row are the same setting.
pub const NAMES: [(&str, &str); 15] = [
    ("WASMDOCK_MEMORY", "wasmdock.memory"),
    ("WASMDOCK_TABLES", "wasmdock.tables"),
    ("WASMDOCK_TIMEOUT", "wasmdock.timeout"),
    ("WASMDOCK_FUEL", "wasmdock.fuel"),
    ("WASMDOCK_STACK", "wasmdock.stack"),
    ("WASMDOCK_COMPILE_TIME", "wasmdock.compile-time"),
    ("WASMDOCK_ALLOW", "wasmdock.allow"),
    ("WASMDOCK_DENY", "wasmdock.deny"),
    ("WASMDOCK_ROOTFS", "wasmdock.rootfs"),
    ("WASMDOCK_DIRS", "wasmdock.dirs"),
    ("WASMDOCK_HTTP_ADDRESS", "wasmdock.http.address"),
    ("WASMDOCK_HTTP_BACKLOG", "wasmdock.http.backlog"),
    ("WASMDOCK_HTTP_CONCURRENCY", "wasmdock.http.concurrency"),
    ("WASMDOCK_HTTP_DRAIN", "wasmdock.http.drain"),
    ("WASMDOCK_MARKS", "wasmdock.marks"),
];

/// The label of an image in which its author lists all that it may ask for; WASMDOCK_ALLOW takes its place.
const AUTHORS_LIST: &str = "dev.wasmdock.capabilities";
/// What a stack may have: less is too little for any guest, more is more than a process can have many of.
const STACKS: std::ops::RangeInclusive<u64> = 64 << 10..=1 << 30;

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
#[serde(default)]
pub struct Settings {
    /// All linear memories of one instance together.
    pub memory: Option<u64>,
    /// Elements of all tables of one instance together.
    pub tables: u64,
    /// Wall time of a command, or of one request of a served component.
    pub timeout: Option<u64>,
    pub fuel: Option<u64>,
    /// Bytes of Wasm's call stack.
    pub stack: Option<u64>,
    /// Wall time of compiling, where that is necessary.
    pub compile_time: Option<u64>,
    /// The capabilities that are granted; `None` grants all but those denied.
    pub allow: Option<Vec<String>>,
    pub deny: Vec<String>,
    /// Which setting grants, for the message to a guest that asks for more.
    pub granted_by: String,
    pub rootfs: Rootfs,
    /// Folders of the container shown to the guest under other names.
    pub renamed: Vec<(String, String)>,
    pub address: SocketAddr,
    pub backlog: u32,
    pub concurrency: u32,
    pub drain: u64,
    /// Whether process 1 says how long each of its steps took.
    pub marks: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            memory: None,
            tables: 1_000_000,
            timeout: None,
            fuel: None,
            stack: None,
            compile_time: None,
            allow: None,
            deny: Vec::new(),
            granted_by: String::new(),
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
    /// Reads the settings of a container: its environment wins over its labels, which an image may bring as well; the
    /// limits of annotations, which only who starts the container can set, hold in any case.
    pub fn read<'a>(
        environment: impl Iterator<Item = (&'a str, &'a str)>,
        annotations: impl Iterator<Item = (&'a str, &'a str)> + Clone,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Settings, String> {
        let mut settings = Settings::default();
        for (name, value) in labels {
            if name == AUTHORS_LIST && settings.allow.is_none() {
                settings.set_capabilities("WASMDOCK_ALLOW", name, value)?;
            }
            settings.set_named(name, value)?;
        }
        for (name, value) in annotations.clone() {
            settings.set_named(name, value)?;
        }
        for (name, value) in environment {
            if let Some(variable) = known(name) {
                settings.set(variable, name, value)?;
            }
        }
        for (name, value) in annotations {
            let mut bound = Settings::default();
            bound.set_named(name, value)?;
            settings.hold(name, bound);
        }
        Ok(settings)
    }

    /// Whether a guest may ask for this.
    pub fn grants(&self, capability: &str) -> bool {
        let listed = |list: &Vec<String>| list.iter().any(|one| one == capability);
        self.allow.as_ref().is_none_or(listed) && !listed(&self.deny)
    }

    /// Whether there is anything a guest may not ask for.
    pub fn limits_capabilities(&self) -> bool {
        self.allow.is_some() || !self.deny.is_empty()
    }

    /// Takes over what an annotation or label sets, if it is one of ours.
    fn set_named(&mut self, name: &str, value: &str) -> Result<(), String> {
        match NAMES.iter().find(|row| row.1 == name) {
            Some((variable, _)) => self.set(variable, name, value),
            None => Ok(()),
        }
    }

    /// Keeps the stricter of what is set and the bound of one annotation.
    fn hold(&mut self, name: &str, bound: Settings) {
        let least = |own: Option<u64>, other: Option<u64>| own.into_iter().chain(other).min();
        match name {
            "wasmdock.memory" => self.memory = least(self.memory, bound.memory),
            "wasmdock.tables" => self.tables = self.tables.min(bound.tables),
            "wasmdock.timeout" => self.timeout = least(self.timeout, bound.timeout),
            "wasmdock.fuel" => self.fuel = least(self.fuel, bound.fuel),
            "wasmdock.stack" => self.stack = least(self.stack, bound.stack),
            "wasmdock.compile-time" => {
                self.compile_time = least(self.compile_time, bound.compile_time)
            }
            "wasmdock.allow" => {
                let own = self.allow.take();
                let both = |one: &String| own.as_ref().is_none_or(|own| own.contains(one));
                self.allow = Some(bound.allow.into_iter().flatten().filter(both).collect());
                self.granted_by = bound.granted_by;
            }
            "wasmdock.deny" => self.deny.extend(bound.deny),
            _ => {}
        }
    }

    fn set(&mut self, variable: &str, name: &str, value: &str) -> Result<(), String> {
        let wrong = |wanted: &str| format!("reading {name}={value}: not {wanted}");
        let time = || milliseconds(value).ok_or_else(|| wrong("a time like 2s or 500ms"));
        match variable {
            "WASMDOCK_MEMORY" => {
                self.memory = Some(bytes(value).ok_or_else(|| wrong("a size like 64m or 1g"))?)
            }
            "WASMDOCK_TABLES" => self.tables = count(value).ok_or_else(|| wrong("a number"))?,
            "WASMDOCK_TIMEOUT" => self.timeout = Some(time()?),
            "WASMDOCK_COMPILE_TIME" => self.compile_time = Some(time()?),
            "WASMDOCK_FUEL" => {
                let fuel = count(value);
                self.fuel = Some(fuel.ok_or_else(|| wrong("a number of instructions"))?)
            }
            "WASMDOCK_STACK" => {
                let stack = bytes(value).filter(|size| STACKS.contains(size));
                self.stack = Some(stack.ok_or_else(|| wrong("a size between 64k and 1g"))?)
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
            "WASMDOCK_MARKS" => self.marks = value == "1",
            "WASMDOCK_ALLOW" | "WASMDOCK_DENY" => self.set_capabilities(variable, name, value)?,
            _ => self.set_server(variable, value).map_err(wrong)?,
        }
        Ok(())
    }

    fn set_capabilities(&mut self, variable: &str, name: &str, value: &str) -> Result<(), String> {
        let list = capabilities::parse(value).ok_or_else(|| {
            let names = capabilities::NAMES.join(", ");
            format!("reading {name}={value}: not a list of {names}, or all, or none")
        })?;
        if variable == "WASMDOCK_DENY" {
            self.deny = list;
        } else {
            self.allow = Some(list);
        }
        self.granted_by = name.to_string();
        Ok(())
    }

    /// Sets what only served components have; the error is what was wanted.
    fn set_server(&mut self, variable: &str, value: &str) -> Result<(), &'static str> {
        match variable {
            "WASMDOCK_HTTP_ADDRESS" => {
                self.address = value.parse().map_err(|_| "an address like 0.0.0.0:8080")?
            }
            "WASMDOCK_HTTP_BACKLOG" => self.backlog = value.parse().map_err(|_| "a number")?,
            "WASMDOCK_HTTP_CONCURRENCY" => {
                self.concurrency = match value.parse() {
                    Ok(count) if (1..=10_000).contains(&count) => count,
                    _ => return Err("a number from 1 to 10000"),
                }
            }
            _ => self.drain = milliseconds(value).ok_or("a time like 2s")?,
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
#[path = "settings_tests.rs"]
mod tests;
