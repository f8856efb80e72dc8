//! Base62 with the digits `0-9A-Za-z`: text that a double click selects whole.
//!
//! Two forms: a number in a fixed width ([`encode_fixed`]), and a whole byte string read as one big-endian number
//! ([`encode_bytes`]). Both are canonical: a value has exactly one text, and the decoder refuses every other.

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^5: five digits at a time fit a `u32` limb, so the long division needs only 64-bit arithmetic.
const CHUNK: u64 = 916_132_832;
const CHUNK_DIGITS: usize = 5;

fn digit(value: u64) -> char {
    let index = usize::try_from(value % 62).unwrap_or(0);
    char::from(DIGITS.get(index).copied().unwrap_or(b'0'))
}

fn value(digit: u8) -> Option<u64> {
    match digit {
        b'0'..=b'9' => Some(u64::from(digit - b'0')),
        b'A'..=b'Z' => Some(u64::from(digit - b'A') + 10),
        b'a'..=b'z' => Some(u64::from(digit - b'a') + 36),
        _ => None,
    }
}

/// `number` in exactly `width` digits, or `None` if it does not fit.
pub fn encode_fixed(mut number: u64, width: usize) -> Option<String> {
    let mut digits = Vec::with_capacity(width);
    for _ in 0..width {
        digits.push(digit(number));
        number /= 62;
    }
    (number == 0).then(|| digits.iter().rev().collect())
}

/// The number behind a text of base62 digits; `None` on a foreign character or overflow.
pub fn decode_fixed(text: &str) -> Option<u64> {
    text.bytes().try_fold(0u64, |number, byte| {
        number.checked_mul(62)?.checked_add(value(byte)?)
    })
}

/// Bytes, read as one big-endian number, in as few digits as possible. The first byte must not be zero (a format's
/// version byte never is): that makes the length part of the number. An empty input gives an empty text.
pub fn encode_bytes(bytes: &[u8]) -> String {
    // Little-endian limbs of 32 bits, divided by 62^5 until nothing is left.
    let mut limbs: Vec<u32> = bytes
        .rchunks(4)
        .map(|chunk| {
            chunk
                .iter()
                .fold(0u32, |limb, byte| (limb << 8) | u32::from(*byte))
        })
        .collect();
    let mut digits = Vec::with_capacity(bytes.len().saturating_mul(3) / 2);
    while !limbs.is_empty() {
        let mut rest = 0u64;
        for limb in limbs.iter_mut().rev() {
            let dividend = (rest << 32) | u64::from(*limb);
            *limb = u32::try_from(dividend / CHUNK).unwrap_or(u32::MAX);
            rest = dividend % CHUNK;
        }
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        for _ in 0..CHUNK_DIGITS {
            digits.push(digit(rest));
            rest /= 62;
        }
    }
    while digits.last() == Some(&'0') {
        digits.pop();
    }
    digits.iter().rev().collect()
}

/// The inverse of [`encode_bytes`]. Refuses foreign characters and a leading zero digit (the same bytes would have two
/// texts otherwise).
pub fn decode_bytes(text: &str) -> Option<Vec<u8>> {
    if text.starts_with('0') {
        return None;
    }
    let mut limbs: Vec<u32> = Vec::with_capacity(text.len() / 5 + 1);
    for chunk in text.as_bytes().chunks(CHUNK_DIGITS) {
        let (mut carry, mut scale) = (0u64, 1u64);
        for byte in chunk {
            carry = carry * 62 + value(*byte)?;
            scale *= 62;
        }
        for limb in &mut limbs {
            let product = u64::from(*limb) * scale + carry;
            *limb = u32::try_from(product & 0xffff_ffff).ok()?;
            carry = product >> 32;
        }
        if carry != 0 {
            limbs.push(u32::try_from(carry).ok()?);
        }
    }
    let bytes: Vec<u8> = limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect();
    let leading = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(leading..).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fixed_width_keeps_leading_zeros_and_refuses_what_does_not_fit() {
        assert_eq!(encode_fixed(61, 3).as_deref(), Some("00z"));
        assert_eq!(encode_fixed(62 * 62, 2), None);
        assert_eq!(decode_fixed("00z"), Some(61));
        assert_eq!(decode_fixed("0_z"), None);
        assert_eq!(decode_fixed("zzzzzzzzzzzz"), None, "overflow");
    }

    proptest! {
        #[test]
        fn bytes_survive(mut bytes in proptest::collection::vec(any::<u8>(), 1..200)) {
            if bytes[0] == 0 { bytes[0] = 1; }
            prop_assert_eq!(decode_bytes(&encode_bytes(&bytes)), Some(bytes));
        }

        #[test]
        fn a_text_that_decodes_is_the_canonical_one(text in "[0-9A-Za-z]{1,180}") {
            if let Some(bytes) = decode_bytes(&text) {
                prop_assert_eq!(encode_bytes(&bytes), text);
            }
        }

        #[test]
        fn numbers_survive(number in 0u64..(1 << 53)) {
            let text = encode_fixed(number, 9).expect("fits");
            prop_assert_eq!(decode_fixed(&text), Some(number));
        }
    }
}
