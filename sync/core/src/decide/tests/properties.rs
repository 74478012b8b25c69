//! What holds for every decision, whatever is wanted, there, known and allowed.
//!
//! A small world carries plans out as the API server would, so that deciding again can be looked at.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{at, print, set};
use crate::claim::{Frozen, Holder};
use crate::decide::*;
use crate::fingerprint::Comparison;
use crate::options::{Adopt, Drift, Immutable, OnTypeChange};
use crate::validate::{Policy as Validation, Verdict};

const NOW: i64 = 1_000_000;

/// A Secret, or none, and what we remember of it.
#[derive(Clone, Debug)]
struct World {
    target: Target,
    history: History,
    next: u32,
}

impl World {
    fn present(&self) -> Option<&Present> {
        match &self.target {
            Target::Present(present) => Some(present),
            Target::Unknown | Target::Absent => None,
        }
    }

    /// What an apply leaves behind; equal content leaves the Secret as it was.
    fn write(&mut self, content: &Content, uid: Option<&str>, adopted: bool, immutable: bool) {
        let before = self
            .present()
            .filter(|present| Some(present.uid.as_str()) == uid)
            .cloned();
        let fresh = format!("new{}", self.next);
        self.next += 1;
        let record = Record {
            fingerprint: content.fingerprint.clone(),
            verdict: content.verdict.clone(),
        };
        let foreign = before
            .as_ref()
            .map(|before| &before.all_keys - &before.our_keys.iter().cloned().collect())
            .unwrap_or_default();
        let mut after = Present {
            uid: uid.unwrap_or(&fresh).to_owned(),
            resource_version: String::new(),
            deleting: false,
            holder: Holder::Ours { adopted },
            same_type: Same::Yes,
            same_data: Same::Unknown,
            frozen: if immutable {
                Frozen::Ours
            } else {
                before.as_ref().map_or(Frozen::No, |before| before.frozen)
            },
            record: Some(record),
            our_keys: content.keys.iter().cloned().collect(),
            all_keys: &foreign | &content.keys,
            consent: before.as_ref().is_some_and(|before| before.consent),
            matching: None,
        };
        after.resource_version = match before {
            Some(before)
                if (Present {
                    resource_version: String::new(),
                    same_type: Same::Yes,
                    same_data: Same::Unknown,
                    matching: None,
                    ..before.clone()
                }) == after =>
            {
                before.resource_version
            }
            _ => fresh,
        };
        self.history.applied = Some(Applied {
            uid: after.uid.clone(),
            resource_version: after.resource_version.clone(),
            metadata: content.metadata,
        });
        self.history.written = Some(Written {
            fingerprint: content.fingerprint.clone(),
            revision: content.revision,
        });
        self.history.latest = after.record.clone();
        self.target = Target::Present(Box::new(after));
    }

    fn carry_out(&mut self, plan: &Plan, content: &Content, policy: &Policy) {
        let immutable = policy.immutable != Immutable::Never;
        match plan {
            Plan::Create { .. } | Plan::NewVersion { .. } | Plan::Recreate { .. } => {
                self.write(content, None, false, immutable)
            }
            Plan::Apply(apply) => {
                let adopted = matches!(
                    self.present().map(|present| &present.holder),
                    Some(Holder::Ours { adopted: true })
                );
                self.write(content, Some(&apply.uid), adopted, apply.immutable);
            }
            Plan::Adopt { uid, .. } => {
                self.write(content, Some(uid), true, false);
            }
            Plan::Probe | Plan::Compare | Plan::Hold(_) | Plan::Skip(_) | Plan::Refuse(_) => {}
        }
    }
}

fn verdict() -> impl Strategy<Value = Verdict> {
    let ids = proptest::sample::subsequence(vec!["tls.pair", "tls.chain", "docker.auth"], 0..=3);
    (ids, proptest::option::of(NOW - 500..NOW + 500)).prop_map(|(ids, end)| {
        let date = end.map(|end| format!("notAfter={}", at(end)));
        let words: Vec<&str> = ids.into_iter().chain(date.as_deref()).collect();
        words.join(" ").parse().unwrap()
    })
}

/// Value 0 is the one without keys.
fn keys(value: u8) -> BTreeSet<String> {
    match value {
        0 => set(&[]),
        1 => set(&["a"]),
        _ => set(&["a", "b"]),
    }
}

fn content() -> impl Strategy<Value = Content> {
    let types = proptest::sample::select(vec![
        "Opaque",
        "kubernetes.io/tls",
        "kubernetes.io/service-account-token",
        "bootstrap.kubernetes.io/token",
    ]);
    (types, 1..=2_u8, 0..4_u8, 0..2_u8, verdict()).prop_map(
        |(type_, key, value, metadata, verdict)| Content {
            secret: "db".to_owned(),
            type_: type_.to_owned(),
            fingerprint: print(key, value),
            metadata: [metadata; 32],
            keys: keys(value),
            verdict: Some(verdict),
            revision: Revision {
                generation: 1,
                options: [0; 32],
            },
        },
    )
}

