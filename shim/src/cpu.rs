//! A fingerprint of this machine's processor: code compiled for one must not run on another.

/// Sixteen hexadecimal digits that differ where the processor's features do.
pub fn fingerprint() -> String {
    blake3::hash(&features()).to_hex()[..16].to_string()
}

/// The words of the CPUID leaves that list features; the number of the core is left out.
#[cfg(target_arch = "x86_64")]
fn features() -> Vec<u8> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let (one, seven, extended) = (__cpuid(1), __cpuid_count(7, 0), __cpuid(0x8000_0001));
    let saving = __cpuid_count(0xd, 0); // which registers the kernel saves
    [
        one.ecx,
        one.edx,
        seven.ebx,
        seven.ecx,
        seven.edx,
        extended.ecx,
        extended.edx,
        saving.eax,
    ]
    .iter()
    .flat_map(|word| word.to_le_bytes())
    .collect()
}

/// What the kernel says about the first core.
#[cfg(not(target_arch = "x86_64"))]
fn features() -> Vec<u8> {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text
        .lines()
        .find(|line| line.starts_with("Features") || line.starts_with("isa"));
    line.unwrap_or(std::env::consts::ARCH).as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_stays_the_same_on_every_core() {
        let all: Vec<_> = (0..4).map(|_| std::thread::spawn(fingerprint)).collect();
        let first = fingerprint();
        assert_eq!(first.len(), 16);
        assert!(all.into_iter().all(|one| one.join().unwrap() == first));
    }
}
