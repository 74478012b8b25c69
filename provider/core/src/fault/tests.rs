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
        "3 of 12 objects failed: \"a\", \"b\" (path p): not found: Code: 404: check path and version; \"c\" (path q): \
         permission denied, Code: 403: the role's policy needs read on this path (role app, store vault.vault:8200, service \
         account shop/web) [not_found]"
    );
}

fn no_key(path: &str, key: &str) -> Fault {
    Fault::new(
        Reason::NotFound,
        format!("{{{path}}}: {{key \"{key}\" does not exist at the secret path}}"),
        "check secretKey, and its case",
    )
}

fn sealed() -> Fault {
    Fault::new(
        Reason::StoreState,
        "store is sealed, Vault is sealed, Code: 503",
        "unseal it",
    )
}

fn line(total: usize, failed: Vec<ObjectFault>, place: Place) -> String {
    let place = Box::new(place);
    let line = MountFault::Objects {
        total,
        failed,
        place,
    }
    .to_string();
    assert!(line.len() <= 700, "{} bytes: {line}", line.len());
    line
}

#[test]
fn a_few_missing_keys_are_all_named() {
    let missing = |at: usize| {
        let path = format!("secret/data/{at}");
        failed(&format!("o{at}"), &path, no_key(&path, &format!("k{at}")))
    };
    assert_eq!(
        line(3, vec![missing(1), missing(2)], place()),
        "2 of 3 objects failed: \"o1\" (path secret/data/1): {key \"k1\" does not exist at the secret path}; \"o2\" (path \
         secret/data/2): {key \"k2\" does not exist at the secret path}: check secretKey, and its case (role app, store \
         vault.vault:8200, service account shop/web) [not_found]"
    );
}

#[test]
fn many_missing_keys_are_one_cause() {
    let missing = |at: usize| {
        let path = format!("secret/data/app/{at}");
        failed(
            &format!("name-{at}"),
            &path,
            no_key(&path, &format!("key-{at}")),
        )
    };
    assert_eq!(
        line(14, (0..14).map(missing).collect(), place()),
        "14 of 14 objects failed: \"name-0\" (path secret/data/app/0), \"name-1\" (path secret/data/app/1), \"name-2\" (path \
         secret/data/app/2), \"name-3\" (path secret/data/app/3), \"name-4\" (path secret/data/app/4), \"name-5\" (path \
         secret/data/app/5), \"name-6\" (path secret/data/app/6), \"name-7\" (path secret/data/app/7), \"name-8\" (path \
         secret/data/app/8), \"name-9\" (path secret/data/app/9), and 4 more: {key \"key-0\" does not exist at the secret \
         path}, others similar: check secretKey, and its case (role app, store vault.vault:8200, service account shop/web) \
         [not_found]"
    );
    // Of one path it is told once.
    let missing = |at: usize| failed(&format!("o{at}"), "p", no_key("p", &format!("key-{at}")));
    assert_eq!(
        line(20, (0..14).map(missing).collect(), place()),
        "14 of 20 objects failed: \"o0\", \"o1\", \"o2\", \"o3\", \"o4\", \"o5\", \"o6\", \"o7\", \"o8\", \"o9\" (path p), and 4 \
         more: {key \"key-0\" does not exist at the secret path}, others similar: check secretKey, and its case (role app, store \
         vault.vault:8200, service account shop/web) [not_found]"
    );
}

#[test]
fn hints_that_go_on_with_a_path_are_one_cause() {
    let missing = |at: usize| {
        let hint = format!(
            "check path and version; if secret is KV version 1, the path has no data/: secret/{at}"
        );
        let fault = Fault::new(Reason::NotFound, "not found: Code: 404", hint);
        failed(&format!("o{at}"), &format!("secret/data/{at}"), fault)
    };
    assert_eq!(
        line(14, (0..14).map(missing).collect(), place()),
        "14 of 14 objects failed: \"o0\" (path secret/data/0), \"o1\" (path secret/data/1), \"o2\" (path secret/data/2), \"o3\" \
         (path secret/data/3), \"o4\" (path secret/data/4), \"o5\" (path secret/data/5), \"o6\" (path secret/data/6), \"o7\" (path \
         secret/data/7), \"o8\" (path secret/data/8), \"o9\" (path secret/data/9), and 4 more: not found: Code: 404: check path \
         and version; if secret is KV version 1, the path has no data/: secret/0 (role app, store vault.vault:8200, service \
         account shop/web) [not_found]"
    );
}

#[test]
fn each_denied_path_stands_beside_its_name() {
    let refused = |at: usize| failed(&format!("o{at}"), &format!("secret/data/{at}"), denied());
    assert_eq!(
        line(4, (0..4).map(refused).collect(), place()),
        "4 of 4 objects failed: \"o0\" (path secret/data/0), \"o1\" (path secret/data/1), \"o2\" (path secret/data/2), \"o3\" \
         (path secret/data/3): permission denied, Code: 403: the role's policy needs read on this path (role app, store \
         vault.vault:8200, service account shop/web) [denied]"
    );
}

