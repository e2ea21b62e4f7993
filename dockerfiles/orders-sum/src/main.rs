//! Reads /data/orders.csv and writes pieces and cents per product to /data/totals.csv.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::process::ExitCode;

const ORDERS: &str = "/data/orders.csv";
const TOTALS: &str = "/data/totals.csv";

/// Product, pieces and cents of one line `order,product,quantity,cents`.
fn parse(line: &str) -> Option<(&str, u64, u64)> {
    let mut fields = line.split(',').skip(1);
    let product = fields.next()?;
    let quantity: u64 = fields.next()?.parse().ok()?;
    let cents: u64 = fields.next()?.parse().ok()?;
    Some((product, quantity, quantity * cents))
}

fn sum() -> Result<usize, String> {
    let file = File::open(ORDERS).map_err(|error| format!("reading {ORDERS}: {error}"))?;
    let mut totals: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (number, line) in BufReader::new(file).lines().enumerate().skip(1) {
        let line = line.map_err(|error| format!("reading {ORDERS}: {error}"))?;
        let (product, quantity, cents) =
            parse(&line).ok_or_else(|| format!("{ORDERS}:{}: not an order: {line}", number + 1))?;
        let total = totals.entry(product.to_owned()).or_default();
        *total = (total.0 + quantity, total.1 + cents);
    }
    let mut text = String::from("product,quantity,cents\n");
    for (product, (quantity, cents)) in &totals {
        text += &format!("{product},{quantity},{cents}\n");
    }
    fs::write(TOTALS, text).map_err(|error| format!("writing {TOTALS}: {error}"))?;
    Ok(totals.len())
}

fn main() -> ExitCode {
    match sum() {
        Ok(count) => {
            println!("summed up {count} products");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("orders-sum: {message}");
            ExitCode::FAILURE
        }
    }
}
