//! Limits in bytes: the sum of the values, which the server counts, and the whole object, which etcd does.
//!
//! The latter shows only in writes that are carried out.

use anyhow::{Context, Result, bail, ensure};
use coffer_sync_core::answer::{Kind, Next};
use coffer_sync_core::decide::Refusal;
use coffer_sync_core::validate::Check;
use http::Method;

use super::{Case, JSON, Place, Reply, bytes};
use crate::world::run;

const MEBIBYTE: usize = 1 << 20;
const ETCD: &str = "etcdserver: request is too large";
const CONNECTION: &str = "trying to send message larger than max";

fn sized(sizes: &[(&str, usize)]) -> Case {
    sizes.iter().fold(Case::new("Opaque"), |case, (key, size)| {
        case.with(key, vec![b'x'; *size])
    })
}

/// A value of this size, and so many empty values under keys of 250 bytes.
fn long_keys(value: usize, keys: usize) -> Case {
    let case = sized(&[("value", value)]).named(&format!("{value}-{keys}"));
    (0..keys).fold(case, |case, number| {
        case.with(&format!("{number:04}{}", "k".repeat(246)), "")
    })
}

/// Types §2, row "sum of the values": exactly 1 MiB and one byte more, in one or two keys; keys are not counted
#[test]
fn values_may_have_a_mebibyte_together_for_both_sides() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        let long = "k".repeat(253);
        for sizes in [
            &[("one", MEBIBYTE)][..],
            &[("one", MEBIBYTE / 2), ("two", MEBIBYTE / 2)],
            &[("one", MEBIBYTE), (long.as_str(), 0)],
        ] {
            place.judge(&sized(sizes)).await?.taken()?;
        }
        for sizes in [
            &[("one", MEBIBYTE + 1)][..],
            &[("one", MEBIBYTE / 2), ("two", MEBIBYTE / 2 + 1)],
        ] {
            let judged = place.judge(&sized(sizes)).await?;
            let words = "data: Too long: may not be more than 1048576 bytes";
            judged.says(422, &[words])?;
            let found = judged.findings.list();
            let told = found.iter().find(|one| one.check == Check::DataSize);
            let told = &told.context("no size told")?.what;
            for (key, size) in sizes {
                ensure!(told.contains(&format!("{key} {size}")), "{told}");
            }
        }
        Ok(())
    })
}

/// Types §2, row "total object": no rule of the server's, so both sides take it; etcd does not, and what it answers is
/// refused for good. Our warning comes before either limit, our estimate is what the server counts
#[test]
fn an_object_that_etcd_does_not_take_is_refused_for_good() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for (value, keys, warned, words) in [
            (900_000, 900, false, None),
            (MEBIBYTE, 1000, true, None),
            (900_000, 1500, true, Some(ETCD)),
            (MEBIBYTE, 1500, true, Some(ETCD)),
            (MEBIBYTE, 3000, true, Some(CONNECTION)),
        ] {
            let case = long_keys(value, keys);
            let judged = place.judge(&case).await?;
            judged.taken()?;
            ensure!(judged.finds(Check::SizeNearLimit) == warned, "{keys}");
            let reply = place.apply(&case).await?;
            let Some(words) = words else {
                reply.taken()?;
                continue;
            };
            reply.says(500, &[words])?;
            refused_for_good(&reply)?;
            let Ok(rendered) = case.rendered(&place.namespace) else {
                bail!("render refuses {keys} keys");
            };
            ensure!(rendered.size().near_limit());
            if words == CONNECTION {
                near(rendered.size().object, told_size(&reply.message)?)?;
            }
        }
        Ok(())
    })
}

fn refused_for_good(reply: &Reply) -> Result<()> {
    ensure!(reply.answer().kind() == Kind::TooLarge);
    let next = reply.answer().next("told".to_owned());
    ensure!(
        next == Next::Refuse(Refusal::TooLarge("told".to_owned())),
        "{next:?}"
    );
    Ok(())
}

/// `.. larger than max (2596894 vs. 2097152)` gives the first number.
fn told_size(message: &str) -> Result<usize> {
    let size = message
        .split_once("max (")
        .and_then(|(_, rest)| rest.split_once(" vs. "));
    let (size, _) = size.with_context(|| message.to_owned())?;
    Ok(size.parse()?)
}

/// Fails unless the estimate is within a hundredth of the truth.
fn near(estimate: usize, truth: usize) -> Result<()> {
    let off = estimate.abs_diff(truth);
    ensure!(off * 100 < truth, "estimated {estimate}, is {truth}");
    Ok(())
}

/// Types §2, row "total object": without ownership, by a plain create, more keys fit
#[test]
fn a_create_without_ownership_holds_more_keys_than_an_apply() -> Result<()> {
    run(async {
        let place = Place::new().await?;
        for (keys, words) in [(2000, None), (2500, Some(ETCD))] {
            let document = long_keys(MEBIBYTE, keys).document();
            let reply = place
                .send(Method::POST, &place.secrets(), JSON, bytes(&document))
                .await?;
            match words {
                None => reply.taken()?,
                Some(words) => {
                    reply.says(500, &[words])?;
                    refused_for_good(&reply)?;
                }
            }
        }
        Ok(())
    })
}