fn holder() -> impl Strategy<Value = Holder> {
    proptest::sample::select(vec![
        Holder::Ours { adopted: false },
        Holder::Ours { adopted: false },
        Holder::Ours { adopted: true },
        Holder::Upstream(vec!["old".to_owned()]),
        Holder::Former,
        Holder::Driver,
        Holder::Stranger,
    ])
}

fn present() -> impl Strategy<Value = Present> {
    let same = || proptest::sample::select(vec![Same::Yes, Same::No, Same::Unknown]);
    let record = proptest::option::of((1..=2_u8, proptest::option::of(verdict())));
    let matching = proptest::option::of(any::<[bool; 3]>());
    let frozen = proptest::sample::select(vec![Frozen::No, Frozen::Ours, Frozen::Perhaps]);
    let flags = (frozen, any::<bool>(), prop::bool::weighted(0.1));
    (holder(), same(), same(), 0..4_u8, record, matching, flags).prop_map(
        |(holder, same_type, same_data, value, record, matching, (frozen, consent, deleting))| {
            let ours = matches!(holder, Holder::Ours { .. } | Holder::Upstream(_));
            Present {
                uid: "u1".to_owned(),
                resource_version: "7".to_owned(),
                deleting,
                our_keys: if ours {
                    keys(value).into_iter().collect()
                } else {
                    Box::default()
                },
                all_keys: &keys(value) | &set(&["theirs"]),
                holder,
                same_type,
                same_data,
                frozen,
                record: record.filter(|_| ours).map(|(key, verdict)| Record {
                    fingerprint: print(key, value),
                    verdict,
                }),
                consent,
                matching: matching.map(|[type_, immutable, differs]| Matching {
                    type_,
                    immutable,
                    differing: if differs { set(&["a"]) } else { set(&[]) },
                }),
            }
        },
    )
}

