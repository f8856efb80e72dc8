//! A small deployment with fixed keys, and every kind of credential for it.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};
use shared::crypto::{Algorithm, VerifyingKey, base64url, sha256};
use shared::feed::issuer::{Forms, WorkspaceRule};
use shared::feed::*;
use shared::id::*;
use shared::jwk::Thumbprint;
use shared::key::{self, Environment, PlainKey};
use shared::policy::Policy;
use shared::scope::ScopeSet;
use shared::time::{UnixMillis, UnixSeconds};
use shared::verdict::Reason;

use super::super::vectors::{self, Case, Vectors};
use super::super::{Deployment, Statement, Validator};
use crate::replication::LocalSet;

/// 2026-11-21T00:00:00Z.
pub(super) const NOW: u64 = 1_795_219_200;
pub(super) const ISSUER: &str = "https://id.example";
const RESOURCE: &str = "https://api.example";
const RSA: &[u8] = include_bytes!("../../../../shared/vectors/test_only_rsa.der");
const P256: &[u8] = include_bytes!("../../../../shared/vectors/test_only_p256.der");
const P384: &[u8] = include_bytes!("../../../../shared/vectors/test_only_p384.der");
const P521: &[u8] = include_bytes!("../../../../shared/vectors/test_only_p521.der");
pub(super) const IDP: &str = "https://idp.example";
pub(super) const IDP_ORG: u64 = 44;
pub(super) const OTHER_IDP: &str = "https://other-idp.example/";
const FORMER_IDP: &str = "https://former-idp.example";
/// What the first of them calls this API.
pub(super) const AUDIENCE: &str = "memory-api";
const FEED: FeedId = FeedId([7; 16]);
const LIST: u64 = StatusIndex::LIST_LENGTH;

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed")
}

fn sign(seed: u8, message: &[u8]) -> Result<[u8; 64], ()> {
    pair(seed).sign(message).as_ref().try_into().map_err(|_| ())
}

fn public(seed: u8) -> [u8; 32] {
    pair(seed).public_key().as_ref().try_into().expect("32 bytes")
}

fn number(id: u64) -> SigningKeyId {
    SigningKeyId::from_u64(id).expect("in range")
}

pub(super) fn index(index: u64) -> StatusIndex {
    StatusIndex::from_u64(index).expect("in range")
}

const ROOT: u8 = 1;
const FEED_KEY: u8 = 2;
const KEY_SIGNER: u8 = 3;
/// Holds the key that tokens are bound to.
const HOLDER: u8 = 8;
/// The other issuers'.
const IDP_KEY: u8 = 20;
/// Signs well, but nobody knows it.
const STRANGER: u8 = 9;

pub(super) struct Fixture {
    replica: Replica,
    envelopes: Vec<Vec<u8>>,
}

#[expect(clippy::unused_self, reason = "reads as what the deployment issues")]
impl Fixture {
    pub(super) fn new() -> Self {
        crate::testing::install_es512();
        let root = VerifyingKey::ed25519(public(ROOT));
        let mut fixture = Self {
            replica: Replica::new(Trust {
                feed: FEED,
                root,
                other_root: None,
            }),
            envelopes: Vec::new(),
        };
        let policy = serde_json::to_value(Policy::demo(RESOURCE, ISSUER)).expect("serialises");
        let policy = with_more_routes(policy);
        let rsa_public = RsaKeyPair::from_der(RSA).expect("the test key");
        let modulus = rsa_public
            .public_key()
            .modulus()
            .big_endian_without_leading_zero()
            .to_vec();
        let rsa = VerifyingKey::rsa(Algorithm::Rs256, &modulus, &[1, 0, 1]).expect("admitted");
        fixture.say_all(vec![
            issuing_key(
                3,
                IssuingPurpose::ApiKey,
                VerifyingKey::ed25519(public(KEY_SIGNER)),
            ),
            issuing_key(4, IssuingPurpose::AccessToken, rsa),
            block(0, 3),
            block(LIST, 4),
            Entry::Policy {
                version: 1,
                json: policy,
            },
            Entry::Issuer(Box::new(idp())),
            Entry::Issuer(Box::new(other_idp())),
            Entry::Issuer(Box::new(IssuerEntry {
                issuer: FORMER_IDP.into(),
                binding: None,
                ..idp()
            })),
            // What no publisher of ours says: our own issuer as somebody else's.
            Entry::Issuer(Box::new(IssuerEntry {
                issuer: ISSUER.into(),
                ..idp()
            })),
            Entry::KeyRemoved(KeyRef::Issuer {
                issuer: IDP.into(),
                kid: "stolen".into(),
            }),
        ]);
        fixture
    }

