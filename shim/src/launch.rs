//! What the OCI runtime tells the Wasm host about one container: a value, carried as JSON in one environment variable.

use crate::settings::Settings;
use serde::{Deserialize, Serialize};

/// The environment variable that carries the launch; the guest never sees it.
pub const VARIABLE: &str = "WASMDOCK_LAUNCH";

/// How the bytes of a Wasm binary are to be read: by its first eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    Module,
    Component,
}

impl Form {
    /// The form of a binary that starts with these bytes, or `None` where it is not Wasm.
    pub fn of(start: &[u8]) -> Option<Form> {
        match start.get(..8)? {
            [0, b'a', b's', b'm', 1, 0, 0, 0] => Some(Form::Module),
            [0, b'a', b's', b'm', _, _, 1, 0] => Some(Form::Component),
            _ => None,
        }
    }
}

/// The choices that change the compiled code; host and compiler must agree on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuning {
    pub form: Form,
    pub fuel: bool,
    pub epochs: bool,
}

impl Tuning {
    /// A short name, part of the key in the cache of compiled code.
    pub fn name(self) -> String {
        let form = match self.form {
            Form::Module => "module",
            Form::Component => "component",
        };
        let flag = |on, text| if on { text } else { "" };
        format!(
            "{form}{}{}",
            flag(self.fuel, "-fuel"),
            flag(self.epochs, "-epochs")
        )
    }
}

/// A folder the guest may open, under the name it sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Folder {
    pub host: String,
    pub guest: String,
    pub writable: bool,
}

/// Everything process 1 needs to know besides its arguments, environment and standard streams.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Launch {
    /// The compiled module, as a path inside the container.
    pub code: String,
    pub tuning: Tuning,
    /// The export to call in place of the world's own.
    pub export: Option<String>,
    pub folders: Vec<Folder>,
    pub settings: Settings,
    /// Where the guest cannot be started: the reason, to be printed before exit 126.
    pub fault: Option<String>,
    /// Seconds until the compiled code was there, taken from the cache or made.
    #[serde(default)]
    pub compiled: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_read_from_the_first_eight_bytes() {
        assert_eq!(Form::of(b"\0asm\x01\0\0\0rest"), Some(Form::Module));
        assert_eq!(Form::of(b"\0asm\x0d\0\x01\0"), Some(Form::Component));
        assert_eq!(Form::of(b"\x7fELF\x02\x01\x01\0"), None);
        assert_eq!(Form::of(b"\0asm"), None);
    }

    #[test]
    fn tuning_names_differ_where_the_code_differs() {
        let plain = Tuning {
            form: Form::Module,
            fuel: false,
            epochs: false,
        };
        let fuelled = Tuning {
            fuel: true,
            ..plain
        };
        assert_eq!(plain.name(), "module");
        assert_eq!(fuelled.name(), "module-fuel");
    }
}