fn world() -> impl Strategy<Value = World> {
    let target = prop_oneof![
        1 => Just(Target::Unknown),
        2 => Just(Target::Absent),
        7 => present().prop_map(|present| Target::Present(Box::new(present))),
    ];
    let record = proptest::option::of((1..=2_u8, 0..4_u8, verdict()));
    let written = proptest::option::of((1..=2_u8, 0..4_u8));
    let applied = proptest::option::of((prop::bool::ANY, 0..2_u8));
    (target, record, written, applied, prop::bool::weighted(0.1)).prop_map(
        |(target, latest, written, applied, fight)| {
            let revision = Revision {
                generation: 1,
                options: [0; 32],
            };
            let mut contest = Contest::default();
            if fight {
                (0..3).for_each(|_| contest.fought(Fight::Deletion, revision, at(NOW)));
            }
            let history = History {
                written: written.map(|(key, value)| Written {
                    fingerprint: print(key, value),
                    revision,
                }),
                applied: applied.map(|(same, metadata)| Applied {
                    uid: "u1".to_owned(),
                    resource_version: if same { "7" } else { "6" }.to_owned(),
                    metadata: [metadata; 32],
                }),
                latest: latest.map(|(key, value, verdict)| Record {
                    fingerprint: print(key, value),
                    verdict: Some(verdict),
                }),
                contest,
            };
            World {
                target,
                history,
                next: 0,
            }
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let validation = proptest::sample::select(vec![
        Validation::Off,
        Validation::Warn,
        Validation::Hold,
        Validation::Strict,
    ]);
    let immutable = proptest::sample::select(vec![
        Immutable::Never,
        Immutable::Recreate,
        Immutable::Versioned,
    ]);
    let adopt = proptest::sample::select(vec![Adopt::Never, Adopt::IfMatching, Adopt::Merge]);
    (validation, immutable, adopt, any::<[bool; 4]>()).prop_map(
        |(validation, immutable, adopt, [recreate, repair, delete, watch])| Policy {
            validation,
            immutable,
            adopt,
            on_type_change: if recreate {
                OnTypeChange::Recreate
            } else {
                OnTypeChange::Fail
            },
            drift: if repair { Drift::Repair } else { Drift::Report },
            rights: Rights { delete, watch },
        },
    )
}

fn ask(world: &World, content: &Content, policy: &Policy) -> Plan {
    decide(
        &Wanted::Content(Box::new(content.clone())),
        &world.target,
        &world.history,
        policy,
        at(NOW),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Applying a decision makes the next one Skip; without a watch, a confirmation that
    /// changes nothing.
    #[test]
    fn deciding_again_after_a_write_does_nothing((world, content, policy) in (world(), content(), policy())) {
        let mut world = world;
        let plan = ask(&world, &content, &policy);
        world.carry_out(&plan, &content, &policy);
        let again = ask(&world, &content, &policy);
        if !plan.writes() {
            prop_assert_eq!(again, plan);
        } else if policy.rights.watch {
            prop_assert_eq!(again, Plan::Skip(Skip::Unchanged), "after {:?}", plan);
        } else {
            let confirms = matches!(&again, Plan::Apply(apply) if apply.why == Why::Confirm && apply.clear.is_empty());
            prop_assert!(confirms, "{:?} after {:?}", again, plan);
            let before = world.target.clone();
            world.carry_out(&again, &content, &policy);
            prop_assert_eq!(&world.target, &before);
            prop_assert_eq!(ask(&world, &content, &policy), again);
        }
    }

    /// Sync §9: a Secret with keys never becomes one without.
    #[test]
    fn nothing_is_emptied((world, content, policy) in (world(), content(), policy())) {
        let plan = ask(&world, &content, &policy);
        let held = world.present().is_some_and(|present| !present.our_keys.is_empty());
        prop_assert!(!(held && content.keys.is_empty() && plan.writes()), "{:?}", plan);
    }

    /// Types §1: F(n,t) is a subset of F(o,t) for every value that replaces another under Hold and Strict.
    #[test]
    fn nothing_is_downgraded((world, content, policy) in (world(), content(), policy())) {
        let plan = ask(&world, &content, &policy);
        let guarded = matches!(policy.validation, Validation::Hold | Validation::Strict);
        let versioned = policy.immutable == Immutable::Versioned;
        let newest = world.history.latest.as_ref().filter(|_| versioned);
        let there = world.present().and_then(|present| present.record.as_ref());
        let differs = |record: &&Record| record.fingerprint.compare(&content.fingerprint) != Comparison::Same;
        let adopted = world.present().is_some_and(|present| matches!(present.holder, Holder::Ours { adopted: true }));
        let other = newest.filter(|_| !adopted).filter(differs).or(there.filter(differs));
        if let (true, true, Some(Record { verdict: Some(before), .. })) = (plan.writes(), guarded, other) {
            let failing = content.verdict.as_ref().unwrap().failing(at(NOW));
            prop_assert!(failing.is_subset(&before.failing(at(NOW))), "{:?}", plan);
            prop_assert!(policy.validation == Validation::Hold || failing.is_empty(), "{:?}", plan);
        }
    }

    /// Sync §8: what is not ours is written to only by an adoption that both sides asked for.
    #[test]
    fn nothing_foreign_is_taken_silently((world, content, policy) in (world(), content(), policy())) {
        let plan = ask(&world, &content, &policy);
        let Some(present) = world.present() else { return Ok(()) };
        match (&present.holder, &plan) {
            (Holder::Ours { .. } | Holder::Upstream(_), Plan::Adopt { .. }) => prop_assert!(false, "{:?}", plan),
            (Holder::Ours { .. } | Holder::Upstream(_), _) => {}
            (_, Plan::Adopt { .. }) => {
                let matching = present.matching.as_ref();
                prop_assert!(present.consent && policy.adopt != Adopt::Never);
                prop_assert!(matching.is_some_and(|matching| matching.type_), "another type");
                let equal = matching.is_some_and(|matching| matching.differing.is_empty());
                prop_assert!(policy.adopt == Adopt::Merge || equal && present.holder == Holder::Stranger);
            }
            _ => prop_assert!(!plan.writes(), "{:?}", plan),
        }
    }

    /// Sync §9: only what we created is deleted, with the right to, and guarded by uid and resourceVersion.
    #[test]
    fn only_what_we_created_is_deleted((world, content, policy) in (world(), content(), policy())) {
        if let Plan::Recreate { uid, resource_version, .. } = ask(&world, &content, &policy) {
            let present = world.present().unwrap();
            prop_assert_eq!((&uid, &resource_version), (&present.uid, &present.resource_version));
            prop_assert_eq!(&present.holder, &Holder::Ours { adopted: false });
            prop_assert!(policy.rights.delete && !content.keys.is_empty() | present.our_keys.is_empty());
        }
    }

    /// Sync §7 and 8: every write is guarded by the uid that is there, and none happens in a fight.
    #[test]
    fn writes_are_guarded((world, content, policy) in (world(), content(), policy())) {
        let plan = ask(&world, &content, &policy);
        match (&plan, world.present()) {
            (Plan::Apply(Apply { uid, .. }) | Plan::Adopt { uid, .. }, Some(present)) => prop_assert_eq!(uid, &present.uid),
            (Plan::Create { .. } | Plan::NewVersion { .. }, Some(_)) => prop_assert!(false, "{:?}", plan),
            (Plan::Apply(_) | Plan::Adopt { .. } | Plan::Recreate { .. }, None) => prop_assert!(false, "{:?}", plan),
            _ => {}
        }
        let fight = world.history.contest.blocked(content.revision, at(NOW)).is_some();
        prop_assert!(!fight || !plan.writes(), "{:?}", plan);
    }
}
