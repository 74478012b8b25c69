//! What a service account token says of itself. Nobody has checked it yet: the store judges.
//!
//! Tells what the person should know before the store refuses; holds no part of the signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffer_provider_core::gojson::Json;
use coffer_provider_core::problem::shown;
use jiff::Timestamp;

/// The claims that matter to a login.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::cli) struct Claims {
    /// Whom it is for.
    pub(in crate::cli) audiences: Vec<String>,
    /// Namespace and name of the service account; none when it is no Kubernetes subject.
    pub(in crate::cli) account: Option<(String, String)>,
    /// Who signed it.
    pub(in crate::cli) issuer: String,
    not_before: Option<Timestamp>,
    expires: Option<Timestamp>,
}

impl Claims {
    /// Reads the claims; none when the text is no JWT.
    pub(in crate::cli) fn read(jwt: &str) -> Option<Self> {
        let mut parts = jwt.split('.');
        let (Some(_), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let claims = Json::parse(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        let text = |key: &str| claims.get(key).and_then(Json::as_str).unwrap_or_default();
        let time = |key: &str| Timestamp::from_second(claims.get(key)?.as_i64()?).ok();
        let audiences = match claims.get("aud") {
            Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).collect(),
            Some(Json::String(one)) => vec![one.as_str()],
            _ => Vec::new(),
        };
        Some(Self {
            audiences: audiences.into_iter().map(str::to_owned).collect(),
            account: account(text("sub")),
            issuer: text("iss").to_owned(),
            not_before: time("nbf"),
            expires: time("exp"),
        })
    }

    /// What a store will not like: what is wrong, and what to do.
    pub(in crate::cli) fn complaint(
        &self,
        audience: &str,
        now: Timestamp,
    ) -> Option<(String, String)> {
        if let Some(expired) = self.expires.filter(|time| *time <= now) {
            return Some((
                format!("the token expired at {expired}"),
                "get a new one, or compare the clocks".to_owned(),
            ));
        }
        if let Some(begins) = self.not_before.filter(|time| *time > now) {
            return Some((
                format!("the token is not valid before {begins}"),
                "compare the clocks of this machine and the issuer".to_owned(),
            ));
        }
        if !self.audiences.iter().any(|one| one == audience) {
            return Some((
                format!(
                    "the token is for {}, not for the audience \"{}\" of the class",
                    self.told_audiences(),
                    shown(audience)
                ),
                format!(
                    "request it for that audience (kubectl create token … --audience={0}), or set audience in the class",
                    shown(audience)
                ),
            ));
        }
        None
    }

    /// The audiences for a sentence.
    pub(in crate::cli) fn told_audiences(&self) -> String {
        match self.audiences.as_slice() {
            [] => "no audience".to_owned(),
            [one] => format!("audience \"{}\"", shown(one)),
            all => {
                let all: Vec<String> = all
                    .iter()
                    .map(|one| format!("\"{}\"", shown(one)))
                    .collect();
                format!("audiences {}", all.join(", "))
            }
        }
    }

    /// When it ends, for a sentence.
    pub(in crate::cli) fn told_end(&self) -> String {
        self.expires
            .map_or_else(|| "it never ends".to_owned(), |end| format!("ends {end}"))
    }
}

/// `system:serviceaccount:<namespace>:<name>`, as Kubernetes writes the subject.
fn account(subject: &str) -> Option<(String, String)> {
    let (namespace, name) = subject
        .strip_prefix("system:serviceaccount:")?
        .split_once(':')?;
    Some((namespace.to_owned(), name.to_owned()))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::{Claims, Timestamp};

    fn claims(json: &str) -> Option<Claims> {
        Claims::read(&format!("h.{}.s", URL_SAFE_NO_PAD.encode(json)))
    }

    #[test]
    fn the_service_account_is_taken_from_the_subject() {
        for (subject, expected) in [
            ("system:serviceaccount:shop:web", Some(("shop", "web"))),
            ("system:node:a", None),
            ("", None),
        ] {
            let claims = claims(&format!(r#"{{"sub":"{subject}"}}"#)).unwrap();
            let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
            assert_eq!(claims.account, expected, "{subject}");
        }
    }

    #[test]
    fn what_is_no_jwt_has_no_claims() {
        for text in ["", "hvs.abc", "a.b.c", "h.e30", "h.e30.s.x"] {
            assert_eq!(Claims::read(text), None, "{text}");
        }
    }

    #[test]
    fn time_and_audience_are_complained_about() {
        let now = Timestamp::from_second(1_000).unwrap();
        for (json, expected) in [
            (r#"{"aud":["vault"],"exp":1001,"nbf":1000}"#, None),
            (r#"{"aud":"vault"}"#, None),
            (
                r#"{"aud":["vault"],"exp":1000}"#,
                Some("the token expired at 1970-01-01T00:16:40Z"),
            ),
            (
                r#"{"aud":["vault"],"nbf":1001}"#,
                Some("the token is not valid before"),
            ),
            (
                r#"{"aud":["a","b"]}"#,
                Some("the token is for audiences \"a\", \"b\", not"),
            ),
            ("{}", Some("the token is for no audience")),
        ] {
            let told = claims(json).unwrap().complaint("vault", now);
            match (&told, expected) {
                (None, None) => {}
                (Some((what, _)), Some(part)) => assert!(what.starts_with(part), "{json}: {what}"),
                _ => panic!("{json}: {told:?}"),
            }
        }
    }
}
