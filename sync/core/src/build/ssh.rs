//! `ssh-pem`: the key with LF line ends and a last one, as OpenSSH reads it.

use super::Work;
use crate::secret_type::SSH_PRIVATEKEY;

const SSH_PEM: &str = "ssh-pem";

pub(super) fn build(work: &mut Work) {
    if !work.wants(SSH_PEM, &[SSH_PRIVATEKEY]) {
        return;
    }
    let Some(value) = work.take(SSH_PEM) else {
        return;
    };
    let text = value.expose();
    let mut key = Vec::with_capacity(text.len() + 1);
    for (at, byte) in text.iter().enumerate() {
        if *byte != b'\r' || text.get(at + 1) != Some(&b'\n') {
            key.push(*byte);
        }
    }
    if !key.is_empty() && !key.ends_with(b"\n") {
        key.push(b'\n');
    }
    work.put(SSH_PRIVATEKEY, key);
}
