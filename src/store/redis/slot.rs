//! The hash slot of a key, by the Redis Cluster specification.

use crc::{CRC_16_XMODEM, Crc};

/// How many slots a Cluster has.
pub const CLUSTER_SLOTS: usize = 16_384;

const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

pub(super) fn slot_of(key: &[u8]) -> u16 {
    CRC.checksum(hashed(key)) % CLUSTER_SLOTS as u16
}

/// What stands between the first `{` and the next `}`, if anything does. Otherwise the whole key.
fn hashed(key: &[u8]) -> &[u8] {
    let tagged = || {
        let open = key.iter().position(|byte| *byte == b'{')?;
        let rest = &key[open + 1..];
        let close = rest.iter().position(|byte| *byte == b'}')?;
        Some(&rest[..close]).filter(|tag| !tag.is_empty())
    };
    tagged().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(CRC.checksum(b"123456789"), 0x31C3);
        for (key, hashed) in [
            ("{user1000}.following", "user1000"),
            ("{user1000}.followers", "user1000"),
            ("foo{}{bar}", "foo{}{bar}"),
            ("foo{{bar}}zap", "{bar"),
            ("foo{bar}{zap}", "bar"),
            ("foo{bar", "foo{bar"),
            ("foo}bar{", "foo}bar{"),
            ("", ""),
        ] {
            assert_eq!(super::hashed(key.as_bytes()), hashed.as_bytes(), "{key}");
            assert_eq!(slot_of(key.as_bytes()), slot_of(hashed.as_bytes()), "{key}");
        }
        // As `CLUSTER KEYSLOT` answers.
        assert_eq!([slot_of(b"foo"), slot_of(b"{user1000}.following"), slot_of(b"wxmint:ended")], [12182, 3443, 3559]);
    }
}
