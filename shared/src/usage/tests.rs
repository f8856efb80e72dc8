use proptest::prelude::*;

use super::*;

fn holder() -> impl Strategy<Value = Holder> {
    let index = (0u64..(1 << 53)).prop_map(|index| StatusIndex::from_u64(index).expect("in range"));
    let org = (0u64..(1 << 53)).prop_map(|org| OrgId::from_u64(org).expect("in range"));
    prop_oneof![
        Just(Holder::None),
        index.clone().prop_map(Holder::Key),
        (index, org.clone(), "[ -~]{1,30}")
            .prop_map(|(index, org, client)| Holder::token(index, org, &client)),
        (org, "[ -~]{1,30}", "[ -~]{1,300}")
            .prop_map(|(org, issuer, subject)| Holder::foreign(org, &issuer, &subject)),
    ]
}

fn count() -> impl Strategy<Value = Count> {
    (
        holder(),
        proptest::option::of("[a-z]{1,4}"),
        "[a-z_]{1,8}",
        prop_oneof![Just(String::new()), Just("DE".to_owned()), Just("T1".to_owned())],
        1u64..1000,
        0u64..100_000,
    )
        .prop_map(|(holder, class, reason, country, requests, last)| Count {
            holder,
            class,
            reason,
            country,
            requests,
            last: UnixMillis(FROM.0 + last),
        })
}

const FROM: UnixMillis = UnixMillis(1_795_219_200_000);

proptest! {
    #[test]
    fn decode_inverts_encode(isolate in any::<[u8; 16]>(), mut counts in proptest::collection::vec(count(), 0..20)) {
        counts.sort_by(|a, b| a.key().cmp(&b.key()));
        counts.dedup_by(|a, b| a.key() == b.key());
        let to = UnixMillis(FROM.0 + 3000);
        let batch = Batch {
            isolate, number: 3, from: FROM, to, next_open: true, uncounted: 7, colo: "FRA".to_owned(), counts,
        };
        prop_assert_eq!(decode(&encode(&batch)), Ok(Record::Batch(batch)));
        let opening = Opening { isolate, number: 1, from: FROM };
        let bytes = encode_opening(&opening);
        prop_assert!(bytes.len() >= MIN_RECORD);
        prop_assert_eq!(decode(&bytes), Ok(Record::Opening(opening)));
    }

    #[test]
    fn what_decodes_is_canonical(mut bytes in proptest::collection::vec(any::<u8>(), 0..80), kind in 0u8..2) {
        for (byte, fixed) in bytes.iter_mut().zip([VERSION, kind]) { *byte = fixed; }
        match decode(&bytes) {
            Ok(Record::Batch(batch)) => prop_assert_eq!(encode(&batch), bytes),
            Ok(Record::Opening(opening)) => prop_assert_eq!(encode_opening(&opening), bytes),
            Err(_) => {}
        }
    }

    #[test]
    fn parcels_survive(store in any::<[u8; 16]>(), waiting in any::<u64>(),
        steps in proptest::collection::vec((1u64..1000, proptest::collection::vec(any::<u8>(), 0..40)), 0..8)) {
        let mut position = 0;
        let records = steps.into_iter().map(|(step, record)| { position += step; (position, record) }).collect();
        let parcel = Parcel { store, waiting, records };
        prop_assert_eq!(Parcel::decode(&parcel.encode()), Ok(parcel));
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let _ = Parcel::decode(&bytes);
        let _ = Collect::decode(&bytes);
        let _ = split_records(&bytes);
    }
}

fn batch(counts: Vec<Count>) -> Batch {
    Batch {
        isolate: [1; 16],
        number: 1,
        from: FROM,
        to: FROM,
        next_open: false,
        uncounted: 0,
        colo: String::new(),
        counts,
    }
}

fn one(holder: Holder, requests: u64) -> Count {
    Count {
        holder,
        class: Some("default".to_owned()),
        reason: "allowed".to_owned(),
        country: String::new(),
        requests,
        last: FROM,
    }
}

#[test]
fn counts_come_once_and_in_order() {
    let index = |n| Holder::Key(StatusIndex::from_u64(n).expect("small"));
    assert!(decode(&encode(&batch(vec![one(index(1), 1), one(index(2), 1)]))).is_ok());
    for wrong in [
        vec![one(index(2), 1), one(index(1), 1)],
        vec![one(index(1), 1), one(index(1), 1)],
        vec![one(index(1), 0)],
        vec![one(index(1), MAX_REQUESTS)],
    ] {
        assert_eq!(decode(&encode(&batch(wrong))), Err(Malformed));
    }
}

#[test]
fn a_long_name_becomes_its_digest() {
    let org = OrgId::from_u64(1).expect("small");
    let Holder::Foreign { name, .. } = Holder::foreign(org, "https://issuer.example", &"x".repeat(4000))
    else {
        panic!("a foreign holder");
    };
    assert!(name.starts_with("sha256:") && name.len() < MAX_NAME, "{name}");
    let bytes = encode(&batch(vec![one(Holder::foreign(org, "i", "a\nb"), 1)]));
    assert!(decode(&bytes).is_ok(), "no control character gets through");
}

#[test]
fn records_of_a_body() {
    let opening = encode_opening(&Opening {
        isolate: [3; 16],
        number: 1,
        from: FROM,
    });
    let body = join_records([opening.as_slice(), opening.as_slice()]);
    assert_eq!(split_records(&body), Ok(vec![opening.as_slice(); 2]));
    assert_eq!(split_records(&[0, 0]), Err(Malformed), "an empty record is none");
}
