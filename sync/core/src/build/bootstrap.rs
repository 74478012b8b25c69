//! `token`, as people copy it: `id.secret`.

use super::{BuildReason, Work};

const TOKEN: &str = "token";
const TOKEN_ID: &str = "token-id";
const TOKEN_SECRET: &str = "token-secret";

pub(super) fn build(work: &mut Work) {
    if !work.wants(TOKEN, &[TOKEN_ID, TOKEN_SECRET]) {
        return;
    }
    let Some(value) = work.take_line(TOKEN) else {
        return;
    };
    match value.split_once('.') {
        Some((id, secret)) => {
            work.put(TOKEN_ID, id.as_bytes().to_vec());
            work.put(TOKEN_SECRET, secret.as_bytes().to_vec());
        }
        None => work.fault(
            BuildReason::Unreadable,
            TOKEN,
            "there is no '.' in it",
            "store id.secret, as kubeadm prints it",
        ),
    }
}
