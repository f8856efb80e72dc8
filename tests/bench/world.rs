//! A feed and credentials of the bench's own: no control plane takes part, so what is measured is the edge alone, and a hundred
//! thousand credentials take seconds.

use std::{error::Error, fs, path::Path};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair,
};
use e2e::{Objects, Port, Request, Workerd, WorkerdConfig, files, http};
use serde_json::json;
use shared::crypto::{Algorithm, Ed25519Signature, VerifyingKey, base64url};
use shared::feed::{
    Block, Certificate, Entry, EnvelopeType, FeedId, IssuingKey, IssuingPurpose, KeyOwner, KeyRef, Snapshot,
    State, join_message, sign,
};
use shared::id::{OrgId, SigningKeyId, StatusIndex, UserId};
use shared::key::{self, Environment, Statement};
use shared::policy::Policy;
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;

pub(crate) type Failure = Box<dyn Error>;

pub(crate) const FEED: FeedId = FeedId([7; 16]);
/// `iss` of all tokens; nobody listens there.
pub(crate) const ISSUER: &str = "http://127.0.0.1";
/// When everything was issued: past, whatever the clock.
const ISSUED_AT: u64 = 1_795_219_200;
const ROOT: u8 = 1;
const FEED_KEY: u8 = 2;
/// Signs API keys. Tokens are signed by the numbers behind it.
pub(crate) const SIGNER: u8 = 3;

fn pair(seed: u8) -> Result<Ed25519KeyPair, Failure> {
    Ok(Ed25519KeyPair::from_seed_unchecked(&[seed; 32])?)
}

fn public(seed: u8) -> Result<[u8; 32], Failure> {
    Ok(pair(seed)?.public_key().as_ref().try_into()?)
}

fn signature(seed: u8, message: &[u8]) -> Result<Ed25519Signature, Failure> {
    Ok(pair(seed)?.sign(message).as_ref().try_into()?)
}

pub(crate) fn index(number: u64) -> Result<StatusIndex, Failure> {
    Ok(StatusIndex::from_u64(number).ok_or("an index beyond 2^53")?)
}

fn signer(number: u8) -> Result<SigningKeyId, Failure> {
    Ok(SigningKeyId::from_u64(u64::from(number)).ok_or("a number")?)
}

/// Signs a message of the feed.
pub(crate) fn seal(kind: EnvelopeType, body: &[u8]) -> Result<Vec<u8>, Failure> {
    let mut certificate = Certificate {
        feed: FEED,
        epoch: 1,
        number: signer(FEED_KEY)?,
        key: public(FEED_KEY)?,
        not_after: UnixSeconds(u64::from(u32::MAX)),
        root_signature: [0; 64],
    };
    certificate.root_signature = signature(ROOT, &certificate.root_message())?;
    sign(kind, &certificate, body, |message| signature(FEED_KEY, message))
}

/// The entry of an issuing key.
fn issuing_key(number: u8, purpose: IssuingPurpose, key: VerifyingKey) -> Result<Entry, Failure> {
    let message = IssuingKey::root_message(FEED, signer(number)?, purpose, &key);
    Ok(Entry::Key(Box::new(IssuingKey {
        reference: KeyRef::Ours(signer(number)?),
        purpose,
        key,
        owner: KeyOwner::Ours(signature(ROOT, &message)?),
    })))
}

/// The key that signs API keys.
pub(crate) fn api_key_signer() -> Result<Entry, Failure> {
    issuing_key(
        SIGNER,
        IssuingPurpose::ApiKey,
        VerifyingKey::ed25519(public(SIGNER)?),
    )
}

/// One list of indexes, owned by this signer.
pub(crate) fn block(list: u64, number: u8) -> Result<Entry, Failure> {
    Ok(Entry::Block(Block {
        start: index(list * StatusIndex::LIST_LENGTH)?,
        length: StatusIndex::LIST_LENGTH,
        signing_key: signer(number)?,
    }))
}

/// The demo's policy for a resource.
pub(crate) fn policy(resource: &str) -> Result<Entry, Failure> {
    Ok(Entry::Policy {
        version: 1,
        json: serde_json::to_vec(&Policy::demo(resource, ISSUER))?,
    })
}

/// An API key with this index, signed by `seed`.
pub(crate) fn api_key(number: u64, seed: u8) -> Result<String, Failure> {
    let statement = Statement {
        signing_key: signer(SIGNER)?,
        index: index(number)?,
        org: OrgId::from_u64(1).ok_or("a number")?,
        user: UserId::from_u64(1).ok_or("a number")?,
        workspace: None,
        scopes: ScopeSet(1),
        issued_at: UnixSeconds(ISSUED_AT),
        expires_at: None,
        nonce: [1; 8],
    };
    let key = key::build("pc", Environment::Live, &statement, |message| {
        signature(seed, message)
    })
    .map_err(|_| "a key could not be built")?;
    Ok(key.expose().to_owned())
}

