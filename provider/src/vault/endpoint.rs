//! The requests that are sent, as rustify endpoints with vaultrs' middleware for `/v1`, namespace and
//! headers.
//!
//! Header values are checked before they reach the middleware, which panics on a bad one.

use coffer_provider_core::fault::{Fault, Reason};
use coffer_provider_core::gojson::Json;
use coffer_provider_core::request::{Method, Request};
use coffer_provider_core::target::{Address, Target};
use http::HeaderValue;
use rustify::Endpoint;
use rustify::enums::{RequestMethod, RequestType, ResponseType};
use rustify::errors::ClientError;
use secrecy::{ExposeSecret, SecretString};
use vaultrs::api::EndpointMiddleware;
use zeroize::Zeroizing;

/// A request ready to be sent to any address of its target. No Debug: headers and body are secret.
pub struct Prepared(http::Request<Vec<u8>>);

impl Prepared {
    /// The request as it goes to one address.
    ///
    /// # Errors
    /// When address and path do not make a URL.
    pub(super) fn at(&self, address: &Address) -> Result<http::Request<Vec<u8>>, Fault> {
        let mut request = self.0.clone();
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        // The middleware puts `/v1` in front of everything; a prefix stands before that.
        let prefix = match address {
            Address::Tcp { prefix, .. } => prefix.as_str(),
            Address::Unix(_) => "",
        };
        let uri = format!("{}{prefix}{path}", origin(address)).parse();
        *request.uri_mut() = uri.map_err(|_| unwritable("address and path do not make a URL"))?;
        Ok(request)
    }
}

/// What stands in a URL where the address is not decided yet, or has no host.
const NO_HOST: &str = "http://localhost";

/// Where the login of a role goes.
struct Login {
    mount: String,
    body: Zeroizing<Vec<u8>>,
}

/// What an object asks for.
struct Object<'a>(&'a Request);

/// One of the store's own calls.
struct Fixed {
    path: &'static str,
    method: RequestMethod,
    body: Option<Vec<u8>>,
}

impl Endpoint for Login {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        format!("auth/{}/login", self.mount)
    }

    fn method(&self) -> RequestMethod {
        RequestMethod::POST
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(Some(self.body.to_vec()))
    }
}

impl Endpoint for Object<'_> {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.0.path.clone()
    }

    fn method(&self) -> RequestMethod {
        match self.0.method {
            Method::Get => RequestMethod::GET,
            Method::List => RequestMethod::LIST,
            Method::Put => RequestMethod::PUT,
            Method::Post => RequestMethod::POST,
            Method::Patch => RequestMethod::PATCH,
            Method::Delete => RequestMethod::DELETE,
        }
    }

    fn query(&self) -> Result<Option<String>, ClientError> {
        Ok(self.0.query_string())
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.0.body_bytes())
    }
}

impl Endpoint for Fixed {
    type Response = ();
    const REQUEST_BODY_TYPE: RequestType = RequestType::JSON;
    const RESPONSE_BODY_TYPE: ResponseType = ResponseType::JSON;

    fn path(&self) -> String {
        self.path.to_owned()
    }

    fn method(&self) -> RequestMethod {
        self.method.clone()
    }

    fn body(&self) -> Result<Option<Vec<u8>>, ClientError> {
        Ok(self.body.clone())
    }
}

/// Logs in with a service account token.
///
/// # Errors
/// When the target cannot be written into a request.
pub fn login(
    target: &Target,
    mount: &str,
    role: &str,
    jwt: &SecretString,
) -> Result<Prepared, Fault> {
    let members = [
        (
            "jwt".to_owned(),
            Json::String(jwt.expose_secret().to_owned()),
        ),
        ("role".to_owned(), Json::String(role.to_owned())),
    ];
    let body = Zeroizing::new(Json::Object(members.into()).to_bytes());
    prepare(
        target,
        None,
        Login {
            mount: mount.to_owned(),
            body,
        },
    )
}

