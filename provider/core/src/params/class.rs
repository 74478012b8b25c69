//! From the parameters of a class to a `ClassSpec`.
//!
//! Everything that can be judged without a pod and without I/O is judged here, once per class text.

use std::collections::HashSet;
use std::time::Duration;

use super::Parameters;
use super::names::{self, AUDIENCE, Dialect, Found, OBJECTS, REFRESH_INTERVAL, ROLE, Suffix};
use crate::duration::parse_duration;
use crate::encoding::Encoding;
use crate::file::{FilePath, Mode, clashes};
use crate::object::{Object, Objects, read_objects};
use crate::output::Output;
use crate::problem::{Problem, TYPO, nearest, shown};
use crate::request::{Method, Plan, Request, parse_secret_path, plan};
use crate::target::{Layer, parse_bool};

/// A class that can be mounted.
///
/// No Debug: `secretArgs` may hold secrets.
pub struct ClassSpec {
    /// Role for the login.
    pub role: String,
    /// Mount of the auth method without slashes at its ends; none for the operator's default.
    pub auth_mount: Option<String>,
    /// Audience of the token; none for the default.
    pub audience: Option<String>,
    /// What the class says about the connection.
    pub layer: Layer,
    /// It says that certificates are to be verified, which cannot undo what the operator set.
    pub verify_asked: bool,
    /// How far the files of running pods may lag behind the store; none for the operator's default,
    /// zero to read at every republish.
    pub refresh_interval: Option<Duration>,
    /// Its objects, in their order.
    pub objects: Vec<ObjectSpec>,
    /// The distinct requests of the objects.
    pub plan: Plan,
    /// What is accepted but worth a warning.
    pub notes: Vec<Note>,
}

/// One object that can be mounted.
pub struct ObjectSpec {
    /// As it was written; the object version is made from this.
    pub object: Object,
    /// Where its file goes.
    pub path: FilePath,
    /// Mode of its file; none for the driver's default.
    pub mode: Option<Mode>,
    /// How its value is encoded in the store.
    pub encoding: Encoding,
    /// How much of the reply is the file when no key is named.
    pub output: Output,
    /// What is asked of the store.
    pub request: Request,
}

/// Why a class cannot be mounted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// All problems of all parameters and objects.
    pub problems: Vec<Problem>,
    /// What else a person should know: a misspelt name is often why something is missing.
    pub notes: Vec<Note>,
}

impl Refused {
    /// The problems, and behind them the names that may have been meant.
    #[must_use]
    pub fn told(&self) -> Vec<Problem> {
        let meant = self.notes.iter().filter_map(|note| match note {
            Note::UnknownKey {
                field,
                meant: Some(meant),
            } => Some(Problem::new(
                field,
                "is not known",
                format!("did you mean {meant}?"),
            )),
            Note::UnknownKey { .. } | Note::Ignored { .. } | Note::NoEffect(_) => None,
        });
        self.problems.iter().cloned().chain(meant).collect()
    }
}

/// Something accepted that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A parameter or object key that means nothing, and the known name nearest to it.
    UnknownKey {
        /// The key, with the object it stands in.
        field: String,
        /// The name that may have been meant.
        meant: Option<String>,
    },
    /// A spelling that loses against another.
    Ignored {
        /// The key that is not used.
        field: String,
        /// The key that is.
        used: String,
    },
    /// Written as if it did something that it does not do.
    NoEffect(Problem),
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::UnknownKey { field, meant: None } => {
                write!(f, "{field}: is not known and ignored")
            }
            Self::UnknownKey {
                field,
                meant: Some(meant),
            } => {
                write!(
                    f,
                    "{field}: is not known and ignored; did you mean {meant}?"
                )
            }
            Self::Ignored { field, used } => {
                write!(f, "{field}: is ignored, because {used} is set")
            }
            Self::NoEffect(problem) => problem.fmt(f),
        }
    }
}

/// The object keys that mean something.
const OBJECT_KEYS: [&str; 9] = [
    "objectName",
    "secretPath",
    "secretKey",
    "method",
    "secretArgs",
    "filePermission",
    "encoding",
    "optional",
    "output",
];

impl ClassSpec {
    /// Parses the parameters of a class.
    ///
    /// # Errors
    /// All problems of all parameters and objects, with the notes.
    pub fn parse(parameters: &Parameters, dialect: Dialect) -> Result<Self, Refused> {
        let mut reader = Reader {
            parameters,
            dialect,
            verify_asked: false,
            problems: Vec::new(),
            notes: Vec::new(),
        };
        reader.unknown_parameters();
        let role = reader.role();
        let auth_mount = reader.auth_mount();
        let layer = reader.layer();
        let refresh_interval = reader.refresh_interval();
        let objects = reader.objects();
        if !reader.problems.is_empty() {
            return Err(Refused {
                problems: reader.problems,
                notes: reader.notes,
            });
        }
        Ok(Self {
            role,
            auth_mount,
            audience: parameters
                .get(AUDIENCE)
                .filter(|text| !text.is_empty())
                .cloned(),
            layer,
            verify_asked: reader.verify_asked,
            refresh_interval,
            plan: plan(objects.iter().map(|object| &object.request)),
            objects,
            notes: reader.notes,
        })
    }
}

