//! Writes COUNT orders (default 1000) to /data/orders.csv, the same ones each time.

use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

const PATH: &str = "/data/orders.csv";
const PRODUCTS: [(&str, u64); 4] = [
    ("anchor", 4900),
    ("boat", 129_900),
    ("compass", 2450),
    ("dinghy", 39_900),
];

/// Numbers that look random and never change (Knuth's linear congruential generator, MMIX).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn write(count: u32) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(PATH)?);
    writeln!(out, "order,product,quantity,cents")?;
    let mut numbers = Numbers(7);
    for order in 1..=count {
        let (product, cents) = PRODUCTS[numbers.below(PRODUCTS.len() as u64) as usize];
        writeln!(out, "{order},{product},{},{cents}", 1 + numbers.below(5))?;
    }
    out.flush()
}

fn main() -> ExitCode {
    let text = env::var("COUNT").unwrap_or_else(|_| "1000".into());
    let Ok(count) = text.parse() else {
        eprintln!("orders-make: COUNT \"{text}\" is not a number");
        return ExitCode::from(2);
    };
    if let Err(error) = write(count) {
        eprintln!("orders-make: writing {PATH}: {error}");
        return ExitCode::FAILURE;
    }
    println!("wrote {count} orders");
    ExitCode::SUCCESS
}
