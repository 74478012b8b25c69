//! What a Mount means, from the driver's attributes to the files of a volume.
//!
//! Pure: nothing here does I/O or knows a clock; the compiler guards it, because this crate depends
//! on no runtime, no HTTP and no Kubernetes client. The shell (`coffer-provider`) carries out what is
//! decided here. Modules in reading order:

/// Who logs in and with which token.
pub mod auth;
/// Whether an address of a store is asked, and when a failing one is asked again.
pub mod breaker;
/// Durations as people write them.
pub mod duration;
/// The `encoding` attribute.
pub mod encoding;
/// From a reply to the value of one object.
pub mod extract;
/// Everything that can go wrong, and how it is told.
pub mod fault;
/// File paths and modes that the driver can write.
pub mod file;
/// JSON as Go's encoding/json writes it.
pub mod gojson;
/// The life of what was issued for a pod: keep, renew, issue anew.
pub mod issued;
/// The reply of a Mount, all or nothing but for objects that are marked optional.
pub mod mount;
/// Which news of a volume's republishes are told.
pub mod notice;
/// The `objects` parameter: YAML read as the Go peers read it.
pub mod object;
/// The `output` attribute.
pub mod output;
/// The attributes of a Mount become a `MountSpec`, or the list of all their problems.
pub mod params;
/// What the operator allows a class to name.
pub mod policy;
pub mod problem;
/// What may be answered from memory.
pub mod refresh;
/// The distinct store requests that a list of objects needs.
pub mod request;
/// A store reply, read leniently and kept verbatim.
pub mod response;
/// Bytes that never reach a log.
pub mod secret;
/// What stands between a class and a login: which address, TLS settings and namespace.
pub mod target;
/// Object versions: HMAC over configuration and content.
pub mod version;