struct Reader<'a> {
    parameters: &'a Parameters,
    dialect: Dialect,
    verify_asked: bool,
    problems: Vec<Problem>,
    notes: Vec<Note>,
}

impl<'a> Reader<'a> {
    fn problem(
        &mut self,
        field: impl Into<String>,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.problems.push(Problem::new(field, what, remedy));
    }

    fn find(&mut self, suffix: Suffix) -> Option<Found<'a>> {
        let found = names::find(self.parameters, self.dialect, suffix)?;
        for field in &found.ignored {
            self.notes.push(Note::Ignored {
                field: field.clone(),
                used: found.name.clone(),
            });
        }
        Some(found)
    }

    fn text(&mut self, suffix: Suffix) -> String {
        self.find(suffix)
            .map(|found| found.value.to_owned())
            .unwrap_or_default()
    }

    fn unknown_parameters(&mut self) {
        let known = self.dialect.known();
        for key in self.parameters.keys().filter(|key| !known.contains(key)) {
            let meant = nearest(key, known.iter().map(String::as_str), TYPO).map(str::to_owned);
            self.notes.push(Note::UnknownKey {
                field: shown(key),
                meant,
            });
        }
    }

    fn role(&mut self) -> String {
        let role = self.text(Suffix::RoleName);
        if role.is_empty() {
            self.problem(
                ROLE,
                "missing 'roleName' in SecretProviderClass definition",
                "add the role of the auth method that binds this service account",
            );
        }
        role
    }

    fn auth_mount(&mut self) -> Option<String> {
        let newer = self.find(Suffix::AuthMountPath);
        let older = self.find(Suffix::KubernetesMountPath);
        if newer.is_some() && older.is_some() {
            let (older, newer) = (
                self.dialect.name(Suffix::KubernetesMountPath),
                self.dialect.name(Suffix::AuthMountPath),
            );
            self.problem(
                newer.clone(),
                format!("cannot set both {older} and {newer}"),
                format!("remove {older}"),
            );
            return None;
        }
        let Found { name, value, .. } = newer.or(older)?;
        let mount = value.trim_matches('/');
        if mount.chars().any(|c| c.is_control() || "?#%".contains(c))
            || mount.split('/').any(|part| part == "..")
        {
            self.problem(
                name,
                format!("\"{}\" is not the path of a mount", shown(value)),
                "write it as `vault auth list` shows it",
            );
        }
        (!mount.is_empty()).then(|| mount.to_owned())
    }

    fn layer(&mut self) -> Layer {
        let layer = Layer {
            address: self.text(Suffix::Address),
            namespace: self.text(Suffix::Namespace),
            ca_file: self.text(Suffix::CaCertPath),
            ca_directory: self.text(Suffix::CaDirectory),
            ca_pem: String::new(),
            client_cert: self.text(Suffix::TlsClientCertPath),
            client_key: self.text(Suffix::TlsClientKeyPath),
            server_name: self.text(Suffix::TlsServerName),
            skip_verify: self.skip_verify(),
            srv_lookup: false,
        };
        if let Err(problems) = Layer::resolve(&[&layer]) {
            self.problems.extend(problems);
        }
        layer
    }

    fn skip_verify(&mut self) -> bool {
        let Some(Found { name, value, .. }) = self.find(Suffix::SkipTlsVerify) else {
            return false;
        };
        match parse_bool(value) {
            Some(skip) => {
                self.verify_asked = !skip;
                skip
            }
            None if value.is_empty() => false,
            None => {
                self.problem(
                    name,
                    format!("\"{}\" is not a boolean", shown(value)),
                    "write true or false",
                );
                false
            }
        }
    }

    fn refresh_interval(&mut self) -> Option<Duration> {
        let text = self.parameters.get(REFRESH_INTERVAL)?;
        let interval = parse_duration(text);
        if interval.is_none() && !text.is_empty() {
            self.problem(
                REFRESH_INTERVAL,
                format!("\"{}\" is no duration", shown(text)),
                "write 45s, 10m, 1h30m or seconds; 0 to read at every republish",
            );
        }
        interval
    }

    fn objects(&mut self) -> Vec<ObjectSpec> {
        let text = self.parameters.get(OBJECTS).map_or("", String::as_str);
        let Objects { objects, problems } = read_objects(text);
        let unreadable = !problems.is_empty();
        self.problems.extend(problems);
        if objects.is_empty() && !unreadable {
            self.problem(
                OBJECTS,
                "no secrets configured - the provider will not read any secret material",
                "add a list of objects with objectName and secretPath",
            );
        }
        self.duplicates(&objects);
        self.clashing(&objects);
        objects
            .into_iter()
            .filter_map(|(index, object)| self.object(index, object))
            .collect()
    }

    fn clashing(&mut self, objects: &[(usize, Object)]) {
        let paths: Vec<FilePath> = objects
            .iter()
            .filter_map(|(_, object)| FilePath::parse(&object.name).ok())
            .collect();
        for clash in clashes(paths.iter()) {
            self.problem(
                format!("objectName \"{}\"", shown(&clash.file)),
                format!(
                    "is a file, but \"{}\" needs it as a directory",
                    shown(&clash.below)
                ),
                "rename one of them",
            );
        }
    }

    /// One entry per extra occurrence, as the peers say it.
    fn duplicates(&mut self, objects: &[(usize, Object)]) {
        let mut seen = HashSet::new();
        let again: Vec<String> = objects
            .iter()
            .filter(|(_, object)| !seen.insert(object.name.as_str()))
            .map(|(_, object)| shown(&object.name))
            .collect();
        if !again.is_empty() {
            self.problem(
                OBJECTS,
                format!(
                    "each `objectName` within a SecretProviderClass must be unique, but the following keys were duplicated: {}",
                    again.join(", ")
                ),
                "rename them",
            );
        }
    }

    fn object(&mut self, index: usize, object: Object) -> Option<ObjectSpec> {
        let before = self.problems.len();
        let field = |key: &str| format!("objects[{index}].{key}");
        self.object_notes(index, &object);
        let path = FilePath::parse(&object.name)
            .map_err(|bad| {
                self.problem(
                    field("objectName"),
                    format!("\"{}\" {bad}", shown(&object.name)),
                    "write a plain relative path",
                );
            })
            .ok();
        let asked = parse_secret_path(&object.secret_path)
            .map_err(|bad| {
                self.problem(
                    field("secretPath"),
                    format!("\"{}\" {bad}", shown(&object.secret_path)),
                    "write the path as the API has it, such as secret/data/app",
                );
            })
            .ok();
        let encoding = Encoding::parse(&object.encoding)
            .map_err(|bad| {
                self.problem(field("encoding"), bad.to_string(), "write one of the three")
            })
            .ok();
        let output = self.output(field("output"), &object);
        let method = Method::parse(&object.method);
        if method.is_none() {
            self.unknown_method(field("method"), &object.method);
        }
        let (path, (asked, query), encoding, output, method) =
            (path?, asked?, encoding?, output?, method?);
        (self.problems.len() == before).then(|| ObjectSpec {
            path,
            mode: (object.file_permission != 0)
                .then(|| Mode::of_class(object.file_permission))
                .flatten(),
            encoding,
            output,
            request: Request {
                method,
                path: asked,
                query,
                body: object.secret_args.clone(),
            },
            object,
        })
    }

    fn output(&mut self, field: String, object: &Object) -> Option<Output> {
        let text = object.output.as_str();
        let Some(output) = Output::parse(text) else {
            let remedy = match nearest(text, Output::NAMES.into_iter(), TYPO) {
                Some(meant) => format!("did you mean {meant}?"),
                None => "write full or data".to_owned(),
            };
            self.problem(
                field,
                format!("\"{}\" is not an output", shown(text)),
                remedy,
            );
            return None;
        };
        if !text.is_empty() && !object.secret_key.is_empty() {
            self.problem(
                field,
                "is for objects without secretKey: with it the file is the value of that key",
                "remove output or secretKey",
            );
            return None;
        }
        Some(output)
    }

    fn unknown_method(&mut self, field: String, method: &str) {
        let upper = method.to_ascii_uppercase();
        let remedy = match Method::parse(&upper) {
            Some(meant) => format!("write {meant} in capitals"),
            None => "write GET, LIST, PUT or POST".to_owned(),
        };
        self.problem(
            field,
            format!("\"{}\" is not a method of the store", shown(method)),
            remedy,
        );
    }

    fn object_notes(&mut self, index: usize, object: &Object) {
        for key in &object.unknown_keys {
            let meant = nearest(key, OBJECT_KEYS.into_iter(), TYPO).map(str::to_owned);
            let field = format!("objects[{index}].{}", shown(key));
            self.notes.push(Note::UnknownKey { field, meant });
        }
        if object.secret_key.is_empty() && !object.encoding.is_empty() {
            self.notes.push(Note::NoEffect(Problem::new(
                format!("objects[{index}].encoding"),
                "has no effect without secretKey",
                "name the key to decode",
            )));
        }
    }
}
