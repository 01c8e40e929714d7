//! Work on many small things, on all processors at once.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex};

/// So few things take less time than to start a thread.
const PER_THREAD: usize = 64;

/// The stack of a thread, bytes: for folders that are 2,000 levels deep, the most that a path has.
const STACK: usize = 16 << 20;

/// A thread takes so many at once.
const BLOCK: usize = 16;

/// More threads would wait for the disk or for memory.
const MOST_THREADS: usize = 8;

/// How many processors laminate can use. The files of its control group have it, which are not read each time.
static PROCESSORS: LazyLock<usize> =
    LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));

/// Returns what `work` returns for each of `list`, in its order.
pub fn map<T: Sync, R: Send>(list: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = PROCESSORS
        .min(list.len() / PER_THREAD + 1)
        .min(MOST_THREADS);
    if threads == 1 {
        return list.iter().map(work).collect();
    }
    let blocks: Vec<&[T]> = list.chunks(BLOCK).collect();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::with_capacity(blocks.len()));
    let run = || {
        let mut own = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(block) = blocks.get(index) else {
                break;
            };
            let made: Vec<R> = block.iter().map(&work).collect();
            own.push((index, made));
        }
        let mut results = results.lock().expect("no code under this lock panics");
        results.extend(own);
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            let thread = std::thread::Builder::new().stack_size(STACK);
            // Without it the others do its work.
            let _missing = thread.spawn_scoped(scope, run);
        }
        run();
    });
    let mut results = results
        .into_inner()
        .expect("no code under this lock panics");
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().flat_map(|(_, made)| made).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_list() {
        for count in [0, 1, PER_THREAD, 10 * PER_THREAD] {
            let list: Vec<usize> = (0..count).collect();
            let doubled: Vec<usize> = list.iter().map(|n| 2 * n).collect();
            assert_eq!(map(&list, |n| 2 * n), doubled);
        }
    }
}
