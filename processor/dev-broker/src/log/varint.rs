//! Variable-length integers of the record format: zigzag, seven bits a byte, the lowest first.

/// Takes one off the front of `bytes`; `None` where none of 64 bits is.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut raw = 0_u64;
    for (at, &byte) in bytes.iter().enumerate().take(10) {
        // The tenth byte has room for one bit.
        if at == 9 && byte > 1 {
            return None;
        }
        raw |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            *bytes = &bytes[at + 1..];
            return Some((raw >> 1) as i64 ^ -((raw & 1) as i64));
        }
    }
    None
}

/// Takes a length off the front of `bytes`: -1, which stands for null, or at most what is left.
pub(crate) fn take_length(bytes: &mut &[u8]) -> Option<Option<usize>> {
    match take(bytes)? {
        -1 => Some(None),
        length => usize::try_from(length).ok().filter(|it| *it <= bytes.len()).map(Some),
    }
}

pub(crate) fn put(bytes: &mut Vec<u8>, value: i64) {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    while raw >= 0x80 {
        bytes.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    bytes.push(raw as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in
            [0, -1, 1, 63, -64, 64, 300, i64::from(i32::MAX), i64::from(i32::MIN), i64::MAX, i64::MIN]
        {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            bytes.push(0xee);
            let mut rest = &bytes[..];
            assert_eq!(take(&mut rest), Some(value));
            assert_eq!(rest, [0xee]);
        }
    }

    #[test]
    fn what_does_not_end_is_none() {
        assert_eq!(take(&mut &[][..]), None);
        assert_eq!(take(&mut &[0x80; 9][..]), None);
        assert_eq!(take(&mut &[0x80; 20][..]), None);
        assert_eq!(take(&mut &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02][..]), None);
        assert_eq!(take_length(&mut &[6, 1, 2][..]), None, "three bytes where two are left");
        assert_eq!(take_length(&mut &[3, 1, 2][..]), None, "-2 bytes");
        assert_eq!(take_length(&mut &[1][..]), Some(None));
        assert_eq!(take_length(&mut &[4, 1, 2][..]), Some(Some(2)));
    }
}
