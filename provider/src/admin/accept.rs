//! Which of the two text formats a scraper would rather have.

/// What Prometheus asks for by name when it can read it.
const OPENMETRICS: &str = "application/openmetrics-text";

/// Whether the `Accept` header names OpenMetrics and likes it no less than plain text. A wildcard alone
/// gets the classic format: whoever sends it may be a person with a browser.
pub(super) fn prefers_openmetrics(accept: &str) -> bool {
    let (mut open, mut classic) = (0.0_f32, 0.0_f32);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let quality = parts.find_map(quality).unwrap_or(1.0);
        if media.eq_ignore_ascii_case(OPENMETRICS) {
            open = open.max(quality);
        } else if media.eq_ignore_ascii_case("text/plain") {
            classic = classic.max(quality);
        }
    }
    open > 0.0 && open >= classic
}

/// The value of `q=`; one that cannot be read is as good as none.
fn quality(parameter: &str) -> Option<f32> {
    let (name, value) = parameter.split_once('=')?;
    name.eq_ignore_ascii_case("q")
        .then(|| value.parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::prefers_openmetrics;

    #[test]
    fn openmetrics_is_sent_to_those_who_prefer_it() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("text/plain", false),
            ("application/openmetrics-text", true),
            ("Application/OpenMetrics-Text; version=1.0.0", true),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=x", false),
            (
                "text/plain;q=0.9, application/openmetrics-text;q=0.5",
                false,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
                 application/openmetrics-text;version=0.0.1;q=0.4,\
                 text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                true,
            ),
        ] {
            assert_eq!(prefers_openmetrics(accept), expected, "accept {accept:?}");
        }
    }
}
