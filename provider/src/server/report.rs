//! What is told of a Mount: one log line, the metrics, and the status for the driver.
//!
//! Names, sizes and reasons only. First mounts and changes are said at info, an unchanged refresh at
//! debug, because it comes every 75 seconds for every volume; an identical failure once in ten minutes.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use coffer_provider_core::fault::{MountFault, Phase, Reason};
use coffer_provider_core::params::Pod;
use tonic::{Code, Status};

use crate::metrics::{Metrics, code_name};
use crate::mounter::Mounted;
use crate::status::code;
use crate::telemetry::RepeatGate;

/// A reply above this is told: sync into a Secret fails there.
const SECRET_LIMIT: usize = 1 << 20;

/// Tells of Mounts.
pub(super) struct Report {
    metrics: Arc<Metrics>,
    gate: Mutex<RepeatGate>,
    hasher: RandomState,
}

/// A Mount that has begun. Dropped without an outcome it counts as cancelled.
pub(super) struct Open<'a> {
    report: &'a Report,
    pod: Pod,
    class: String,
    began: Instant,
    told: bool,
}

impl Report {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            gate: Mutex::default(),
            hasher: RandomState::new(),
        }
    }

    /// Begins with pod and class as far as they could be read.
    pub(super) fn open(&self, (pod, class): (Pod, Option<String>)) -> Open<'_> {
        Open {
            report: self,
            pod,
            class: class.unwrap_or_default(),
            began: Instant::now(),
            told: false,
        }
    }
}

impl Open<'_> {
    pub(super) fn succeeded(mut self, mounted: &Mounted, size: usize) {
        self.told = true;
        let bytes = u64::try_from(size).unwrap_or(u64::MAX);
        let took = self.began.elapsed();
        self.report
            .metrics
            .mount_finished(mounted.phase, Code::Ok, None, took, Some(bytes));
        let (phase, source) = (mounted.phase.as_str(), mounted.source.as_str());
        let (objects, changed, store) =
            (mounted.files.len(), mounted.changed, mounted.store.as_str());
        let (pod, class) = (&self.pod, self.class.as_str());
        let duration_ms = took.as_millis();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    namespace = %pod.namespace, pod = %pod.name, pod_uid = %pod.uid, class, phase, objects, changed, source,
                    code = code_name(Code::Ok), duration_ms, store, "mounted"
                )
            };
        }
        if mounted.phase == Phase::First || changed {
            line!(info);
        } else {
            line!(debug);
        }
        if size > SECRET_LIMIT {
            tracing::warn!(namespace = %pod.namespace, pod = %pod.name, class, bytes, "the volume is larger than a Kubernetes Secret can be");
        }
    }

    pub(super) fn failed(mut self, phase: Phase, fault: &MountFault) -> Status {
        self.told = true;
        let reason = fault.reason();
        let code = code(reason);
        let took = self.began.elapsed();
        self.report
            .metrics
            .mount_finished(phase, code, Some(reason), took, None);
        let text = fault.to_string();
        let key = self.report.hasher.hash_one((&self.pod, &self.class, &text));
        let admitted = self
            .report
            .gate
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(key, Instant::now());
        if let Some(repeated) = admitted {
            let pod = &self.pod;
            tracing::warn!(
                namespace = %pod.namespace, pod = %pod.name, pod_uid = %pod.uid, class = %self.class, phase = phase.as_str(),
                code = code_name(code), reason = reason.as_str(), duration_ms = took.as_millis(), repeated, error = %text,
                "mount failed"
            );
        }
        Status::new(code, text)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.told {
            let reason = Reason::Cancelled;
            self.report.metrics.mount_finished(
                Phase::First,
                code(reason),
                Some(reason),
                self.began.elapsed(),
                None,
            );
        }
    }
}
