//! The native baseline: `is-thirteen N` prints what the library says of N.
//! Built for Wasm it has no main: it exports just what the library exports.
#![cfg_attr(target_family = "wasm", no_main)]

#[cfg(target_family = "wasm")]
pub use is_thirteen::is_thirteen;

#[cfg(not(target_family = "wasm"))]
fn main() -> std::process::ExitCode {
    let mut args = std::env::args().skip(1);
    let number = args.next().and_then(|text| text.parse().ok());
    match (number, args.next()) {
        (Some(number), None) => {
            println!("{}", is_thirteen::is_thirteen(number));
            std::process::ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: is-thirteen N   (N: 0-4294967295)");
            std::process::ExitCode::from(2)
        }
    }
}
