//! Texts without an author, the same in every run: for each, both sides say the same.
//!
//! Where the server names every bad text of an object, one request asks for hundreds of them.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use coffer_sync_core::key;
use coffer_sync_core::key::metadata::{check_annotation_key, check_key, check_label_value};
use coffer_sync_core::key::name;

use super::{Case, Place};
use crate::world::run;

/// Numbers that look random: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.draw() % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// So many texts of up to six of these characters, and among them some about as long as `limit`.
fn texts(seed: u64, count: usize, alphabet: &str, limit: usize) -> BTreeSet<String> {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut numbers = Numbers(seed);
    let text = |number: usize| {
        let length = numbers.below(7);
        let short: String = (0..length).map(|_| numbers.pick(&alphabet)).collect();
        if number.is_multiple_of(16) {
            let long = "k".repeat(limit - 3 + numbers.below(6));
            return long + &short.chars().take(1).collect::<String>();
        }
        short
    };
    (0..count).map(text).collect()
}

/// Fails unless of all texts these are refused, and enough of both kinds were asked for.
fn same(texts: &BTreeSet<String>, ours: &BTreeSet<&str>, theirs: &BTreeSet<&str>) -> Result<()> {
    let apart: Vec<&&str> = ours.symmetric_difference(theirs).collect();
    ensure!(apart.is_empty(), "the verdicts differ on {apart:?}");
    let taken = texts.len() - ours.len();
    ensure!(taken > 40 && ours.len() > 40, "{taken} of {}", texts.len());
    Ok(())
}

fn those(texts: &BTreeSet<String>, refused: impl Fn(&str) -> bool) -> BTreeSet<&str> {
    let texts = texts.iter().map(String::as_str);
    texts.filter(|text| refused(text)).collect()
}

/// Types §2, row "key": hundreds of keys in one Secret, and then those that are legal
#[test]
fn generated_keys_are_judged_alike() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let keys = texts(1, 500, "aZk09-_..-_aZk/ é\n:", key::MAX_KEY_BYTES);
        let with = |case: Case, key: &String| case.with(key, "v");
        let all = keys.iter().fold(Case::new("Opaque"), with);
        let judged = place.judge(&all).await?;
        let theirs = those(&keys, |key| {
            judged.reply.refuses(&format!("data[{key}]"), key)
        });
        let ours = those(&keys, |key| key::check(key).is_err());
        same(&keys, &ours, &theirs)?;
        let legal = keys.iter().filter(|key| !ours.contains(key.as_str()));
        let legal = legal.fold(Case::new("Opaque"), with);
        place.judge(&legal).await?.taken()
    })
}

/// Types §2, rows "name = DNS-1123 subdomain" and "name with `/`": hundreds of names, one request each
#[test]
fn generated_names_are_judged_alike() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let names = texts(2, 400, "abcz0129abcz0129-.A_é %?#/", name::MAX_NAME_BYTES);
        let mut theirs = BTreeSet::new();
        for text in &names {
            let judged = place.judge(&Case::opaque().named(text)).await?;
            if !judged.reply.accepted() {
                theirs.insert(text.as_str());
            }
        }
        let ours = those(&names, |text| name::check(text).is_err());
        same(&names, &ours, &theirs)
    })
}

/// Types §2, row "annotations <= 262 144 bytes; label value <= 63": hundreds of values of labels in one Secret
#[test]
fn generated_values_of_labels_are_judged_alike() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let values = texts(3, 400, "aZk09aZk09-_. é/", 63);
        let with = |case: Case, (number, value): (usize, &String)| {
            case.label(&format!("l{number}"), value)
        };
        let all = values.iter().enumerate().fold(Case::opaque(), with);
        let judged = place.judge(&all).await?;
        let theirs = those(&values, |value| {
            judged.reply.refuses("metadata.labels", value)
        });
        let ours = those(&values, |value| check_label_value(value).is_err());
        same(&values, &ours, &theirs)
    })
}

/// Types §2, row "annotations <= 262 144 bytes; label value <= 63": hundreds of keys of labels and of annotations
#[test]
fn generated_keys_of_labels_and_annotations_are_judged_alike() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let keys = texts(4, 800, "aZk09aZk09-_./ é\u{130}", 63);
        let label = |case: Case, key: &String| case.label(key, "v");
        let judged = place
            .judge(&keys.iter().fold(Case::opaque(), label))
            .await?;
        let theirs = those(&keys, |key| judged.reply.refuses("metadata.labels", key));
        same(&keys, &those(&keys, |key| check_key(key).is_err()), &theirs)?;

        let annotation = |case: Case, key: &String| case.annotation(key, "v");
        let judged = place
            .judge(&keys.iter().fold(Case::opaque(), annotation))
            .await?;
        let theirs = those(&keys, |key| {
            judged.reply.refuses("metadata.annotations", key)
        });
        let ours = those(&keys, |key| check_annotation_key(key).is_err());
        same(&keys, &ours, &theirs)
    })
}

/// Types §4.3, both rows about content: a sound file with one or two faults, or none
#[test]
fn generated_docker_files_are_judged_alike() -> Result<()> {
    const SOUND: &[u8] =
        br#"{"auths":{"r.example":{"auth":"dDpw","n":[1,-0.5e3,null,true]}},"auths":{}}"#;
    const PIECES: [&[u8]; 24] = [
        b"", b"", b"{", b"}", b"[", b"]", b":", b",", b"\"", b"\\", b"0", b"-", b".", b"e9",
        b"1e309", b" ", b"\n", b"\0", b"\xff", b"\\u12", b"\\ud800", b"null", b"\"a\"", b"/",
    ];
    run(async {
        let place = Place::new().await?;
        let mut numbers = Numbers(5);
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..400 {
            let mut file = SOUND.to_vec();
            for _ in 0..=numbers.below(2) {
                let at = numbers.below(file.len());
                let end = at + numbers.below(2);
                file.splice(at..end, numbers.pick(&PIECES).iter().copied());
            }
            let case = Case::new("kubernetes.io/dockerconfigjson").with(".dockerconfigjson", file);
            let judged = place.judge(&case).await?;
            let accepted = judged.reply.accepted();
            taken += usize::from(accepted);
            refused += usize::from(!accepted);
        }
        ensure!(
            taken > 40 && refused > 40,
            "{taken} taken, {refused} refused"
        );
        Ok(())
    })
}
