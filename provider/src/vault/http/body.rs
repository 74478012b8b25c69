//! Bodies, capped one by one and all together.
//!
//! A small reservation is taken before a body is read and a full one once it proves larger. Small ones
//! of all requests in flight leave room for a full one, so that nobody waits for ever. The time that is
//! spent waiting for room is ours and not the store's.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use zeroize::Zeroizing;

/// Most replies of a store are far smaller.
const SMALL: usize = 256 << 10;

const UNIT: usize = 1 << 10;

/// How long room is waited for: as long as a Mount may take by default.
const ROOM_WAIT: Duration = Duration::from_secs(30);

/// Room in memory for a body, given back on drop.
pub(super) struct Reserved {
    _permits: Vec<OwnedSemaphorePermit>,
}

/// Why a body was not read to its end.
pub(super) enum BadBody {
    /// Above the cap.
    TooLarge,
    /// The connection ended or broke the protocol.
    Broken(reqwest::Error),
    /// The store took too long.
    TooSlow,
    /// Other bodies left no room for it.
    NoRoom,
}

/// The room of the whole process.
pub(super) struct Buffers {
    room: Arc<Semaphore>,
    cap: usize,
}

impl Buffers {
    pub(super) fn new(total: usize, cap: usize) -> Self {
        Self {
            room: Arc::new(Semaphore::new(total.max(cap + SMALL).div_ceil(UNIT))),
            cap,
        }
    }

    /// Reads a body to its end, waiting for the store no longer than `limit`.
    pub(super) async fn read(
        &self,
        mut response: reqwest::Response,
        limit: Duration,
    ) -> Result<(Zeroizing<Vec<u8>>, Reserved), BadBody> {
        let announced = response
            .content_length()
            .and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|length| length > self.cap) {
            return Err(BadBody::TooLarge);
        }
        let small = SMALL.min(self.cap);
        let mut permits = vec![self.reserve(announced.unwrap_or(small).min(small)).await?];
        let mut reserved = announced.unwrap_or(small).min(small);
        let mut body = Zeroizing::new(Vec::with_capacity(reserved.min(64 << 10)));
        let mut left = limit;
        loop {
            let began = Instant::now();
            let chunk = timeout(left, response.chunk()).await;
            let chunk = chunk.map_err(|_| BadBody::TooSlow)?;
            let Some(chunk) = chunk.map_err(BadBody::Broken)? else {
                break;
            };
            left = left.saturating_sub(began.elapsed());
            if body.len() + chunk.len() > self.cap {
                return Err(BadBody::TooLarge);
            }
            if body.len() + chunk.len() > reserved {
                permits.push(self.reserve(self.cap - reserved).await?);
                reserved = self.cap;
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, Reserved { _permits: permits }))
    }

    async fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, BadBody> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room);
        // The semaphore is never closed; without a permit the body would go uncounted.
        let permit = timeout(ROOM_WAIT, room.acquire_many_owned(units)).await;
        permit.ok().and_then(Result::ok).ok_or(BadBody::NoRoom)
    }
}
