//! How long each step of process 1 took, in one line of JSON on stderr where WASMDOCK_MARKS=1 asks for it.

use crate::console::line_end;
use std::sync::Mutex;
use std::time::Instant;
use wasmdock_shim::launch::Launch;

/// What the line begins with.
const PREFIX: &str = "wasmdock-marks: ";

struct Marks {
    last: Instant,
    seconds: Vec<(&'static str, f64)>,
}

static MARKS: Mutex<Option<Marks>> = Mutex::new(None);

/// Starts the watch, where the container asked for marks.
pub fn begin(launch: &Launch) {
    if launch.settings.marks {
        let compiled = launch.compiled.map(|seconds| ("compile", seconds));
        set(Some(Marks {
            last: Instant::now(),
            seconds: compiled.into_iter().collect(),
        }));
    }
}

/// The step that ends here, since the one before.
pub fn step(name: &'static str) {
    if let Some(marks) = MARKS.lock().ok().as_deref_mut().and_then(Option::as_mut) {
        marks
            .seconds
            .push((name, marks.last.elapsed().as_secs_f64()));
        marks.last = Instant::now();
    }
}

/// Prints what was marked, once.
pub fn say() {
    if let Some(marks) = set(None) {
        eprintln!("{}{PREFIX}{}", line_end(), text(&marks.seconds));
    }
}

fn set(new: Option<Marks>) -> Option<Marks> {
    let mut marks = MARKS.lock().ok()?;
    std::mem::replace(&mut marks, new)
}

fn text(seconds: &[(&'static str, f64)]) -> String {
    let fields: serde_json::Map<String, serde_json::Value> = seconds
        .iter()
        .map(|(name, value)| (name.to_string(), (*value).into()))
        .collect();
    serde_json::Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_json_of_seconds_by_step() {
        assert_eq!(
            text(&[("map", 0.25), ("run", 0.5)]),
            r#"{"map":0.25,"run":0.5}"#
        );
    }

    #[test]
    fn nothing_is_marked_unless_asked_for() {
        step("map");
        assert!(set(None).is_none());
    }
}
