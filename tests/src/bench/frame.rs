//! Mount requests that are encoded once and sent often, as the bytes of a gRPC message.
//!
//! The driver of this harness encodes, compares and judges each time, which costs more than the
//! provider's answer. What the bytes say comes from it all the same.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use crate::driver::attributes::Volume;

/// The length of a UID.
const UID: usize = 36;

/// The request of one volume, and of equal ones of other pods.
pub(super) struct Frame {
    bytes: Bytes,
    /// Where the pod's UID stands.
    uids: Vec<usize>,
}

impl Frame {
    pub(super) fn of(volume: &Volume) -> Self {
        let message = volume.first_mount();
        let mut bytes = BytesMut::new();
        // Not compressed, then the length (gRPC over HTTP/2, Length-Prefixed-Message).
        bytes.put_u8(0);
        bytes.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
        bytes.put_slice(&message.encode_to_vec());
        let uids = places(&bytes, volume.pod.uid.as_bytes());
        Self {
            bytes: bytes.freeze(),
            uids,
        }
    }

    /// The request as it is: a republish when it was sent before.
    pub(super) fn same(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The request of another pod of the same account: a UID of its own for each number. The token in it
    /// stays that of the first pod, which a provider that shares logins by account does not mind.
    pub(super) fn of_pod(&self, number: usize) -> Bytes {
        let mut bytes = self.bytes.to_vec();
        let uid = uid_of(number);
        for at in &self.uids {
            bytes[*at..at + UID].copy_from_slice(uid.as_bytes());
        }
        bytes.into()
    }
}

/// The UID of the pod with this number.
fn uid_of(number: usize) -> String {
    format!("10ad0000-0000-4000-a000-{number:012x}")
}

fn places(bytes: &[u8], uid: &[u8]) -> Vec<usize> {
    bytes
        .windows(uid.len())
        .enumerate()
        .filter(|(_, window)| *window == uid)
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use coffer_proto::v1alpha1::MountRequest;

    use super::*;
    use crate::driver::attributes::{Class, Pod, ServiceToken};

    fn volume() -> Volume {
        let pod = Pod::new("load", "pod").unwrap();
        let class = Class::new("load").with("roleName", "load");
        Volume::new(pod, class).with_token(ServiceToken::new("vault", "a.b.c"))
    }

    fn decoded(frame: &Bytes) -> MountRequest {
        MountRequest::decode(&frame[5..]).unwrap()
    }

    #[test]
    fn the_frame_of_a_volume_holds_the_drivers_request() {
        let volume = volume();
        let frame = Frame::of(&volume).same();
        assert_eq!(decoded(&frame), volume.first_mount());
        let length = u32::from_be_bytes(frame[1..5].try_into().unwrap());
        assert_eq!(usize::try_from(length).unwrap(), frame.len() - 5);
    }

    #[test]
    fn another_pod_differs_in_its_uid_and_nothing_else() {
        let mut volume = volume();
        let frame = Frame::of(&volume);
        let other = decoded(&frame.of_pod(7));
        volume.pod.uid = uid_of(7);
        assert_eq!(other, volume.first_mount());
        assert_ne!(frame.of_pod(7), frame.of_pod(8));
    }
}
