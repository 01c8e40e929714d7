//! How long the registry may show what was there before a write.
//!
//! Main type: [`Settling`], used by what reads back.

use std::time::{Duration, Instant};

/// The first pause between two looks.
const FIRST: Duration = Duration::from_millis(20);
/// No pause is longer.
const LONGEST: Duration = Duration::from_millis(500);

/// The looks at something that was written a moment ago.
pub(super) struct Settling {
    end: Instant,
    pause: Duration,
}

impl Settling {
    /// Begins now; the registry has `time` to show what was written.
    pub fn begin(time: Duration) -> Self {
        Self {
            end: Instant::now() + time,
            pause: FIRST,
        }
    }

    /// Returns whether a look that begins now is the last one. The answer to a look that begins earlier proves nothing,
    /// however late it arrives: the registry may be slow, or this process was not running for a while.
    pub fn is_last(&self) -> bool {
        Instant::now() >= self.end
    }

    /// Waits before the next look; at most until it is the last one.
    pub async fn pause(&mut self) {
        let left = self.end.saturating_duration_since(Instant::now());
        tokio::time::sleep(self.pause.min(left)).await;
        self.pause = (self.pause * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_look_begins_when_the_time_has_passed() {
        let mut settling = Settling::begin(Duration::from_millis(60));
        let (begun, mut looks) = (Instant::now(), 1);
        while !settling.is_last() {
            settling.pause().await;
            looks += 1;
        }
        assert!(begun.elapsed() >= Duration::from_millis(60));
        assert!(looks >= 2, "{looks}");
        assert!(Settling::begin(Duration::ZERO).is_last());
    }
}