    /// Everything that the validator decides about a request with this credential.
    pub(super) fn decide<T>(
        &self,
        path: &str,
        authorization: &str,
        cache: &mut super::super::StatementCache,
        look: impl FnOnce(super::super::Decision<'_>) -> T,
    ) -> T {
        let facts = super::super::RequestFacts {
            method: "GET",
            path,
            authorization: Some(authorization),
            ..super::super::RequestFacts::default()
        };
        self.with_validator(&[], |validator| {
            let fresh = super::super::Freshness::default();
            look(validator.check(&facts, fresh, UnixSeconds(NOW), cache))
        })
    }

    pub(super) fn say(&mut self, entry: Entry) {
        self.say_all(vec![entry]);
    }

    fn say_all(&mut self, entries: Vec<Entry>) {
        let head = self.replica.head();
        let frame = Frame {
            feed: FEED,
            epoch: 1,
            seq: head.map_or(1, |head| head.seq + 1),
            previous: head.map_or([0; 32], |head| head.digest),
            time: UnixMillis(NOW * 1000),
            entries,
        };
        let mut certificate = Certificate {
            feed: FEED,
            epoch: 1,
            number: number(2),
            key: public(FEED_KEY),
            not_after: UnixSeconds(NOW * 2),
            root_signature: [0; 64],
        };
        certificate.root_signature = sign(ROOT, &certificate.root_message()).expect("signs");
        let envelope = shared::feed::sign(EnvelopeType::Frame, &certificate, &frame.encode(), |m| {
            sign(FEED_KEY, m)
        })
        .expect("signs");
        self.replica.accept(&envelope).expect("accepted");
        self.envelopes.push(envelope);
    }

    fn stated(&self) -> key::Statement {
        key::Statement {
            signing_key: number(3),
            index: index(7),
            org: OrgId::from_u64(11).expect("small"),
            user: UserId::from_u64(22).expect("small"),
            workspace: WorkspaceId::from_u64(33),
            scopes: ScopeSet(1),
            issued_at: UnixSeconds(NOW - 100),
            expires_at: Some(UnixSeconds(NOW + 1000)),
            nonce: [5; 8],
        }
    }

    pub(super) fn key(&self) -> PlainKey {
        self.key_with(|_| {})
    }

    pub(super) fn key_with(&self, change: impl FnOnce(&mut key::Statement)) -> PlainKey {
        let mut statement = self.stated();
        change(&mut statement);
        build("pc", Environment::Live, &statement, KEY_SIGNER)
    }

    pub(super) fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        self.token_with(|_| {}, change)
    }

