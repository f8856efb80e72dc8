use proptest::prelude::*;

use super::*;
use crate::crypto::base64url;

const HEADER: &str = r#"{"alg":"RS256","typ":"at+jwt","kid":"k1"}"#;
const CLAIMS: &str = r#"{"iss":"https://i","sub":"s","aud":"a","client_id":"c","exp":2,"iat":1,"jti":"j"}"#;

fn token(header: &str, claims: &str) -> String {
    format!(
        "{}.{}.AQ",
        base64url(header.as_bytes()),
        base64url(claims.as_bytes())
    )
}

fn error(header: &str, claims: &str) -> ParseError {
    parse(&token(header, claims)).expect_err("refused")
}

#[test]
fn a_plain_token_is_read() {
    let text = token(HEADER, CLAIMS);
    let parsed = parse(&text).expect("reads");
    assert_eq!((parsed.algorithm, parsed.kid.as_str()), (Algorithm::Rs256, "k1"));
    assert_eq!(parsed.claims.aud, ["a"]);
    assert!(parse(&token(&HEADER.replace("at+jwt", "application/AT+JWT"), CLAIMS)).is_ok());
    assert!(parse(&token(HEADER, &CLAIMS.replace(r#""a""#, r#"["a","b"]"#))).is_ok());
}

#[test]
fn headers_that_change_the_meaning_are_refused() {
    for (member, expected) in [
        (r#""alg":"none""#, ParseError::Algorithm),
        (r#""alg":"HS256""#, ParseError::Algorithm),
        (r#""alg":"rs256""#, ParseError::Algorithm),
        (r#""alg":"RS256","crit":["exp"]"#, ParseError::HeaderMember),
        (r#""alg":"RS256","b64":false"#, ParseError::HeaderMember),
        (r#""alg":"RS256","jku":"https://evil""#, ParseError::HeaderMember),
        (r#""alg":"RS256","x5u":"https://evil""#, ParseError::HeaderMember),
        (r#""alg":"RS256","jwk":{}"#, ParseError::HeaderMember),
        (r#""alg":"RS256","x5c":[]"#, ParseError::HeaderMember),
        (r#""alg":"RS256","alg":"RS256""#, ParseError::Header),
        (r#""alg":7"#, ParseError::Header),
    ] {
        assert_eq!(
            error(&HEADER.replace(r#""alg":"RS256""#, member), CLAIMS),
            expected,
            "{member}"
        );
    }
    for typ in ["JWT", "", "at+jwt ", "logout+jwt", "dpop+jwt", "statuslist+jwt"] {
        assert_eq!(
            error(&HEADER.replace("at+jwt", typ), CLAIMS),
            ParseError::Type,
            "{typ}"
        );
    }
    assert_eq!(
        error(&HEADER.replace(r#","kid":"k1""#, ""), CLAIMS),
        ParseError::Header
    );
    assert_eq!(
        error(&HEADER.replace(r#""typ":"at+jwt","#, ""), CLAIMS),
        ParseError::Type
    );
}

#[test]
fn claims_are_strict() {
    for (from, to) in [
        (r#""exp":2"#, r#""exp":2,"exp":3"#),
        (r#""exp":2"#, r#""exp":"2""#),
        (r#""exp":2"#, r#""exp":-2"#),
        (r#""exp":2"#, r#""exp":1e400"#),
        (r#""exp":2"#, r#""exp":9007199254740993"#),
        (r#","iat":1"#, ""),
        (r#","jti":"j""#, ""),
        (r#""iss":"https://i","#, ""),
        (r#""aud":"a""#, r#""aud":[1]"#),
        (r#""aud":"a""#, r#""aud":{}"#),
        (r#""iat":1"#, r#""iat":1,"nbf":null"#),
    ] {
        assert_eq!(
            error(HEADER, &CLAIMS.replace(from, to)),
            ParseError::Claims,
            "{to}"
        );
    }
}

#[test]
fn the_text_is_strict() {
    let good = token(HEADER, CLAIMS);
    let wrong = [
        String::new(),
        "..".into(),
        good.trim_end_matches("AQ").into(),
        format!("{good}="),
        format!("{good}.AQ"),
        good.replacen('.', "..", 1),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}{}", "A".repeat(MAX_LENGTH)),
        good.replace(".AQ", ".AR"),
    ];
    for text in wrong {
        assert_eq!(parse(&text).err(), Some(ParseError::Shape), "{text}");
    }
}

#[test]
fn a_status_reference_has_one_form() {
    let index = StatusIndex::from_u64(3 * StatusIndex::LIST_LENGTH + 5).expect("in range");
    let reference = StatusReference::new("https://i", index);
    assert_eq!(reference.uri, "https://i/status-lists/3");
    assert_eq!(reference.index("https://i"), Some(index));
    assert_eq!(reference.index("https://other"), None);
    for uri in [
        "https://i/status-lists/03",
        "https://i/status-lists/+3",
        "https://i/status-lists/",
        "https://i/3",
    ] {
        assert_eq!(
            StatusReference {
                idx: 5,
                uri: uri.into()
            }
            .index("https://i"),
            None,
            "{uri}"
        );
    }
    let beyond = StatusReference {
        idx: StatusIndex::LIST_LENGTH,
        uri: reference.uri,
    };
    assert_eq!(
        beyond.index("https://i"),
        None,
        "another list's index in disguise"
    );
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC{0,300}", header in "\\PC{0,80}", claims in "\\PC{0,80}") {
        let _ = parse(&text);
        let _ = parse(&token(&header, &claims));
    }
}
