//! The lines that people read in a pod's Events.

use super::{Fault, MountFault, ObjectFault, Place, Reason, named};
use crate::problem::Problem;

fn place() -> Place {
    Place {
        role: "app".to_owned(),
        store: "vault.vault:8200".to_owned(),
        namespace: "shop".to_owned(),
        service_account: "web".to_owned(),
    }
}

fn failed(name: &str, path: &str, fault: Fault) -> ObjectFault {
    ObjectFault {
        name: name.to_owned(),
        path: path.to_owned(),
        fault,
    }
}

fn denied() -> Fault {
    Fault::new(
        Reason::Denied,
        "permission denied, Code: 403",
        "the role's policy needs read on this path",
    )
}

#[test]
fn one_object_is_told_with_everything_needed_to_mend_it() {
    let fault = MountFault::Objects {
        total: 2,
        failed: vec![failed("db-password", "secret/data/app/db", denied())],
        place: Box::new(place()),
    };
    assert_eq!(
        fault.to_string(),
        "object \"db-password\": permission denied, Code: 403 (path secret/data/app/db, role app, store vault.vault:8200, \
         service account shop/web): the role's policy needs read on this path [denied]"
    );
    assert_eq!(fault.reason(), Reason::Denied);
}

#[test]
fn several_objects_are_grouped_by_cause() {
    let missing = Fault::new(
        Reason::NotFound,
        "not found: Code: 404",
        "check path and version",
    );
    let fault = MountFault::Objects {
        total: 12,
        failed: vec![
            failed("a", "p", missing.clone()),
            failed("c", "q", denied()),
            failed("b", "p", missing),
        ],
        place: Box::new(place()),
    };
    assert_eq!(
        fault.to_string(),
        "3 of 12 objects failed: \"a\", \"b\": not found: Code: 404 (path p): check path and version; \"c\": permission \
         denied, Code: 403 (path q): the role's policy needs read on this path (role app, store vault.vault:8200, service \
         account shop/web) [not_found]"
    );
}

#[test]
fn a_failed_login_starts_with_the_words_that_people_match() {
    let fault = MountFault::Login {
        fault: Fault::new(
            Reason::LoginRefused,
            "service account name not authorized, Code: 403",
            "bind it to the role",
        ),
        place: Box::new(place()),
    };
    assert_eq!(
        fault.to_string(),
        "failed to login: service account name not authorized, Code: 403 (role app, store vault.vault:8200, service account \
         shop/web): bind it to the role [login_refused]"
    );
}

#[test]
fn input_problems_are_told_together_and_counted_when_they_do_not_fit() {
    let problem = |i: usize| {
        Problem::new(
            format!("objects[{i}].objectName"),
            "\"\" is empty",
            "write a plain relative path",
        )
    };
    let two = MountFault::Input {
        reason: Reason::BadRequest,
        problems: vec![problem(0), problem(1)],
    };
    assert_eq!(
        two.to_string(),
        "objects[0].objectName: \"\" is empty; write a plain relative path | objects[1].objectName: \"\" is empty; write a \
         plain relative path [bad_request]"
    );
    let many = MountFault::Input {
        reason: Reason::BadRequest,
        problems: (0..100).map(problem).collect(),
    };
    let line = many.to_string();
    assert!(
        line.len() <= 700 && line.ends_with(" more [bad_request]"),
        "{line}"
    );
}

#[test]
fn every_line_is_short_whatever_the_names_are() {
    let long = "é".repeat(4000);
    let place = Place {
        role: long.clone(),
        store: long.clone(),
        namespace: long.clone(),
        service_account: long.clone(),
    };
    let object = |i: usize| {
        failed(
            &format!("{i}{long}"),
            &long,
            Fault::new(Reason::StoreError, format!("{i}{long}"), long.clone()),
        )
    };
    for fault in [
        MountFault::Objects {
            total: 40,
            failed: (0..40).map(object).collect(),
            place: Box::new(place.clone()),
        },
        MountFault::Objects {
            total: 1,
            failed: vec![object(0)],
            place: Box::new(place.clone()),
        },
        MountFault::Login {
            fault: Fault::new(Reason::StoreError, long.clone(), long.clone()),
            place: Box::new(place),
        },
        MountFault::Whole(Fault::new(Reason::StoreError, long.clone(), "\u{1b}[31m")),
    ] {
        let line = fault.to_string();
        assert!(
            line.len() <= 700 && line.ends_with("[store_error]"),
            "{} {line}",
            line.len()
        );
        assert!(!line.contains(char::is_control));
    }
}

#[test]
fn objects_are_named_for_a_log_with_their_paths_and_counted_when_they_are_many() {
    let object = |i: usize| failed(&format!("o{i}\n"), "secret/data/a", denied());
    let some: Vec<ObjectFault> = (0..2).map(object).collect();
    assert_eq!(
        named(&some),
        "\"o0\\n\" (path secret/data/a), \"o1\\n\" (path secret/data/a)"
    );
    let many: Vec<ObjectFault> = (0..13).map(object).collect();
    assert!(named(&many).ends_with(", and 3 more"));
}

#[test]
fn all_reasons_are_listed_once() {
    let names: std::collections::BTreeSet<_> =
        Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), 19);
}
