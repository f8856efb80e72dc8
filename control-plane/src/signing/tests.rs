use std::os::unix::fs::PermissionsExt;

use shared::id::SigningKeyId;

use super::*;

fn number(id: u64) -> SigningKeyId {
    SigningKeyId::from_u64(id).expect("small")
}

#[test]
fn a_sealed_key_opens_only_in_its_place() {
    let keyed = |byte| master::Masters::from(MasterKey::for_tests(byte));
    let master = keyed(1);
    let key = PrivateKey::generate(Purpose::ApiKey).expect("a key");
    let sealed = key.seal(&master, Purpose::ApiKey, number(3)).expect("sealed");
    let opened = PrivateKey::open(&master, Purpose::ApiKey, number(3), &sealed).expect("opened");
    assert_eq!(opened.public().expect("public"), key.public().expect("public"));
    assert_ne!(
        sealed,
        key.seal(&master, Purpose::ApiKey, number(3)).expect("sealed"),
        "a fresh nonce each time"
    );
    let elsewhere = [
        (keyed(2), Purpose::ApiKey, 3),
        (keyed(1), Purpose::Feed, 3),
        (keyed(1), Purpose::ApiKey, 4),
    ];
    for (master, purpose, id) in elsewhere {
        assert!(
            PrivateKey::open(&master, purpose, number(id), &sealed).is_err(),
            "{purpose} {id}"
        );
    }
    for at in 0..sealed.len() {
        let mut damaged = sealed.clone();
        damaged[at] ^= 1;
        assert!(
            PrivateKey::open(&master, Purpose::ApiKey, number(3), &damaged).is_err(),
            "byte {at}"
        );
        assert!(
            PrivateKey::open(&master, Purpose::ApiKey, number(3), &sealed[..at]).is_err(),
            "cut at {at}"
        );
    }
}

#[test]
fn both_kinds_sign_what_their_public_half_verifies() {
    for (purpose, length) in [(Purpose::Feed, 64), (Purpose::AccessToken, 256)] {
        let key = PrivateKey::generate(purpose).expect("a key");
        let signature = key.sign(b"message").expect("signed");
        assert_eq!(signature.len(), length);
        let public = key.public().expect("public");
        assert!(public.verify(b"message", &signature));
        assert!(!public.verify(b"massage", &signature));
        assert!(!format!("{key:?}").contains('['), "nothing of the key is printed");
    }
}

#[test]
fn a_master_key_file_is_made_once_and_must_be_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("master.key");
    let sealed = MasterKey::load(None, Some(&path))
        .expect("made")
        .seal("x", b"secret")
        .expect("sealed");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "no draft is left"
    );
    let again = MasterKey::load(None, Some(&path)).expect("read");
    assert_eq!(again.open("x", &sealed).expect("opened").as_slice(), b"secret");
    for mode in [0o640, 0o604, 0o660, 0o644] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("changed");
        let error = MasterKey::load(None, Some(&path))
            .expect_err("too open")
            .to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_master_key_is_32_bytes_of_base64() {
    let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    assert!(MasterKey::load(Some(text), None).is_ok());
    assert!(matches!(MasterKey::load(None, None), Err(MasterKeyError::Absent)));
    for wrong in [
        "",
        "AAECAwQFBgcICQoLDA0ODw==",
        "not base64",
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==",
    ] {
        let error = MasterKey::load(Some(wrong), None)
            .expect_err("refused")
            .to_string();
        assert!(
            wrong.is_empty() || !error.contains(wrong),
            "a secret is not repeated: {error}"
        );
    }
}

#[test]
fn words_are_read_back() {
    for purpose in Purpose::ALL {
        assert_eq!(purpose.as_str().parse(), Ok(purpose));
    }
    assert_eq!("tokens".parse::<Purpose>(), Err(()));
}