/// An edge in workerd, all in one process, that trusts the bench's feed.
pub(crate) async fn edge(folder: &Path, resource: &Port, origin: &str) -> Result<Workerd, Failure> {
    let vars = [
        ("ORIGIN", origin.to_owned()),
        ("ISSUER", ISSUER.to_owned()),
        ("RESOURCE", resource.url()),
        ("BRAND", "pc".to_owned()),
        ("ENVIRONMENTS", "live".to_owned()),
        ("ROOT_KEY", base64url(&public(ROOT)?)),
        ("FEED_ID", FEED.to_string()),
        ("REGIONS", "weur".to_owned()),
    ];
    fs::create_dir_all(folder)?;
    let mut edge = Workerd::start(WorkerdConfig {
        modules: files::edge_modules(false),
        folder: folder.to_owned(),
        log: folder.join("log"),
        vars: vars.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        gates: vec![resource.address()],
        store: false,
        kv: None,
        objects: Objects::All,
        cache: false,
        environment: Vec::new(),
    })?;
    edge.wait().await?;
    Ok(edge)
}

/// Gives the edge a message of the feed, and waits until it has it on disk.
pub(crate) async fn push(gate: &str, envelope: &[u8]) -> Result<(), Failure> {
    let request = Request::new("POST", "/.portcullis/feed").body(join_message([envelope]));
    let answer = http::once(gate, &request).await?;
    if answer.status == 200 {
        Ok(())
    } else {
        Err(format!("the edge answered {} {}", answer.status, answer.text()).into())
    }
}

/// How tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alg {
    Rs256,
    Es256,
    EdDsa,
}

impl Alg {
    pub(crate) const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Its signer's number, and that of the list of its indexes.
    fn number(self) -> u8 {
        match self {
            Self::Rs256 => SIGNER + 1,
            Self::Es256 => SIGNER + 2,
            Self::EdDsa => SIGNER + 3,
        }
    }
}

/// An issuer with a key for each algorithm.
pub(crate) struct World {
    resource: String,
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
    random: SystemRandom,
    issued: u64,
}

impl World {
    pub(crate) fn new(resource: &str) -> Result<Self, Failure> {
        Ok(Self {
            resource: resource.to_owned(),
            rsa: RsaKeyPair::generate(KeySize::Rsa2048)?,
            ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
            random: SystemRandom::new(),
            issued: 0,
        })
    }

    fn key(&self, alg: Alg) -> Result<VerifyingKey, Failure> {
        let refused = |error| format!("{error:?}");
        Ok(match alg {
            Alg::Rs256 => {
                let public = self.rsa.public_key();
                let modulus = public.modulus().big_endian_without_leading_zero();
                VerifyingKey::rsa(Algorithm::Rs256, modulus, &[1, 0, 1]).map_err(refused)?
            }
            Alg::Es256 => {
                let point = self.ec.public_key().as_ref().get(1..).unwrap_or_default();
                VerifyingKey::ecdsa(Algorithm::Es256, point).map_err(refused)?
            }
            Alg::EdDsa => VerifyingKey::ed25519(public(alg.number())?),
        })
    }

    /// The public key, for a peer.
    pub(crate) fn jwk(&self, alg: Alg) -> Result<String, Failure> {
        Ok(self.key(alg)?.jwk(&signer(alg.number())?.to_string()).to_string())
    }

    /// What the edge has to know.
    pub(crate) fn snapshot(&self) -> Result<Vec<u8>, Failure> {
        let mut state = State::default();
        state.join(api_key_signer()?);
        state.join(block(u64::from(SIGNER), SIGNER)?);
        for alg in Alg::ALL {
            state.join(issuing_key(
                alg.number(),
                IssuingPurpose::AccessToken,
                self.key(alg)?,
            )?);
            state.join(block(u64::from(alg.number()), alg.number())?);
        }
        state.join(policy(&self.resource)?);
        seal(
            EnvelopeType::Snapshot,
            &Snapshot::opening(FEED, 1, 1, state).encode(),
        )
    }

    fn next(&mut self) -> u64 {
        self.issued += 1;
        self.issued
    }

    /// An API key that nobody has seen.
    pub(crate) fn api_key(&mut self) -> Result<String, Failure> {
        api_key(u64::from(SIGNER) * StatusIndex::LIST_LENGTH + self.next(), SIGNER)
    }

    /// One that is signed by somebody else.
    pub(crate) fn forged_key(&mut self) -> Result<String, Failure> {
        api_key(u64::from(SIGNER) * StatusIndex::LIST_LENGTH + self.next(), 99)
    }

    /// An access token that nobody has seen.
    pub(crate) fn token(&mut self, alg: Alg) -> Result<String, Failure> {
        let number = self.next();
        let header = json!({ "alg": alg.name(), "typ": "at+jwt", "kid": signer(alg.number())?.to_string() });
        let claims = json!({
            "iss": ISSUER, "sub": UserId::from_u64(1), "aud": self.resource, "client_id": "cli_000000001",
            "scope": "memory:read", "iat": ISSUED_AT, "exp": u32::MAX, "jti": format!("tok_{number:022}"),
            "org": OrgId::from_u64(1),
            "status": { "status_list": { "idx": number, "uri": format!("{ISSUER}/status-lists/{}", alg.number()) } },
        });
        let encode = |value: &serde_json::Value| base64url(value.to_string().as_bytes());
        let message = format!("{}.{}", encode(&header), encode(&claims));
        let bytes = message.as_bytes();
        let signature = match alg {
            Alg::Rs256 => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(&RSA_PKCS1_SHA256, &self.random, bytes, &mut signature)?;
                signature
            }
            Alg::Es256 => self.ec.sign(&self.random, bytes)?.as_ref().to_vec(),
            Alg::EdDsa => pair(alg.number())?.sign(bytes).as_ref().to_vec(),
        };
        Ok(format!("{message}.{}", base64url(&signature)))
    }
}
