//! The draft's own vectors, in both directions. What a list says of credentials is tested in `oauth::tests::status_lists`.

use miniz_oxide::inflate::decompress_to_vec_zlib;
use serde::Deserialize;
use shared::crypto::from_base64url;

use super::bits::Bits;

#[derive(Deserialize)]
struct Vector {
    bits: u8,
    entries: u64,
    statuses: Vec<(u64, u8)>,
    lst: String,
}

#[derive(Deserialize)]
struct Vectors {
    vectors: Vec<Vector>,
}

fn inflate(lst: &str) -> Vec<u8> {
    decompress_to_vec_zlib(&from_base64url(lst).expect("base64url")).expect("zlib")
}

#[test]
fn the_drafts_vectors() {
    let Vectors { vectors } = serde_json::from_str(include_str!("vectors.json")).expect("JSON");
    assert_eq!(
        vectors.iter().map(|vector| vector.bits).collect::<Vec<_>>(),
        [1, 2, 1, 2, 4, 8]
    );
    for vector in vectors {
        let mut list = Bits::new(vector.bits, vector.entries);
        for (position, status) in &vector.statuses {
            list.set(*position, *status);
        }
        // Compressors differ, so what comes out is compared, not what went through.
        assert_eq!(
            inflate(&list.encode()),
            inflate(&vector.lst),
            "{} bits",
            vector.bits
        );
    }
}

#[test]
fn what_does_not_fit_changes_nothing_else() {
    let mut list = Bits::new(2, 8);
    for position in [8, 9, u64::MAX] {
        list.set(position, 3);
    }
    assert_eq!(inflate(&list.encode()), [0, 0]);
    list.set(1, 0xff);
    assert_eq!(inflate(&list.encode()), [0b1100, 0]);
    list.set(1, 1);
    assert_eq!(inflate(&list.encode()), [0b0100, 0], "a later status replaces it");
}

/// A verifier fetches the list every minute: a thousand revocations among a million indexes are a few kilobytes.
#[test]
fn a_sparse_list_is_small() {
    let mut list = Bits::new(2, 1 << 20);
    assert!(list.encode().len() < 512, "{}", list.encode().len());
    for number in 0..1000_u64 {
        // Spread as random indexes are.
        list.set(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44, 1);
    }
    assert!(list.encode().len() < 5_000, "{}", list.encode().len());
}
