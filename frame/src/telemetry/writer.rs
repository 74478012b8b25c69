//! The queue between those who log and stdout.
//!
//! A caller never waits for stdout: where the reader of our pipe stands still or the disk is full, lines
//! are dropped and counted, and Mounts go on.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most bytes that wait: some thousand lines. As much again may be on its way out; together that is a
/// small part of the 64 MiB that the chart allows.
const MAX_QUEUED: usize = 1024 * 1024;

/// Lines that wait for the writer thread.
pub(super) struct Queue {
    /// Std: held to push one line, or to take all of them out.
    state: Mutex<State>,
    wake: Condvar,
    idle: Condvar,
    on_dropped: Arc<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    writing: bool,
    closed: bool,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").finish_non_exhaustive()
    }
}

impl Queue {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(
        out: impl Write + Send + 'static,
        on_dropped: Arc<dyn Fn() + Send + Sync>,
    ) -> io::Result<Arc<Self>> {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            idle: Condvar::new(),
            on_dropped,
        });
        let writer = Arc::clone(&queue);
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.drain(out))?;
        Ok(queue)
    }

    /// Takes a line that ends in a newline, or drops and counts it. Never waits for the output.
    pub(super) fn offer(&self, line: Vec<u8>) {
        let mut state = self.lock();
        if state.closed || state.bytes + line.len() > MAX_QUEUED {
            drop(state);
            (self.on_dropped)();
            return;
        }
        state.bytes += line.len();
        state.lines.push_back(line);
        self.wake.notify_one();
    }

    /// Takes no more lines and waits, at most this long, until those it has are written.
    pub(super) fn close(&self, at_most: Duration) {
        let mut state = self.lock();
        state.closed = true;
        self.wake.notify_one();
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        drop(self.idle.wait_timeout_while(state, at_most, busy));
    }

    fn drain(&self, mut out: impl Write) {
        let mut torn = false;
        while let Some(lines) = self.take() {
            for mut line in lines {
                if torn {
                    line.insert(0, b'\n');
                }
                torn = match write(&mut out, &line) {
                    Ok(()) => false,
                    Err(written) => {
                        (self.on_dropped)();
                        // A line that was begun is ended by the newline before the next one.
                        torn && written == 0 || written > usize::from(torn)
                    }
                };
            }
        }
    }

    /// All lines that wait, once there are some; none when the queue is closed and empty.
    fn take(&self) -> Option<VecDeque<Vec<u8>>> {
        let mut state = self.lock();
        state.writing = false;
        if state.lines.is_empty() {
            self.idle.notify_all();
        }
        let nothing = |state: &mut State| state.lines.is_empty() && !state.closed;
        let woken = self.wake.wait_while(state, nothing);
        state = woken.unwrap_or_else(PoisonError::into_inner);
        state.writing = !state.lines.is_empty();
        state.bytes = 0;
        state.writing.then(|| std::mem::take(&mut state.lines))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes a whole line; where that fails, says how much of it is out.
fn write(out: &mut impl Write, line: &[u8]) -> Result<(), usize> {
    let mut written = 0;
    while written < line.len() {
        match out.write(&line[written..]) {
            Ok(0) => return Err(written),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(written),
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{self, Write};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex, mpsc};
    use std::time::Duration;

    use super::{MAX_QUEUED, Queue};

    const LONG: Duration = Duration::from_secs(10);

    /// Memory that can be read while it is written to.
    #[derive(Clone, Default)]
    pub(in super::super) struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Shared {
        pub(in super::super) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// An output that takes each write only when it is told how it ends.
    struct Scripted(mpsc::Receiver<io::Result<usize>>, Shared);

    impl Write for Scripted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.1.write(&bytes[..count])
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn counter() -> (Arc<AtomicU64>, Arc<dyn Fn() + Send + Sync>) {
        let count = Arc::new(AtomicU64::new(0));
        let hook = Arc::clone(&count);
        let add = move || {
            hook.fetch_add(1, Ordering::Relaxed);
        };
        (count, Arc::new(add))
    }

    #[test]
    fn lines_come_out_in_order_before_close_returns() {
        let (out, (dropped, hook)) = (Shared::default(), counter());
        let queue = Queue::start(out.clone(), hook).unwrap();
        let expected: String = (0..1000).map(|i| format!("line {i}\n")).collect();
        for line in expected.split_inclusive('\n') {
            queue.offer(line.into());
        }
        queue.close(LONG);
        assert_eq!(out.text(), expected);
        queue.offer(b"late\n".to_vec());
        assert_eq!(
            dropped.load(Ordering::Relaxed),
            1,
            "a line after close is counted"
        );
    }

    #[test]
    fn a_blocked_output_drops_lines_and_blocks_nobody() {
        let (allow, wait) = mpsc::channel();
        let (out, (dropped, hook)) = (Shared::default(), counter());
        let queue = Queue::start(Scripted(wait, out.clone()), hook).unwrap();
        let line = vec![b'x'; 1024];
        let offered = 3 * MAX_QUEUED / line.len();
        for _ in 0..offered {
            queue.offer(line.clone());
        }
        queue.close(Duration::from_millis(1));
        drop(allow);
        queue.close(LONG);
        let dropped = usize::try_from(dropped.load(Ordering::Relaxed)).unwrap();
        assert!(
            dropped >= MAX_QUEUED / line.len(),
            "{dropped} of {offered} dropped"
        );
        assert_eq!(out.text().len(), (offered - dropped) * line.len());
    }

    #[test]
    fn a_line_that_failed_is_counted_and_does_not_spoil_the_next() {
        let full = || Err(io::Error::from(io::ErrorKind::StorageFull));
        let (allow, wait) = mpsc::channel();
        let (out, (dropped, hook)) = (Shared::default(), counter());
        let queue = Queue::start(Scripted(wait, out.clone()), hook).unwrap();
        for outcome in [Ok(4), full(), full(), Ok(99), full(), Ok(99)] {
            allow.send(outcome).unwrap();
        }
        for line in [
            "torn line\n",
            "lost line\n",
            "line 3\n",
            "lost too\n",
            "line 5\n",
        ] {
            queue.offer(line.into());
        }
        queue.close(LONG);
        assert_eq!(out.text(), "torn\nline 3\nline 5\n");
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    }
}
