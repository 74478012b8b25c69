//! What is told of a panic: where it happened, and nothing of what it said.

/// From now on a panic of any thread is a line of the log with its place and what follows from it. Its message may quote
/// what was being read, so it is told to nobody.
pub fn tell_only_places_of_panics(consequence: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panic: {consequence}");
    }));
}
