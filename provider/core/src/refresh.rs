//! What may be answered from memory, and until when. Time is passed in.
//!
//! Here: what was issued for a pod (a lease, the answer to a writing request, a certificate) is kept
//! for that pod until two thirds of its life. Everything else is read at every Mount: the seam for a
//! refresh interval is `Freshness`.

use std::time::Duration;

use crate::gojson::Json;
use crate::request::Request;
use crate::response::Response;

/// How an answer may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is a plain read: asked for again at the next Mount.
    ReadAgain,
    /// It was issued for one pod and answers that pod's Mounts for so long from now; none when it
    /// names no end, so that it lasts as long as the pod.
    KeepForPod(Option<Duration>),
}

/// Decides how an answer may be used again. `now` is seconds since the epoch.
#[must_use]
pub fn freshness(request: &Request, response: &Response, now: i64) -> Freshness {
    let certificate = response.data().and_then(|data| certificate_life(data, now));
    let lease = response
        .lease()
        .map(|lease| lease.life)
        .filter(|life| !life.is_zero());
    let auth = response
        .auth()
        .and_then(|auth| auth.get("lease_duration"))
        .and_then(Json::as_i64)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs);
    let life = [certificate, lease, auth].into_iter().flatten().min();
    match life {
        Some(life) => Freshness::KeepForPod(Some(two_thirds(life))),
        None if request.generates() || response.lease().is_some() => Freshness::KeepForPod(None),
        None => Freshness::ReadAgain,
    }
}

/// Two thirds of a life: late enough to be worth the wait, early enough to survive an outage.
#[must_use]
pub const fn two_thirds(life: Duration) -> Duration {
    Duration::from_secs(life.as_secs() * 2 / 3)
}

/// How long the certificate in a PKI answer still lives; none when there is no private key beside it,
/// because then nothing was issued and the certificate was only read.
fn certificate_life(data: &Json, now: i64) -> Option<Duration> {
    data.get("private_key")?;
    let pem = data.get("certificate").and_then(Json::as_str)?;
    let not_after = not_after(pem)?;
    Some(Duration::from_secs(
        u64::try_from(not_after - now).unwrap_or(0),
    ))
}

fn not_after(pem: &str) -> Option<i64> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(certificate.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Freshness, freshness};
    use crate::request::{Method, Request};
    use crate::response::{Head, Response};

    fn decide(method: Method, body: &str) -> Freshness {
        let request = Request {
            method,
            path: "p".to_owned(),
            query: Vec::new(),
            body: None,
        };
        let head = Head {
            status: 200,
            content_type: "application/json",
        };
        let response = Response::read(head, body.as_bytes()).unwrap_or_else(|f| panic!("{f}"));
        freshness(&request, &response, NOW)
    }

    /// 2026-01-01T00:00:00Z.
    const NOW: i64 = 1_767_225_600;

    #[test]
    fn a_plain_read_is_read_again_even_if_it_states_a_duration() {
        for body in [
            r#"{"data":{"k":"v"}}"#,
            r#"{"lease_id":"","lease_duration":2764800,"data":{"k":"v"}}"#,
        ] {
            assert_eq!(decide(Method::Get, body), Freshness::ReadAgain, "{body}");
            assert_eq!(decide(Method::List, body), Freshness::ReadAgain, "{body}");
        }
    }

    #[test]
    fn what_was_issued_is_kept_for_two_thirds_of_its_life() {
        let lease = r#"{"lease_id":"db/creds/r/1","lease_duration":3600,"data":{"username":"u"}}"#;
        let kept = |seconds| Freshness::KeepForPod(Some(Duration::from_secs(seconds)));
        assert_eq!(decide(Method::Get, lease), kept(2400));
        assert_eq!(
            decide(
                Method::Post,
                r#"{"auth":{"client_token":"t","lease_duration":300}}"#
            ),
            kept(200)
        );
    }

    #[test]
    fn what_was_issued_without_an_end_lasts_as_long_as_the_pod() {
        assert_eq!(
            decide(Method::Put, r#"{"data":{"ciphertext":"c"}}"#),
            Freshness::KeepForPod(None)
        );
        assert_eq!(
            decide(
                Method::Get,
                r#"{"lease_id":"x","lease_duration":0,"data":{}}"#
            ),
            Freshness::KeepForPod(None)
        );
    }

    #[test]
    fn a_certificate_counts_only_with_its_key() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2026, 1, 2);
        let pem = parameters.self_signed(&key).unwrap().pem();
        let body =
            |key: &str| serde_json::json!({"data": {"certificate": pem, key: "k"}}).to_string();
        let day = Duration::from_secs(86_400 * 2 / 3);
        assert_eq!(
            decide(Method::Put, &body("private_key")),
            Freshness::KeepForPod(Some(day))
        );
        assert_eq!(decide(Method::Get, &body("issuer")), Freshness::ReadAgain);
        assert_eq!(
            decide(Method::Put, &body("serial")),
            Freshness::KeepForPod(None)
        );
    }
}
