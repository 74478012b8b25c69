//! `userinfo`, as in a URL: `user:password`.

use super::{BuildReason, Work};
use crate::secret_type::{PASSWORD, USERNAME};

const USERINFO: &str = "userinfo";

pub(super) fn build(work: &mut Work) {
    if !work.wants(USERINFO, &[USERNAME, PASSWORD]) {
        return;
    }
    let Some(value) = work.take_line(USERINFO) else {
        return;
    };
    match value.split_once(':') {
        Some((user, password)) => {
            work.put(USERNAME, user.as_bytes().to_vec());
            work.put(PASSWORD, password.as_bytes().to_vec());
        }
        None => work.fault(
            BuildReason::Unreadable,
            USERINFO,
            "there is no ':' in it",
            "store user:password",
        ),
    }
}
