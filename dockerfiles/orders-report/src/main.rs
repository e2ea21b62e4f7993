//! Prints /data/totals.csv as a table with a last line for all.

use std::fs;
use std::process::ExitCode;

const TOTALS: &str = "/data/totals.csv";

fn row(product: &str, quantity: u64, cents: u64) {
    println!(
        "{product:<10} {quantity:>6} {:>10}.{:02}",
        cents / 100,
        cents % 100
    );
}

fn main() -> ExitCode {
    let text = match fs::read_to_string(TOTALS) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("orders-report: reading {TOTALS}: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut all = (0, 0);
    for line in text.lines().skip(1) {
        let mut fields = line.split(',');
        let product = fields.next().unwrap_or_default();
        let mut number = || fields.next().and_then(|field| field.parse::<u64>().ok());
        let (Some(quantity), Some(cents)) = (number(), number()) else {
            eprintln!("orders-report: {TOTALS}: not a total: {line}");
            return ExitCode::FAILURE;
        };
        row(product, quantity, cents);
        all = (all.0 + quantity, all.1 + cents);
    }
    row("all", all.0, all.1);
    ExitCode::SUCCESS
}