/// Asks for an object.
///
/// # Errors
/// When target, token or path cannot be written into a request.
pub fn object(target: &Target, token: &SecretString, request: &Request) -> Result<Prepared, Fault> {
    prepare(target, Some(token), Object(request))
}

/// Asks whether a token still lives.
///
/// # Errors
/// When the target cannot be written into a request.
pub fn lookup_self(target: &Target, token: &SecretString) -> Result<Prepared, Fault> {
    prepare(
        target,
        Some(token),
        vaultrs::api::token::requests::LookupTokenSelfRequest {},
    )
}

/// Renews a token by its own default.
///
/// # Errors
/// When the target cannot be written into a request.
pub fn renew_self(target: &Target, token: &SecretString) -> Result<Prepared, Fault> {
    let request = vaultrs::api::token::requests::RenewTokenSelfRequest { increment: None };
    prepare(target, Some(token), request)
}

/// Gives a token and every lease on it back.
///
/// # Errors
/// When the target cannot be written into a request.
pub fn revoke_self(target: &Target, token: &SecretString) -> Result<Prepared, Fault> {
    prepare(
        target,
        Some(token),
        vaultrs::api::token::requests::RevokeTokenSelfRequest {},
    )
}

/// Renews one lease by its own default.
///
/// # Errors
/// When the target cannot be written into a request.
pub fn renew_lease(target: &Target, token: &SecretString, lease: &str) -> Result<Prepared, Fault> {
    on_lease(target, token, "sys/leases/renew", lease)
}

/// Gives one lease back.
///
/// # Errors
/// When the target cannot be written into a request.
pub fn revoke_lease(target: &Target, token: &SecretString, lease: &str) -> Result<Prepared, Fault> {
    on_lease(target, token, "sys/leases/revoke", lease)
}

fn on_lease(
    target: &Target,
    token: &SecretString,
    path: &'static str,
    lease: &str,
) -> Result<Prepared, Fault> {
    let members = [("lease_id".to_owned(), Json::String(lease.to_owned()))];
    let body = Json::Object(members.into()).to_bytes();
    prepare(
        target,
        Some(token),
        Fixed {
            path,
            method: RequestMethod::PUT,
            body: Some(body),
        },
    )
}

/// Asks how the store is. It answers without a token, by its status.
///
/// # Errors
/// When the target cannot be written into a request.
pub fn health(target: &Target) -> Result<Prepared, Fault> {
    let root = Target {
        namespace: None,
        ..target.clone()
    };
    prepare(
        &root,
        None,
        Fixed {
            path: "sys/health",
            method: RequestMethod::GET,
            body: None,
        },
    )
}

/// Asks what a token may do on paths.
///
/// # Errors
/// When target or token cannot be written into a request.
pub fn capabilities_self(
    target: &Target,
    token: &SecretString,
    paths: &[&str],
) -> Result<Prepared, Fault> {
    let paths = paths
        .iter()
        .map(|path| Json::String((*path).to_owned()))
        .collect();
    let body = Json::Object([("paths".to_owned(), Json::Array(paths))].into()).to_bytes();
    prepare(
        target,
        Some(token),
        Fixed {
            path: "sys/capabilities-self",
            method: RequestMethod::POST,
            body: Some(body),
        },
    )
}

/// Whether a token can stand in a header.
#[must_use]
pub fn is_sendable(token: &str) -> bool {
    !token.is_empty() && HeaderValue::from_str(token).is_ok() && token.is_ascii()
}

fn prepare<E: Endpoint>(
    target: &Target,
    token: Option<&SecretString>,
    endpoint: E,
) -> Result<Prepared, Fault> {
    let token = token.map(ExposeSecret::expose_secret).unwrap_or_default();
    let namespace = target.namespace.clone();
    let sendable = (token.is_empty() || is_sendable(token))
        && namespace
            .as_deref()
            .is_none_or(|name| HeaderValue::from_str(name).is_ok());
    if !sendable {
        return Err(unwritable(
            "token or namespace has characters that no header can carry",
        ));
    }
    let middleware = EndpointMiddleware {
        token: token.to_owned(),
        version: "v1".to_owned(),
        wrap: None,
        namespace,
    };
    // The error may quote the URL with its query, so it is not passed on.
    let mut request = endpoint
        .with_middleware(&middleware)
        .request(NO_HOST)
        .map_err(|_| unwritable("path or query cannot be written into a URL"))?;
    for (name, value) in request.headers_mut() {
        value.set_sensitive(name == "x-vault-token");
    }
    Ok(Prepared(request))
}

