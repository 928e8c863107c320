//! The hash slot of a key, by the Redis Cluster specification. (redis-rs' `cluster_routing::Slot` does not give its
//! number.)

/// How many slots a Cluster has.
pub const CLUSTER_SLOTS: usize = 16_384;

/// The slot of a key, which has the same slot as its hash tag.
pub fn slot_of(key: &[u8]) -> u16 {
    crc16(hashed(key)) % CLUSTER_SLOTS as u16
}

/// The text between the first `{` and the next `}`, if there is any. Otherwise the whole key.
fn hashed(key: &[u8]) -> &[u8] {
    let tagged = || {
        let rest = &key[key.iter().position(|byte| *byte == b'{')? + 1..];
        let tag = &rest[..rest.iter().position(|byte| *byte == b'}')?];
        (!tag.is_empty()).then_some(tag)
    };
    tagged().unwrap_or(key)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        let shifted = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 };
        (0..8).fold(crc ^ u16::from(*byte) << 8, shifted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>.
    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
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
