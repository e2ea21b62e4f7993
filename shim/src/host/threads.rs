//! As many threads as a served component may have: by the processors, and by the container's limit of processes.

use std::fs;
use tokio::runtime::{Builder, Runtime};

/// Where the limit of the own cgroup is, in both versions of cgroups.
const LIMITS: [&str; 2] = ["/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"];
/// Threads besides those that run guests: the first one, the clock, and two that wait for files and names.
const OTHERS: usize = 4;

/// The runtime of a server; on the first thread alone where more are not allowed.
pub fn runtime() -> std::io::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let limit = LIMITS.iter().find_map(|file| fs::read_to_string(file).ok());
    match workers(processors, limit.as_deref()) {
        0 => Builder::new_current_thread().enable_all().build(),
        count => Builder::new_multi_thread()
            .worker_threads(count)
            .enable_all()
            .build(),
    }
}

/// How many threads run guests; `limit` is what the kernel says, a number or "max".
fn workers(processors: usize, limit: Option<&str>) -> usize {
    let limit = limit.and_then(|text| text.trim().parse::<usize>().ok());
    limit.map_or(processors, |limit| {
        processors.min(limit.saturating_sub(OTHERS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_processes_leaves_room_for_the_other_threads() {
        assert_eq!(workers(64, None), 64);
        assert_eq!(workers(64, Some("max\n")), 64);
        assert_eq!(workers(64, Some("16\n")), 12);
        assert_eq!(workers(2, Some("2\n")), 0);
    }
}
