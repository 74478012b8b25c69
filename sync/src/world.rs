//! The classes and SecretSyncs that are known, and the objects that follow from them: one per Secret.
//!
//! Pure: it is told of changes and answers what they touch. What is done about an object is decided in its round.

mod class;
mod job;
mod sync;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use coffer_sync_core::claim::{claims_sync, opens_class, secret_name};
use coffer_sync_core::options::Door;
use coffer_sync_core::schedule::Object;
use jiff::Timestamp;

pub use self::class::Class;
pub use self::job::Job;
pub use self::sync::Sync;

/// Namespace and name.
pub type Key = (String, String);

/// What the operator says about sources.
#[derive(Clone, Debug)]
pub struct WorldRules {
    /// The name by which a SecretSync chooses us.
    pub controller_name: String,
    /// Whether a SecretSync without such a name is ours.
    pub claim_unnamed: bool,
    /// Poll period of objects that name none.
    pub refresh_interval: Option<Duration>,
}

/// Where an object comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    door: Door,
    source: Key,
    index: usize,
}

/// The oldest claim on a Secret comes first.
type Seniority = (Timestamp, String, usize);

/// An object that is no more although its source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// The class that named the Secret.
    pub class: Key,
    /// Name of the Secret.
    pub secret: String,
}

/// What a change touches.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Objects to look at again; those that are gone have no [`World::job`] any more.
    pub objects: BTreeSet<Object>,
    /// Secrets that their source names no more.
    pub dropped: Vec<Dropped>,
}

/// Everything that is known of sources.
pub struct World {
    rules: WorldRules,
    classes: HashMap<Key, Arc<Class>>,
    syncs: HashMap<Key, Arc<Sync>>,
    /// SecretSyncs by the class that they name.
    users: HashMap<Key, BTreeSet<Key>>,
    places: HashMap<Object, Place>,
    /// Objects of a source.
    objects: HashMap<(Door, Key), Vec<Object>>,
    /// Claims on a Secret by namespace and name, the oldest first. There is nearly always one, for which a map would
    /// take a kilobyte.
    claims: HashMap<Key, Vec<(Seniority, Object)>>,
}

impl World {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(rules: WorldRules) -> Self {
        Self {
            rules,
            classes: HashMap::new(),
            syncs: HashMap::new(),
            users: HashMap::new(),
            places: HashMap::new(),
            objects: HashMap::new(),
            claims: HashMap::new(),
        }
    }

    /// Notes a class as it is now.
    pub fn put_class(&mut self, class: Class) -> Touched {
        let key = class.key();
        let class = Arc::new(class);
        let before = self.classes.insert(key.clone(), Arc::clone(&class));
        let mut touched = self.of_users(&key);
        let opened = matches!(opens_class(&class.annotations), Some(Ok(_) | Err(_)));
        let entries = if opened {
            class.spec.secret_objects.len()
        } else {
            0
        };
        let names = (0..entries).map(|index| {
            let written = class.spec.secret_objects[index].secret_name.as_str();
            secret_name(written, false).ok()
        });
        let names: Vec<Option<String>> = names.collect();
        let same_source = before.is_some_and(|before| before.source.uid == class.source.uid);
        let gone = self.replace(Door::Class, &key, &class.source, names, &mut touched);
        // A class that is closed again keeps what it made: its owner said no more than `leave me alone`.
        if same_source && opened {
            // Twins and entries without a name made no Secret of their own.
            let gone = gone
                .into_iter()
                .filter(|object| secret_of(object) == object.secret);
            let dropped = gone.map(|object| Dropped {
                class: key.clone(),
                secret: object.secret,
            });
            touched.dropped.extend(dropped);
        }
        touched
    }

    /// Notes that a class is gone.
    pub fn remove_class(&mut self, key: &Key) -> Touched {
        let mut touched = self.of_users(key);
        if let Some(class) = self.classes.remove(key) {
            self.replace(Door::Class, key, &class.source, Vec::new(), &mut touched);
        }
        touched
    }

    /// Notes a SecretSync as it is now.
    pub fn put_sync(&mut self, sync: Sync) -> Touched {
        let key = sync.key();
        let mut touched = Touched::default();
        self.leave_class(&key);
        let rules = &self.rules;
        let name = &sync.spec.secret_sync_controller_name;
        let ours = claims_sync(name, &rules.controller_name, rules.claim_unnamed);
        let names = if ours {
            vec![Some(key.1.clone())]
        } else {
            Vec::new()
        };
        let sync = Arc::new(sync);
        if ours {
            let users = self.users.entry(sync.class_key()).or_default();
            users.insert(key.clone());
        }
        self.syncs.insert(key.clone(), Arc::clone(&sync));
        self.replace(Door::Sync, &key, &sync.source, names, &mut touched);
        touched
    }

    /// Notes that a SecretSync is gone.
    pub fn remove_sync(&mut self, key: &Key) -> Touched {
        let mut touched = Touched::default();
        self.leave_class(key);
        if let Some(sync) = self.syncs.remove(key) {
            self.replace(Door::Sync, key, &sync.source, Vec::new(), &mut touched);
        }
        touched
    }

