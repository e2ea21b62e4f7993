"""Measures of the Wasm runtime in shim/; scripts/bench-shim starts them."""
