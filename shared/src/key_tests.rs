use proptest::prelude::*;

use super::*;

fn statement() -> impl Strategy<Value = Statement> {
    let ids = (
        1u64..200,
        0u64..(1 << 32),
        0u64..(1 << 32),
        0u64..(1 << 32),
        proptest::option::of(0u64..(1 << 32)),
    );
    let rest = (
        0u64..(1 << 14),
        0u64..(1 << 27),
        proptest::option::of(1u64..(1 << 27)),
        any::<[u8; 8]>(),
    );
    (ids, rest).prop_map(
        |((key, index, org, user, workspace), (scopes, issued, lifetime, nonce))| Statement {
            signing_key: SigningKeyId::from_u64(key).expect("in range"),
            index: StatusIndex::from_u64(index).expect("in range"),
            org: OrgId::from_u64(org).expect("in range"),
            user: UserId::from_u64(user).expect("in range"),
            workspace: workspace.and_then(WorkspaceId::from_u64),
            scopes: ScopeSet(scopes),
            issued_at: EPOCH.saturating_add(issued),
            expires_at: lifetime.map(|seconds| EPOCH.saturating_add(issued).saturating_add(seconds)),
            nonce,
        },
    )
}

fn sample(statement: &Statement) -> PlainKey {
    build("pc", Environment::Live, statement, |_| Ok::<_, ()>([0xff; 64])).expect("builds")
}

proptest! {
    #[test]
    fn parse_inverts_build(statement in statement(), signature in proptest::collection::vec(any::<u8>(), 64)) {
        let signature: [u8; 64] = signature.try_into().expect("64 bytes");
        let mut signed = Vec::new();
        let key = build("pc", Environment::Test, &statement, |message| {
            signed = message.to_vec();
            Ok::<_, ()>(signature)
        }).expect("builds");
        prop_assert!(key.expose().len() <= MAX_LENGTH);
        let parsed = parse(key.expose()).expect("parses");
        prop_assert_eq!(parsed.statement, statement);
        prop_assert_eq!(parsed.message, signed);
        prop_assert_eq!(parsed.signature, signature);
        prop_assert_eq!((parsed.brand, parsed.environment), ("pc", Environment::Test));
    }

    #[test]
    fn every_single_bit_flip_is_rejected(statement in statement()) {
        let key = sample(&statement);
        for position in 0..key.expose().len() {
            for bit in 0..8 {
                let mut bytes = key.expose().as_bytes().to_vec();
                bytes[position] ^= 1 << bit;
                if let Ok(text) = std::str::from_utf8(&bytes) {
                    prop_assert!(parse(text).is_err(), "{text}");
                }
            }
        }
    }

    #[test]
    fn every_truncation_is_rejected(statement in statement()) {
        let key = sample(&statement);
        for length in 0..key.expose().len() {
            prop_assert!(parse(&key.expose()[..length]).is_err());
        }
    }

    #[test]
    fn nothing_panics(text in "\\PC{0,200}") {
        let _ = parse(&text);
        let _ = has_key_shape(&text);
    }

    #[test]
    fn a_text_with_a_right_checksum_has_one_form(body in "pc_live_[0-9A-Za-z]{90,146}") {
        let text = format!("{body}{}", check_digits(&body));
        if let Ok(parsed) = parse(&text) {
            let again = build("pc", Environment::Live, &parsed.statement, |_| Ok::<_, ()>(parsed.signature));
            let again = again.expect("builds");
            prop_assert_eq!(again.expose(), text);
        }
    }
}

#[test]
fn brands_and_times_are_checked() {
    let good = Statement {
        signing_key: SigningKeyId::from_u64(1).expect("in range"),
        index: StatusIndex::from_u64(7).expect("in range"),
        org: OrgId::from_u64(1).expect("in range"),
        user: UserId::from_u64(1).expect("in range"),
        workspace: None,
        scopes: ScopeSet(1),
        issued_at: EPOCH,
        expires_at: Some(EPOCH),
        nonce: [0; 8],
    };
    let sign = |_: &[u8]| Ok::<_, ()>([0; 64]);
    assert_eq!(
        build("pc", Environment::Live, &good, sign),
        Err(BuildError::Times)
    );
    let good = Statement {
        expires_at: None,
        ..good
    };
    assert_eq!(
        build("Pc", Environment::Live, &good, sign),
        Err(BuildError::Brand)
    );
    let huge = (1 << 53) - 1;
    let long = Statement {
        org: OrgId::from_u64(huge).expect("in range"),
        user: UserId::from_u64(huge).expect("in range"),
        workspace: WorkspaceId::from_u64(huge),
        index: StatusIndex::from_u64(huge).expect("in range"),
        scopes: ScopeSet::ALL,
        ..good.clone()
    };
    assert_eq!(
        build("pc", Environment::Live, &long, sign),
        Err(BuildError::TooLong)
    );
    let key = build("pc", Environment::Live, &good, sign).expect("builds");
    assert!(key.masked().starts_with("pc_live_…") && key.masked().chars().count() == 13);
    assert_eq!(format!("{key:?}"), "PlainKey(redacted)");
}

/// The check value that every list of CRCs gives for this one.
#[test]
fn the_checksum_is_that_of_zlib() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    assert_eq!(crc32(b""), 0);
}