    /// The object as it stands now; none when it is gone.
    #[must_use]
    pub fn job(&self, object: &Object) -> Option<Job> {
        let place = self.places.get(object)?;
        let rival = self.rival(object, &place.source.0);
        match place.door {
            Door::Class => {
                let class = self.classes.get(&place.source)?;
                job::of_class(object, class, place.index, rival, &self.rules)
            }
            Door::Sync => {
                let sync = self.syncs.get(&place.source)?;
                let class = self.classes.get(&sync.class_key()).cloned();
                Some(job::of_sync(object, sync, class, rival, &self.rules))
            }
        }
    }

    /// The names of all known sources of a kind, to find those that a new list lacks.
    #[must_use]
    pub fn keys(&self, door: Door) -> Vec<Key> {
        match door {
            Door::Class => self.classes.keys().cloned().collect(),
            Door::Sync => self.syncs.keys().cloned().collect(),
        }
    }

    /// A class by its name.
    #[must_use]
    pub fn class(&self, key: &Key) -> Option<&Arc<Class>> {
        self.classes.get(key)
    }

    /// A SecretSync by its name.
    #[must_use]
    pub fn sync(&self, key: &Key) -> Option<&Arc<Sync>> {
        self.syncs.get(key)
    }

    /// The objects of a source.
    #[must_use]
    pub fn objects_of(&self, door: Door, key: &Key) -> &[Object] {
        self.objects
            .get(&(door, key.clone()))
            .map_or(&[], Vec::as_slice)
    }

    /// The objects that claim a Secret, the oldest first.
    #[must_use]
    pub fn claimants(&self, secret: &Key) -> Vec<Object> {
        let claims = self.claims.get(secret);
        claims.map_or(Vec::new(), |claims| claimed_by(claims).collect())
    }

    /// The older source that claims the same Secret, in words.
    fn rival(&self, object: &Object, namespace: &str) -> Option<String> {
        let secret = secret_of(object);
        let claims = self
            .claims
            .get(&(namespace.to_owned(), secret.to_owned()))?;
        let (_, winner) = claims.first()?;
        if winner == object {
            return None;
        }
        let place = self.places.get(winner)?;
        Some(format!("{} {}", place.door.kind(), place.source.1))
    }

    fn of_users(&self, class: &Key) -> Touched {
        let users = self.users.get(class).into_iter().flatten();
        let objects = users.flat_map(|user| self.objects_of(Door::Sync, user).iter().cloned());
        Touched {
            objects: objects.collect(),
            dropped: Vec::new(),
        }
    }

    fn leave_class(&mut self, sync: &Key) {
        let Some(before) = self.syncs.get(sync) else {
            return;
        };
        let class = before.class_key();
        if let Some(users) = self.users.get_mut(&class) {
            users.remove(sync);
            if users.is_empty() {
                self.users.remove(&class);
            }
        }
    }

    /// Puts the objects of these names in the place of those that the source had, and gives back those that are gone.
    fn replace(
        &mut self,
        door: Door,
        key: &Key,
        source: &coffer_sync_core::claim::Source,
        names: Vec<Option<String>>,
        touched: &mut Touched,
    ) -> Vec<Object> {
        let before = self
            .objects
            .remove(&(door, key.clone()))
            .unwrap_or_default();
        for object in &before {
            self.retract(&key.0, object, touched);
        }
        let mut now: Vec<Object> = Vec::with_capacity(names.len());
        for (index, name) in names.into_iter().enumerate() {
            let secret = name.unwrap_or_default();
            let twin = now.iter().any(|object| object.secret == secret);
            // What cannot be told apart by its name is told apart by a mark that no name has.
            let secret = if secret.is_empty() || twin {
                format!("{secret}#{index}")
            } else {
                secret
            };
            let object = Object {
                source: source.uid.clone(),
                secret,
            };
            let place = Place {
                door,
                source: key.clone(),
                index,
            };
            self.places.insert(object.clone(), place);
            let seniority = (source.created, source.uid.clone(), index);
            let claimed = (key.0.clone(), secret_of(&object).to_owned());
            let claims = self.claims.entry(claimed).or_default();
            let at = claims.partition_point(|(other, _)| *other < seniority);
            claims.reserve_exact(1);
            claims.insert(at, (seniority, object.clone()));
            touched.objects.extend(claimed_by(claims));
            now.push(object);
        }
        let gone = before
            .into_iter()
            .filter(|object| !now.contains(object))
            .collect();
        if !now.is_empty() {
            self.objects.insert((door, key.clone()), now);
        }
        gone
    }

    fn retract(&mut self, namespace: &str, object: &Object, touched: &mut Touched) {
        self.places.remove(object);
        touched.objects.insert(object.clone());
        let claimed = (namespace.to_owned(), secret_of(object).to_owned());
        let Some(claims) = self.claims.get_mut(&claimed) else {
            return;
        };
        claims.retain(|(_, claimant)| claimant != object);
        touched.objects.extend(claimed_by(claims));
        if claims.is_empty() {
            self.claims.remove(&claimed);
        }
    }
}

fn claimed_by(claims: &[(Seniority, Object)]) -> impl Iterator<Item = Object> {
    claims.iter().map(|(_, object)| object.clone())
}

/// The name of the Secret without the mark that tells twins apart.
fn secret_of(object: &Object) -> &str {
    object
        .secret
        .split_once('#')
        .map_or(&object.secret, |(secret, _)| secret)
}

#[cfg(test)]
mod tests;