/// Scheme, host and port. The host of a unix socket means nothing.
pub(super) fn origin(address: &Address) -> String {
    match address {
        Address::Tcp {
            https,
            host,
            port,
            prefix: _,
            by_srv: _,
        } => {
            format!("{}://{host}:{port}", if *https { "https" } else { "http" })
        }
        Address::Unix(_) => NO_HOST.to_owned(),
    }
}

fn unwritable(what: &str) -> Fault {
    Fault::new(
        Reason::BadRequest,
        what,
        "use plain characters in address, namespace and path",
    )
}

#[cfg(test)]
mod tests {
    use coffer_provider_core::request::{Method, Request, parse_secret_path};
    use coffer_provider_core::target::{Layer, Target};
    use secrecy::SecretString;

    use super::{login, lookup_self, object};

    fn target(address: &str, namespace: &str) -> Target {
        let layer = Layer {
            address: address.to_owned(),
            namespace: namespace.to_owned(),
            ..Layer::default()
        };
        Layer::resolve(&[&layer]).unwrap()
    }

    fn uri(address: &str, path: &str) -> String {
        let (path, query) = parse_secret_path(path).unwrap();
        let request = Request {
            method: Method::List,
            path,
            query,
            body: None,
        };
        let token = SecretString::from("t");
        let target = target(address, "");
        let prepared = object(&target, &token, &request).unwrap_or_else(|f| panic!("{f}"));
        let request = prepared.at(target.address.first()).unwrap();
        assert_eq!(request.method(), "LIST");
        request.uri().to_string()
    }

    #[test]
    fn an_object_is_asked_for_below_v1() {
        for (address, path, expected) in [
            (
                "https://vault:8200",
                "secret/data/a",
                "https://vault:8200/v1/secret/data/a",
            ),
            (
                "https://proxy/vault/",
                "secret/a?version=1",
                "https://proxy:443/vault/v1/secret/a?version=1",
            ),
            (
                "http://[::1]:8200",
                "a b/é%20",
                "http://[::1]:8200/v1/a%20b/%C3%A9%2520",
            ),
            ("unix:///run/v.sock", "a", "http://localhost/v1/a"),
        ] {
            // Go drops the default port; a URL may be written either way.
            assert_eq!(
                uri(address, path).replace("proxy:443", "proxy"),
                expected.replace("proxy:443", "proxy")
            );
        }
    }

    #[test]
    fn a_login_sends_no_token_and_the_headers_of_the_peers() {
        let jwt = SecretString::from("header.claims.signature");
        let prepared = login(&target("http://v", "team/a"), "jwt/eu", "app", &jwt)
            .unwrap_or_else(|f| panic!("{f}"));
        let (parts, body) = prepared.0.into_parts();
        assert_eq!(
            (parts.method.as_str(), parts.uri.path()),
            ("POST", "/v1/auth/jwt/eu/login")
        );
        assert_eq!(parts.headers["x-vault-request"], "true");
        assert_eq!(parts.headers["x-vault-namespace"], "team/a");
        assert!(!parts.headers.contains_key("x-vault-token"));
        assert_eq!(body, br#"{"jwt":"header.claims.signature","role":"app"}"#);
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_a_fault_and_no_panic() {
        for token in ["a\nb", "é"] {
            let fault = lookup_self(&target("http://v", ""), &SecretString::from(token))
                .err()
                .unwrap();
            assert!(!fault.to_string().contains(token));
        }
    }
}