    fn token_with(&self, header: impl FnOnce(&mut Value), claims: impl FnOnce(&mut Value)) -> String {
        let mut head = json!({"alg": "RS256", "typ": "at+jwt", "kid": "k4"});
        let mut body = json!({
            "iss": ISSUER, "sub": "cli_000000001", "aud": RESOURCE, "client_id": "cli_000000001",
            "scope": "memory:read", "iat": NOW - 100, "exp": NOW + 3500, "jti": "j1",
            "org": OrgId::from_u64(11).expect("small"),
            "status": {"status_list": {"idx": 8, "uri": format!("{ISSUER}/status-lists/1")}},
        });
        header(&mut head);
        claims(&mut body);
        let message = format!(
            "{}.{}",
            base64url(head.to_string().as_bytes()),
            base64url(body.to_string().as_bytes())
        );
        let key = EncodingKey::from_rsa_der(RSA);
        let algorithm = Header::new(jsonwebtoken::Algorithm::RS256).alg;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).expect("signs");
        format!("{message}.{signature}")
    }

    /// A token that is bound to the holder's key.
    pub(super) fn bound(&self) -> String {
        self.token(|claims| claims["cnf"] = json!({"jkt": jkt(HOLDER)}))
    }

    /// A token of the first other issuer, signed with the algorithm's key there, or with another's.
    pub(super) fn foreign(
        &self,
        algorithm: Algorithm,
        header: impl FnOnce(&mut Value),
        claims: impl FnOnce(&mut Value),
    ) -> String {
        let mut head = json!({"alg": algorithm.jose(), "typ": "at+jwt", "kid": algorithm.jose()});
        let mut body = json!({
            "iss": IDP, "sub": "auth0|ada", "aud": AUDIENCE, "scope": "memory:read",
            "iat": NOW - 100, "exp": NOW + 3500, "jti": "f1",
        });
        header(&mut head);
        claims(&mut body);
        let message = [head, body]
            .map(|part| base64url(part.to_string().as_bytes()))
            .join(".");
        format!("{message}.{}", sign_as(algorithm, message.as_bytes()))
    }

    pub(super) fn statement(&self) -> Statement {
        let policy = Policy::demo(RESOURCE, ISSUER).compile().expect("compiles");
        let deployment = deployment();
        let validator = Validator {
            deployment: &deployment,
            state: self.replica.state(),
            local: &LocalSet::default(),
            policy: &policy,
        };
        let key = self.key();
        validator
            .verify(&super::super::Credential::ApiKey(key.expose()))
            .expect("verifies")
    }

    pub(super) fn with_validator<T>(
        &self,
        ended: &[StatusIndex],
        ask: impl FnOnce(&Validator<'_>) -> T,
    ) -> T {
        let (_, document) = self.replica.state().policy().expect("a policy");
        let policy = Policy::from_json(document).and_then(Policy::compile);
        ask(&Validator {
            deployment: &deployment(),
            state: self.replica.state(),
            local: &LocalSet::of(ended.iter().copied(), self.replica.state()),
            policy: &policy.expect("compiles"),
        })
    }

    /// The usual key's statement, signed by somebody else.
    pub(super) fn forged_key(&self) -> String {
        let forged = build("pc", Environment::Live, &self.stated(), STRANGER);
        forged.expose().to_owned()
    }

    /// Why the usual key is refused, if it is, with these ended at the edge.
    pub(super) fn reason_with(&self, ended: &[StatusIndex]) -> Option<Reason> {
        let authorization = format!("Bearer {}", self.key().expose());
        self.reason_for(
            &authorization,
            ended,
            &mut super::super::StatementCache::default(),
        )
    }

    /// Why this is refused, if it is, with these ended at the edge and what is remembered.
    pub(super) fn reason_for(
        &self,
        authorization: &str,
        ended: &[StatusIndex],
        cache: &mut super::super::StatementCache,
    ) -> Option<Reason> {
        let facts = super::super::RequestFacts {
            method: "GET",
            path: "/v1/memory/x",
            authorization: Some(authorization),
            ..super::super::RequestFacts::default()
        };
        self.with_validator(ended, |validator| {
            let fresh = super::super::Freshness::default();
            match validator.check(&facts, fresh, UnixSeconds(NOW), cache) {
                super::super::Decision::Refuse(refusal) => Some(refusal.reason),
                super::super::Decision::Allow(_) => None,
                super::super::Decision::Refresh(_) => panic!("fresh"),
            }
        })
    }

    /// A canary with the index 9.
    pub(super) fn canary(&self) -> PlainKey {
        self.key_with(|statement| {
            statement.org = OrgId::from_u64(LIMIT - 1).expect("the highest");
            statement.index = index(9);
            statement.scopes = ScopeSet::EMPTY;
        })
    }

    /// Why the canary's endpoint refuses this, if it does.
    pub(super) fn canary_reason(
        &self,
        authorization: Option<&str>,
        now: u64,
        ended: &[StatusIndex],
    ) -> Option<Reason> {
        self.with_validator(ended, |validator| {
            validator.canary(authorization, UnixSeconds(now)).err()
        })
    }

    pub(super) fn reason(&self, case: &Case) -> String {
        let vectors = self.vectors(vec![case.clone()]);
        let json = serde_json::to_vec(&vectors).expect("serialises");
        vectors::run(&json).expect("runs").remove(0).reason
    }

    fn vectors(&self, cases: Vec<Case>) -> Vectors {
        let deployment = deployment();
        Vectors {
            description:
                "Verdicts of the validator: one state, many requests. Keys in here are for tests only.".into(),
            feed: FEED.to_string(),
            root: base64url(&public(ROOT)),
            brand: deployment.brand,
            environments: deployment.environments,
            issuer: deployment.issuer,
            public_origin: RESOURCE.into(),
            message: base64url(&join_message(self.envelopes.iter().map(Vec::as_slice))),
            cases,
        }
    }
}

