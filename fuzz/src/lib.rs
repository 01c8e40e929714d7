//! What the fuzz targets of `fuzz_targets/` share. Each calls the function of `laminate::fuzzing` with its name.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// How much processor time one input may take. An input has at most 64 KiB, and an instrumented build is slow.
const LONG: Duration = Duration::from_secs(5);

/// Runs a target; panics if it breaks a rule, or takes too long.
pub fn run(name: &str, bytes: &[u8]) {
    let before = processor_time();
    laminate::fuzzing::run(name, bytes);
    let took = processor_time().saturating_sub(before);
    assert!(took < LONG, "{name} took {took:?} for {} bytes", bytes.len());
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.expect("the clock is there").into()
}

/// Changes an input: mostly as libFuzzer does, sometimes by texts that have a meaning.
pub fn mutate(data: &mut [u8], size: usize, max_size: usize, seed: u32) -> usize {
    if !seed.is_multiple_of(4) {
        return libfuzzer_sys::fuzzer_mutate(data, size, max_size);
    }
    let made = laminate::fuzzing::edited(&data[..size], u64::from(seed));
    let length = made.len().min(max_size);
    data[..length].copy_from_slice(&made[..length]);
    length
}

/// Defines the target with this name.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| $crate::run(stringify!($name), bytes));

        libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
            $crate::mutate(data, size, max_size, seed)
        });
    };
}
