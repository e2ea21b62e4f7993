//! What a store holds: the guest's WASI, and the budget of memory and tables it may use.

use std::path::Path;
use wasmdock_shim::launch::{Folder, Launch};
use wasmdock_shim::settings::is_for_the_host;
use wasmtime::{ResourceLimiter, Result, Store};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Resources of one instance, at most: enough for real guests, too few to exhaust the host.
const RESOURCES: usize = 100_000;

/// Memory and table elements left to a guest, and the first refusal of each in words.
#[derive(Debug, Default)]
pub struct Budget {
    pub memory: u64,
    pub tables: u64,
    pub memory_used: u64,
    pub tables_used: u64,
    pub memory_refusal: Option<String>,
    pub tables_refusal: Option<String>,
}

impl Budget {
    pub fn new(launch: &Launch) -> Budget {
        Budget {
            memory: launch.settings.memory.unwrap_or(u64::MAX),
            tables: launch.settings.tables,
            ..Budget::default()
        }
    }
}

/// Adds `growth` to `used` where that stays within `limit`.
fn take(used: &mut u64, growth: usize, limit: u64) -> bool {
    let wanted = used.saturating_add(growth as u64);
    if wanted > limit {
        return false;
    }
    *used = wanted;
    true
}

impl ResourceLimiter for Budget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false); // the guest's own limit, not ours
        }
        let fits = take(&mut self.memory_used, desired - current, self.memory);
        if !fits {
            let wanted = self.memory_used.saturating_add((desired - current) as u64);
            let limit = self.memory;
            self.memory_refusal.get_or_insert_with(|| {
                format!("the guest asked for {wanted} bytes of memory, its limit is {limit} (WASMDOCK_MEMORY or --memory)")
            });
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let fits = take(&mut self.tables_used, desired - current, self.tables);
        if !fits {
            let limit = self.tables;
            self.tables_refusal.get_or_insert_with(|| {
                format!("the guest asked for more than {limit} table elements (WASMDOCK_TABLES)")
            });
        }
        Ok(fits)
    }
}

/// The state of a core module's store.
pub struct ModuleState {
    pub wasi: WasiP1Ctx,
    pub budget: Budget,
}

/// The state of a component's store.
pub struct ComponentState {
    pub wasi: WasiCtx,
    pub http: WasiHttpCtx,
    pub table: ResourceTable,
    pub budget: Budget,
}

impl ComponentState {
    pub fn new(wasi: WasiCtx, budget: Budget) -> ComponentState {
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        ComponentState {
            wasi,
            http: WasiHttpCtx::new(),
            table,
            budget,
        }
    }
}

impl WasiView for ComponentState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for ComponentState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: Default::default(),
        }
    }
}

/// Gives a store its fuel, where the container has a limit.
pub fn refuel<T>(store: &mut Store<T>, launch: &Launch) -> Result<()> {
    match launch.settings.fuel {
        Some(fuel) => store.set_fuel(fuel),
        None => Ok(()),
    }
}

/// The container's environment without what is meant for the host.
pub fn environment() -> Vec<(String, String)> {
    let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
    std::env::vars_os()
        .map(|(name, value)| (text(name), text(value)))
        .filter(|(name, _)| !is_for_the_host(name))
        .collect()
}

/// WASI as a container has it: its environment, its network; streams and folders are added by the caller.
pub fn builder(environment: &[(String, String)]) -> WasiCtxBuilder {
    let mut builder = WasiCtxBuilder::new();
    builder
        .envs(environment)
        .inherit_network()
        .allow_ip_name_lookup(true)
        .allow_tcp(true)
        .allow_udp(true);
    builder
}

/// Opens the granted folders for the guest.
pub fn grant(builder: &mut WasiCtxBuilder, folders: &[Folder]) -> Result<(), String> {
    for folder in folders {
        let permissions = if folder.writable {
            FsPerms::ReadWrite
        } else {
            FsPerms::ReadOnly
        };
        builder
            .preopened_dir(Path::new(&folder.host), &folder.guest, permissions)
            .map_err(|error| format!("opening {} for the guest: {error:#}", folder.guest))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget() -> Budget {
        Budget {
            memory: 100,
            tables: 10,
            ..Budget::default()
        }
    }

    #[test]
    fn memories_share_one_budget() {
        let mut budget = budget();
        assert!(budget.memory_growing(0, 60, None).unwrap());
        assert!(!budget.memory_growing(0, 60, None).unwrap());
        assert!(budget.memory_refusal.unwrap().contains("120 bytes"));
    }

    #[test]
    fn the_guests_own_maximum_is_not_our_refusal() {
        let mut budget = budget();
        assert!(!budget.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(budget.memory_refusal, None);
    }

    #[test]
    fn tables_are_limited_too() {
        let mut budget = budget();
        assert!(!budget.table_growing(0, 11, None).unwrap());
        assert!(budget.tables_refusal.unwrap().contains("WASMDOCK_TABLES"));
    }
}
