//! The wasmtime configuration: one function for the compiler and the host, so that compiled code always fits.

use wasmdock_shim::launch::Tuning;
use wasmtime::{Config, PoolingAllocationConfig};

/// The configuration of an engine (a change here raises CODE_REVISION); without the compiler it starts faster and can only load compiled code.
pub fn configuration(tuning: Tuning, compiler: bool) -> Config {
    let mut config = Config::new();
    config.enable_compiler(compiler);
    config.consume_fuel(tuning.fuel);
    config.epoch_interruption(tuning.epochs);
    config.wasm_component_model(true);
    config
}

/// The configuration of the host: without the compiler, with the stack a container asks for.
pub fn hosting(tuning: Tuning, stack: Option<u64>) -> Config {
    /// What functions of the host may need on the same stack: as much as wasmtime leaves them by default.
    const HOSTS_OWN: usize = 3 << 19;
    let mut config = configuration(tuning, false);
    if let Some(stack) = stack.and_then(|stack| usize::try_from(stack).ok()) {
        config.max_wasm_stack(stack);
        config.async_stack_size(stack + HOSTS_OWN);
    }
    config
}

/// A pool for a server: `concurrency` instances at once, each with memories of at most `memory` bytes.
pub fn pool(concurrency: u32, memory: usize) -> PoolingAllocationConfig {
    const KEPT: usize = 1 << 20;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(concurrency);
    pool.total_core_instances(concurrency.saturating_mul(4));
    pool.total_memories(concurrency.saturating_mul(2));
    pool.total_tables(concurrency.saturating_mul(4));
    pool.total_stacks(concurrency);
    pool.total_gc_heaps(concurrency);
    pool.max_memory_size(memory.min(4 << 30));
    pool.linear_memory_keep_resident(KEPT);
    pool.table_keep_resident(64 << 10);
    pool.max_unused_warm_slots(concurrency);
    pool
}
