//! How a guest ended: an exit code and what to say about it on stderr.

use crate::console::line_end;
use crate::marks;
use crate::signals;
use crate::state::Budget;
use wasmtime::{Error, Trap};
use wasmtime_wasi::I32Exit;

pub const TIMED_OUT: u8 = 124;
const BROKEN: u8 = 125;
const REFUSED: u8 = 126;
pub const TRAPPED: u8 = 134;
const OUT_OF_MEMORY: u8 = 137;

/// The last word of process 1.
#[derive(Debug, PartialEq, Eq)]
pub struct Ending {
    pub code: u8,
    pub message: Option<String>,
}

impl Ending {
    /// The guest's own code.
    pub fn exited(code: u8) -> Ending {
        Ending {
            code,
            message: None,
        }
    }

    /// Our own failure.
    pub fn broken(message: String) -> Ending {
        Ending {
            code: BROKEN,
            message: Some(message),
        }
    }

    /// The guest cannot be started: broken, not linkable, no such export.
    pub fn refused(message: String) -> Ending {
        Ending {
            code: REFUSED,
            message: Some(message),
        }
    }

    /// What an error of wasmtime means, given what the limits had to refuse.
    pub fn of(error: &Error, budget: &Budget, attempt: &str) -> Ending {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Ending::exited(exit.0 as u8);
        }
        if let Some(refusal) = fatal_refusal(error, budget) {
            let message = format!("{attempt}: {}", explain(error));
            return Ending {
                code: OUT_OF_MEMORY,
                message: Some(format!("out of memory: {refusal}\n{message}")),
            };
        }
        let refusals = [&budget.memory_refusal, &budget.tables_refusal];
        let before = refusals
            .into_iter()
            .flatten()
            .fold(String::new(), |all, each| format!("{all} ({each})"));
        let message = format!("{attempt}{before}: {}", explain(error));
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Ending {
                code: TRAPPED,
                message: Some(format!(
                    "the fuel limit is used up (--fuel, WASMDOCK_FUEL)\n{message}"
                )),
            },
            Some(_) => Ending {
                code: TRAPPED,
                message: Some(message),
            },
            None if error.downcast_ref::<wasmtime::WasmBacktrace>().is_some() => Ending {
                code: TRAPPED,
                message: Some(message),
            },
            None => Ending::refused(message),
        }
    }

    /// Says the message and ends this process.
    pub fn finish(self) -> ! {
        signals::stop_clock();
        marks::step("run");
        marks::say();
        if let Some(message) = self.message {
            // In one write, so that nobody gets half of it.
            let text = format!("{}wasmdock: {}\n", line_end(), message.trim_end());
            eprint!("{text}");
        }
        // SAFETY: nothing is buffered (see console.rs), and exit handlers would only cost time.
        unsafe { libc::_exit(i32::from(self.code)) }
    }
}

/// The refusal that the guest did not survive. Allocators that are refused memory end in `unreachable`; any other trap
/// has a cause of its own, and so has every trap after a refused table. The same rule holds without a container, where
/// the guest's own code is made to tell of a refusal (wasm_witness.py) and nobody tells of a table's (inprocess.py).
fn fatal_refusal<'a>(error: &Error, budget: &'a Budget) -> Option<&'a String> {
    match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => budget.memory_refusal.as_ref(),
        Some(_) => None,
        None => budget
            .memory_refusal
            .as_ref()
            .or(budget.tables_refusal.as_ref()),
    }
}

/// The causes in the first line, and the Wasm backtrace under them.
fn explain(error: &Error) -> String {
    let Some(backtrace) = error.downcast_ref::<wasmtime::WasmBacktrace>() else {
        return format!("{error:?}");
    };
    let backtrace = backtrace.to_string();
    let causes: Vec<String> = error
        .chain()
        .map(|cause| cause.to_string())
        .filter(|cause| *cause != backtrace)
        .collect();
    let frames = backtrace.split_once('\n').map_or("", |(_, frames)| frames);
    format!("{}\n{frames}", causes.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: Error, budget: &Budget) -> Ending {
        Ending::of(&error, budget, "running app")
    }

    #[test]
    fn an_exit_is_the_guests_own_code() {
        let ending = of(I32Exit(255).into(), &Budget::default());
        assert_eq!(ending, Ending::exited(255));
    }

    #[test]
    fn a_trap_is_134_with_its_message() {
        let ending = of(Trap::UnreachableCodeReached.into(), &Budget::default());
        assert_eq!(ending.code, TRAPPED);
        assert!(ending.message.unwrap().contains("unreachable"));
    }

    fn refused_memory() -> Budget {
        Budget {
            memory_refusal: Some("limit 1 MiB".into()),
            ..Budget::default()
        }
    }

    fn refused_table() -> Budget {
        Budget {
            tables_refusal: Some("limit 10 elements".into()),
            ..Budget::default()
        }
    }

    #[test]
    fn an_unreachable_after_refused_memory_is_out_of_memory() {
        let ending = of(Trap::UnreachableCodeReached.into(), &refused_memory());
        assert_eq!(ending.code, OUT_OF_MEMORY);
    }

    #[test]
    fn another_trap_after_refused_memory_is_that_trap() {
        let ending = of(Trap::IntegerDivisionByZero.into(), &refused_memory());
        assert_eq!(ending.code, TRAPPED);
        let message = ending.message.unwrap();
        assert!(
            message.starts_with("running app (limit 1 MiB): wasm trap: integer divide by zero"),
            "{message}"
        );
    }

    #[test]
    fn a_trap_after_a_refused_table_is_a_trap_that_names_the_limit() {
        let ending = of(Trap::UnreachableCodeReached.into(), &refused_table());
        assert_eq!(ending.code, TRAPPED);
        assert!(
            ending
                .message
                .unwrap()
                .starts_with("running app (limit 10 elements): wasm trap: ")
        );
    }

    #[test]
    fn more_declared_than_allowed_is_out_of_memory() {
        for budget in [refused_memory(), refused_table()] {
            assert_eq!(
                of(Error::msg("exceeds limits"), &budget).code,
                OUT_OF_MEMORY
            );
        }
    }

    #[test]
    fn a_link_error_is_refused() {
        let ending = of(Error::msg("unknown import"), &Budget::default());
        assert_eq!(ending.code, REFUSED);
    }

    #[test]
    fn the_cause_of_a_trap_stands_in_the_first_line_and_the_frames_under_it() {
        // (module (func (export "f") unreachable))
        let module = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x07\x05\x01\x01f\0\0\x0a\x05\x01\x03\0\0\x0b";
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, module).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let call = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        let message = of(call.call(&mut store, ()).unwrap_err(), &Budget::default()).message;
        let message = message.unwrap();
        let (first, frames) = message.split_once('\n').unwrap();
        assert_eq!(
            first,
            "running app: wasm trap: wasm `unreachable` instruction executed"
        );
        assert!(frames.trim_start().starts_with("0:"), "{frames}");
    }
}
