"""Measures of wasmdock compose in-process; scripts/bench-compose starts them."""