fn sign_as(algorithm: Algorithm, message: &[u8]) -> String {
    use jsonwebtoken::Algorithm as Jws;
    let rsa = || EncodingKey::from_rsa_der(RSA);
    let (key, algorithm) = match algorithm {
        Algorithm::Ed25519 => return base64url(&sign(IDP_KEY, message).expect("signs")),
        Algorithm::Es256 => (EncodingKey::from_ec_der(P256), Jws::ES256),
        Algorithm::Es384 => (EncodingKey::from_ec_der(P384), Jws::ES384),
        Algorithm::Es512 => return base64url(&sign_es512(message)),
        Algorithm::Rs256 => (rsa(), Jws::RS256),
        Algorithm::Rs384 => (rsa(), Jws::RS384),
        Algorithm::Rs512 => (rsa(), Jws::RS512),
        Algorithm::Ps256 => (rsa(), Jws::PS256),
        Algorithm::Ps384 => (rsa(), Jws::PS384),
        Algorithm::Ps512 => (rsa(), Jws::PS512),
    };
    jsonwebtoken::crypto::sign(message, &key, algorithm).expect("signs")
}

fn sign_es512(message: &[u8]) -> Vec<u8> {
    use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair};
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P521_SHA512_FIXED_SIGNING, P521).expect("the test key");
    let random = aws_lc_rs::rand::SystemRandom::new();
    pair.sign(&random, message).expect("signs").as_ref().to_vec()
}

/// The other issuer's key for an algorithm: its `kid` is the algorithm's name.
fn idp_key(algorithm: Algorithm) -> VerifyingKey {
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
        EcdsaKeyPair,
    };
    let point = |curve, der| {
        let pair = EcdsaKeyPair::from_pkcs8(curve, der).expect("the test key");
        let uncompressed = pair.public_key().as_ref().to_vec();
        VerifyingKey::ecdsa(algorithm, &uncompressed[1..]).expect("admitted")
    };
    match algorithm {
        Algorithm::Ed25519 => VerifyingKey::ed25519(public(IDP_KEY)),
        Algorithm::Es256 => point(&ECDSA_P256_SHA256_FIXED_SIGNING, P256),
        Algorithm::Es384 => point(&ECDSA_P384_SHA384_FIXED_SIGNING, P384),
        Algorithm::Es512 => point(&ECDSA_P521_SHA512_FIXED_SIGNING, P521),
        _ => {
            let pair = RsaKeyPair::from_der(RSA).expect("the test key");
            let modulus = pair
                .public_key()
                .modulus()
                .big_endian_without_leading_zero()
                .to_vec();
            VerifyingKey::rsa(algorithm, &modulus, &[1, 0, 1]).expect("admitted")
        }
    }
}

