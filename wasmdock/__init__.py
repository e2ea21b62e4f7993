"""Build, run and measure Wasm workloads on Docker and containerd, or in this very process."""

__version__ = "0.1.0"
