//! What is told of a Mount: one log line, the metrics, the status for the driver, and perhaps an Event.
//!
//! Names, sizes and reasons only. First mounts and changes are said at info, an unchanged refresh at
//! debug, because it comes every 75 seconds for every volume; an identical failure, and the same optional
//! objects being absent, once in ten minutes.

use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_provider_core::fault::{MountFault, Phase, Reason, named};
use coffer_provider_core::params::Pod;
use coffer_provider_core::problem::shown;
use tonic::{Code, Status};

use crate::events::Events;
use crate::metrics::{Metrics, code_name};
use crate::mounter::{Mounted, Source};
use crate::status::code;
use crate::volumes::News;
use coffer_frame::telemetry::RepeatGate;

/// A reply above this is told: sync into a Secret fails there.
const SECRET_LIMIT: usize = 1 << 20;

/// Tells of Mounts.
pub(super) struct Report {
    metrics: Arc<Metrics>,
    events: Events,
    gate: RepeatGate,
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
    pub(super) fn new(metrics: Arc<Metrics>, events: Events) -> Self {
        Self {
            metrics,
            events,
            gate: RepeatGate::default(),
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

    /// How many like it were held back, if this one is to be said now.
    fn admit(&self, key: impl Hash) -> Option<u64> {
        self.gate.admit(key, Instant::now())
    }
}

impl Open<'_> {
    pub(super) fn succeeded(mut self, mounted: &Mounted, size: usize, news: Option<News>) {
        self.told = true;
        let bytes = u64::try_from(size).unwrap_or(u64::MAX);
        let took = self.began.elapsed();
        self.report
            .metrics
            .mount_finished(mounted.phase, Code::Ok, None, took, Some(bytes));
        let stale = mounted.source.stale();
        match mounted.source {
            Source::Store => {}
            Source::Memory => self.report.metrics.served_memory(),
            Source::Stale(reason) => self.report.metrics.served_stale(reason),
        }
        let (phase, source) = (mounted.phase.as_str(), mounted.source.as_str());
        let (objects, absent) = (mounted.files.len(), mounted.absent.len());
        let (changed, store) = (mounted.changed, mounted.store.as_str());
        let (pod, class) = (&self.pod, self.class.as_str());
        let duration_ms = took.as_millis();
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    namespace = %pod.namespace, pod = %pod.name, pod_uid = %pod.uid, class, phase, objects, absent, changed, source,
                    code = code_name(Code::Ok), reason = stale.map(Reason::as_str), duration_ms, store, "mounted"
                )
            };
        }
        if mounted.phase == Phase::First || changed {
            line!(info);
        } else {
            line!(debug);
        }
        if absent > 0 {
            self.tell_absent(&named(&mounted.absent));
        }
        if size > SECRET_LIMIT {
            tracing::warn!(namespace = %pod.namespace, pod = %pod.name, class, bytes, "the volume is larger than a Kubernetes Secret can be");
        }
        let age = mounted.read_at.elapsed();
        if let Some(reason) = stale {
            self.warn_of_stale(reason, age);
        }
        if let Some(news) = news {
            self.report
                .events
                .offer(pod, news.notice, in_words(news, class, stale, age));
        }
    }

    /// The driver is answered with success, so nothing but this line says that the files are old.
    fn warn_of_stale(&self, reason: Reason, age: Duration) {
        if let Some(repeated) = self.report.admit((&self.pod, &self.class, "stale")) {
            let pod = &self.pod;
            tracing::warn!(
                namespace = %pod.namespace, pod = %pod.name, pod_uid = %pod.uid, class = %self.class, source = "stale",
                reason = reason.as_str(), age_s = age.as_secs(), repeated,
                "answered with old bytes: the store gives no usable answer"
            );
        }
    }

    fn tell_absent(&self, objects: &str) {
        if let Some(repeated) = self.report.admit((&self.pod, &self.class, objects)) {
            let pod = &self.pod;
            tracing::info!(
                namespace = %pod.namespace, pod = %pod.name, pod_uid = %pod.uid, class = %self.class, absent = objects,
                repeated, "optional objects do not exist and are left out"
            );
        }
    }

    pub(super) fn failed(mut self, phase: Phase, fault: &MountFault, news: Option<News>) -> Status {
        self.told = true;
        let reason = fault.reason();
        let code = code(reason);
        let took = self.began.elapsed();
        self.report
            .metrics
            .mount_finished(phase, code, Some(reason), took, None);
        let text = fault.to_string();
        if let Some(repeated) = self.report.admit((&self.pod, &self.class, &text)) {
            let pod = &self.pod;
            tracing::warn!(
                namespace = %pod.namespace, pod = %pod.name, pod_uid = %pod.uid, class = %self.class, phase = phase.as_str(),
                code = code_name(code), reason = reason.as_str(), duration_ms = took.as_millis(), repeated, error = %text,
                "mount failed"
            );
        }
        if let Some(news) = news {
            self.report
                .events
                .offer(&self.pod, news.notice, text.clone());
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

/// What an Event says of an answer; that of a failure is the failure's own line.
fn in_words(news: News, class: &str, stale: Option<Reason>, age: Duration) -> String {
    let (class, lasting) = (shown(class), span(news.lasting));
    match stale {
        None => format!("files of class \"{class}\" are refreshed again after {lasting}"),
        Some(reason) => format!(
            "files of class \"{class}\" are {} old and could not be refreshed for {lasting}: the store gives no usable answer [{}]",
            span(age),
            reason.as_str()
        ),
    }
}

fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds / 60),
    }
}

#[cfg(test)]
mod tests;