fn path(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// An issuer with a key for each algorithm, trusted by organisation 44 to read.
pub(super) fn idp() -> IssuerEntry {
    let keys = Algorithm::ALL.map(|algorithm| (algorithm.jose().to_owned(), idp_key(algorithm)));
    let stolen = ("stolen".to_owned(), idp_key(Algorithm::Ed25519));
    IssuerEntry {
        issuer: IDP.into(),
        version: 3,
        org: OrgId::from_u64(IDP_ORG).expect("small"),
        binding: Some(IssuerBinding {
            audiences: path(&[AUDIENCE, &format!("{RESOURCE}/mcp"), "second"]),
            cap: ScopeSet(1),
            forms: Forms::ALL,
            subject: path(&["sub"]),
            scopes: vec![path(&["scope"]), path(&["scp"])],
            scope_values: None,
            workspace: WorkspaceRule::All,
            keys: keys.into_iter().chain([stolen]).collect(),
        }),
    }
}

/// An issuer with one key, whose claims mean what tables say, trusted by organisation 45.
pub(super) fn other_idp() -> IssuerEntry {
    let workspace = WorkspaceId::from_u64(55).expect("small");
    IssuerEntry {
        issuer: OTHER_IDP.into(),
        version: 1,
        org: OrgId::from_u64(45).expect("small"),
        binding: Some(IssuerBinding {
            audiences: path(&[RESOURCE]),
            cap: ScopeSet(0b11),
            forms: Forms {
                at_jwt: true,
                jwt: false,
                none: false,
            },
            subject: path(&["oid"]),
            scopes: vec![path(&["realm", "roles"])],
            scope_values: Some(
                [
                    ("reader".to_owned(), ScopeSet(1)),
                    ("boss".to_owned(), ScopeSet(1 << 5)),
                ]
                .into(),
            ),
            workspace: WorkspaceRule::Claim {
                path: path(&["team"]),
                values: [("red".to_owned(), workspace)].into(),
            },
            keys: [("EdDSA".to_owned(), VerifyingKey::ed25519(public(IDP_KEY)))].into(),
        }),
    }
}

fn deployment() -> Deployment {
    Deployment {
        brand: "pc".into(),
        environments: vec![Environment::Live, Environment::Test],
        issuer: ISSUER.into(),
    }
}

fn jkt(seed: u8) -> String {
    Thumbprint::of(&VerifyingKey::ed25519(public(seed))).to_string()
}

/// A proof for `GET` of what the cases read.
pub(super) fn proof(seed: u8, token: &str, change: impl FnOnce(&mut Value)) -> String {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&public(seed))});
    let head = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk});
    let mut claims = json!({"jti": "p1", "htm": "GET", "htu": format!("{RESOURCE}/v1/memory/x"), "iat": NOW,
        "ath": base64url(&sha256(token.as_bytes()))});
    change(&mut claims);
    let message = [head, claims]
        .map(|part| base64url(part.to_string().as_bytes()))
        .join(".");
    let signature = sign(seed, message.as_bytes()).expect("signs");
    format!("{message}.{}", base64url(&signature))
}

fn build(brand: &str, environment: Environment, statement: &key::Statement, seed: u8) -> PlainKey {
    key::build(brand, environment, statement, |message| sign(seed, message)).expect("builds")
}

fn issuing_key(id: u64, purpose: IssuingPurpose, key: VerifyingKey) -> Entry {
    let root = sign(ROOT, &IssuingKey::root_message(FEED, number(id), purpose, &key)).expect("signs");
    let reference = KeyRef::Ours(number(id));
    Entry::Key(Box::new(IssuingKey {
        reference,
        purpose,
        key,
        owner: KeyOwner::Ours(root),
    }))
}

fn block(start: u64, key: u64) -> Entry {
    let start = StatusIndex::from_u64(start).expect("in range");
    Entry::Block(Block {
        start,
        length: LIST,
        signing_key: number(key),
    })
}

fn with_more_routes(mut policy: Value) -> Vec<u8> {
    let rules = json!([
        {"method": "tools/call", "names": ["write_memory"], "scopes": ["memory:write"]},
        {"method": "tools/call", "names": ["delete_memory", "☃"], "scopes": ["memory:delete"]},
        {"method": "tools/call", "names": ["delete_memory"], "scopes": ["memory:write"]},
        {"method": "completion/complete", "scopes": ["vault:manage"]},
    ]);
    let more = json!([
        {"path": "/tenants/{org}/{workspace}/**"},
        {"path": "/browser/**", "scopes": ["memory:read"], "browser_origins": ["https://app.example"]},
        {"path": "/browser-keys/**", "scopes": ["memory:read"], "browser_api_keys": true},
        {"path": "/patient/**", "scopes": ["memory:read"], "on_stale": {"allow_for_seconds": 60}},
        {"path": "/either/**", "any_scope": ["memory:read", "vault:manage"]},
        {"path": "/mcp", "scopes": ["memory:read"], "audience": format!("{RESOURCE}/mcp"), "mcp": {"rules": rules}},
        {"path": "/mcp/old", "scopes": ["memory:read"], "mcp": {"rules": rules, "legacy": "base_scopes"}},
        {"path": "/mcp/new", "scopes": ["memory:read"], "mcp": {"rules": rules, "legacy": "deny"}},
    ]);
    if let (Some(routes), Some(more)) = (policy["routes"].as_array_mut(), more.as_array()) {
        routes.extend(more.iter().cloned());
    }
    serde_json::to_vec(&policy).expect("serialises")
}

include!("cases.rs");
include!("foreign_cases.rs");