#[test]
fn names_stay_where_long_paths_would_push_them_out() {
    let path = |at: usize| format!("secret/data/{}/{at}/credentials", "team/".repeat(30));
    let refused = |at: usize| failed(&format!("o{at}"), &path(at), denied());
    let six = line(6, (0..6).map(refused).collect(), place());
    let ten = line(12, (0..12).map(refused).collect(), place());
    for at in 0..6 {
        let end = format!("/{at}/credentials)");
        assert!(
            six.contains(&format!("\"o{at}\" (path secret/")) && six.contains(&end),
            "{six}"
        );
    }
    assert!(
        ten.contains("\"o0\", \"o1\", \"o2\", \"o3\", \"o4\", \"o5\", \"o6\", \"o7\", \"o8\", \"o9\", and 2 more: permission"),
        "{ten}"
    );
}

/// Whatever the names are, a line tells how many, where, why and what helps.
#[test]
fn no_name_is_so_long_that_place_and_hint_are_lost() {
    let long = Place {
        role: "r".repeat(300),
        store: format!("{}:8200", "s".repeat(253)),
        namespace: "n".repeat(63),
        service_account: "a".repeat(253),
    };
    let path = |at: usize| format!("secret/data/{}/{at}", "p".repeat(400));
    let name = |at: usize| format!("{at}-{}", "o".repeat(253));
    let of = |at: usize, fault: Fault| failed(&name(at), &path(at), fault);
    let missing = |at: usize| of(at, no_key(&path(at)[..40], &"k".repeat(40)));
    let mixed = || {
        let mut mixed: Vec<_> = (0..5).map(missing).collect();
        mixed.extend((5..9).map(|at| of(at, denied())));
        mixed.extend((9..12).map(|at| of(at, sealed())));
        mixed
    };
    let key = "does not exist at the secret path";
    let (denial, policy) = (
        "permission denied, Code: 403",
        "the role's policy needs read on this path",
    );
    let (case, seal) = ("check secretKey, and its case", "unseal it");
    let rows: [(&str, Vec<ObjectFault>, &[&str]); 5] = [
        ("object \"0-ooo", vec![missing(0)], &[key, case]),
        (
            "14 of 1000 ",
            (0..14).map(missing).collect(),
            &[key, case, "\"0-ooo", " more: "],
        ),
        (
            "4 of 1000 ",
            (0..4).map(|at| of(at, denied())).collect(),
            &[denial, policy, "\"0-ooo"],
        ),
        (
            "12 of 1000 ",
            mixed(),
            &[
                key,
                case,
                denial,
                policy,
                "Code: 503",
                seal,
                "\"0-",
                "\"5-",
                "\"9-",
            ],
        ),
        (
            "1000 of 1000 ",
            (0..1000).map(missing).collect(),
            &[key, case, " more: "],
        ),
    ];
    for (front, failed, words) in rows {
        for place in [&long, &place()] {
            let end = format!(" [{}]", failed[0].fault.reason.as_str());
            let text = line(1000, failed.clone(), place.clone());
            assert!(text.starts_with(front) && text.ends_with(&end), "{text}");
            for words in words {
                assert!(text.contains(words), "{words} in {text}");
            }
            for words in [
                format!("role {}", &place.role[..3]),
                format!("store {}", &place.store[..11]),
                format!(
                    "service account {}/{}",
                    place.namespace,
                    &place.service_account[..3]
                ),
            ] {
                assert!(text.contains(&words), "{words} in {text}");
            }
        }
    }
}

#[test]
fn causes_for_which_there_is_no_room_are_counted() {
    let each = |at: usize| {
        let fault = Fault::new(
            Reason::BadRequest,
            "w".repeat(200),
            format!("{at} {}", "h".repeat(50)),
        );
        failed(&format!("o{at}"), "p", fault)
    };
    let text = line(12, (0..12).map(each).collect(), place());
    assert!(
        text.contains("\"o0\"") && text.contains("; and 7 more (role app, store vault.vault:8200, service account shop/web) [bad_request]"),
        "{text}"
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
fn a_long_answer_to_a_login_leaves_room_for_place_and_hint() {
    let what = format!("{}, Code: 403", "permission denied ".repeat(100));
    let fault = MountFault::Login {
        fault: Fault::new(Reason::LoginRefused, what, "bind it to the role"),
        place: Box::new(place()),
    };
    let line = fault.to_string();
    let end = ", Code: 403 (role app, store vault.vault:8200, service account shop/web): bind it to the role [login_refused]";
    assert!(line.len() <= 700 && line.ends_with(end), "{line}");
    assert!(
        line.starts_with("failed to login: permission denied "),
        "{line}"
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
    assert_eq!(named(&some), "\"o0\\n\", \"o1\\n\" (path secret/data/a)");
    let many: Vec<ObjectFault> = (0..13).map(object).collect();
    assert!(named(&many).ends_with(", and 3 more"));
}

#[test]
fn all_reasons_are_listed_once() {
    let names: std::collections::BTreeSet<_> =
        Reason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), 19);
}
