//! Variables that nobody wrote: those that Kubernetes gives every pod.
//!
//! Which variables a program reads is its own affair.

/// Whether Kubernetes sets it in every pod of a namespace that has a Service by a name such as `coffer` or `coffer-sync`.
#[must_use]
pub fn is_of_a_service(variable: &str) -> bool {
    variable.ends_with("_SERVICE_HOST")
        || variable.contains("_SERVICE_PORT")
        || variable.ends_with("_PORT")
        || ["_TCP", "_UDP", "_SCTP"]
            .iter()
            .any(|protocol| variable.contains("_PORT_") && variable.contains(protocol))
}
