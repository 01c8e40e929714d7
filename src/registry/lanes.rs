//! How many requests a host gets at once: fewer when it is overloaded, then more while it answers fast.
//!
//! Main type: [`Lanes`], part of `Host`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// A host gets no fewer, however often it is overloaded.
const LEAST: usize = 2;
/// A host that answers within this time can take more requests.
const FAST: Duration = Duration::from_millis(500);

/// The requests that may be sent to a host now.
pub(super) struct Lanes {
    free: Semaphore,
    /// The most there are ever.
    most: usize,
    width: Mutex<Width>,
}

/// How many lanes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Width {
    /// Open lanes.
    open: usize,
    /// Lanes in use that are closed when their requests have ended.
    closing: usize,
}

/// A request that is being sent.
pub(super) struct Lane<'a> {
    lanes: &'a Lanes,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut width = self.lanes.width();
        if width.closing > 0
            && let Some(permit) = self.permit.take()
        {
            width.closing -= 1;
            permit.forget();
        }
    }
}

impl Lanes {
    /// Returns lanes for at most so many requests at once. All are open: with fewer in the beginning, a hundred requests to a
    /// registry that is far away take one more way there and back, and the connections are opened later.
    pub fn new(most: usize) -> Self {
        Self {
            free: Semaphore::new(most),
            most,
            width: Mutex::new(Width {
                open: most,
                closing: 0,
            }),
        }
    }

    fn width(&self) -> std::sync::MutexGuard<'_, Width> {
        self.width.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a free lane.
    pub async fn enter(&self) -> Lane<'_> {
        let permit = self.free.acquire().await;
        let permit = permit.expect("the semaphore of a host is never closed");
        Lane {
            lanes: self,
            permit: Some(permit),
        }
    }

    /// Takes in that the host answered; opens another lane if it was fast.
    pub fn answered(&self, after: Duration) {
        let mut width = self.width();
        if after > FAST || width.open >= self.most {
            return;
        }
        width.open += 1;
        if width.closing > 0 {
            width.closing -= 1;
        } else {
            self.free.add_permits(1);
        }
    }

    /// Takes in that the host is overloaded; closes half of the lanes.
    pub fn overloaded(&self) {
        let mut width = self.width();
        let left = (width.open / 2).max(LEAST.min(self.most));
        let excess = width.open.saturating_sub(left);
        width.open -= excess;
        width.closing += excess - self.free.forget_permits(excess);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many requests can be sent at once.
    fn count(lanes: &Lanes) -> usize {
        lanes.free.available_permits()
    }

    #[tokio::test]
    async fn a_fast_host_gets_more_requests_again_up_to_the_limit() {
        let lanes = Lanes::new(20);
        assert_eq!(count(&lanes), 20);
        lanes.overloaded();
        lanes.answered(FAST * 2);
        assert_eq!(count(&lanes), 10, "a slow one gets no more");
        for _ in 0..99 {
            lanes.answered(Duration::ZERO);
        }
        assert_eq!(count(&lanes), 20);
    }

    #[tokio::test]
    async fn an_overloaded_host_gets_half_of_them_once_those_in_work_have_ended() {
        let lanes = Lanes::new(8);
        let mut used = Vec::new();
        for _ in 0..6 {
            used.push(lanes.enter().await);
        }
        lanes.overloaded();
        assert_eq!(count(&lanes), 0);
        used.truncate(4);
        assert_eq!(count(&lanes), 0, "four are in work");
        used.clear();
        assert_eq!(count(&lanes), 4);
        for _ in 0..9 {
            lanes.overloaded();
        }
        assert_eq!(count(&lanes), LEAST);
        lanes.answered(Duration::ZERO);
        assert_eq!(count(&lanes), LEAST + 1);
    }
}
