//! What the token endpoint answers: claims and a refresh token become the body of RFC 6749 §5.1.
//!
//! RS256 signatures are deterministic, so the claims and the key's number are all that has to be kept of an answer to give
//! the very same one again. Signing happens outside transactions.

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::id::{SigningKeyId, StatusIndex};
use shared::jwk::Thumbprint;
use shared::scope::{Catalogue, ScopeSet};
use shared::time::UnixSeconds;
use shared::token::{Claims, Status, StatusReference};

use super::dpop;
use super::jws::{self, Type};
use super::opaque::Opaque;
use super::scopes::{Asked, Identity};
use crate::app::App;
use crate::orgs;
use crate::signing::{SigningError, SigningKey};
use crate::store::grants::Terms;

/// RFC 6749 §5.1. Full of secrets: never logged.
#[derive(Serialize)]
pub(super) struct Granted {
    pub(super) access_token: String,
    pub(super) token_type: &'static str,
    /// RFC 8693 §2.2.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issued_token_type: Option<&'static str>,
    pub(super) expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    pub(super) scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<String>,
}

impl Granted {
    pub(super) fn into_response(self) -> Response {
        let mut response = Json(self).into_response();
        response
            .headers_mut()
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// An access token and the refresh token that came with it, before signing. What is sealed for a retry.
#[derive(Serialize, Deserialize)]
pub(super) struct Pair {
    claims: Claims,
    scope: String,
    signing_key: u64,
    refresh_token: String,
    /// For the id_token: how the person proved who they are.
    #[serde(default)]
    methods: Option<String>,
}

/// What the next token of a grant is made of.
pub(super) struct Draft<'a> {
    pub(super) terms: &'a Terms,
    /// What the client calls itself: its `client_id`.
    pub(super) client: &'a str,
    pub(super) asked: Asked,
    pub(super) iat: UnixSeconds,
    pub(super) index: StatusIndex,
    pub(super) signing_key: SigningKeyId,
    /// The key of the proof that came with the request.
    pub(super) bound_to: Option<Thumbprint>,
}

impl Draft<'_> {
    pub(super) fn pair(self, app: &App, refresh_token: &Opaque) -> Result<Pair, SigningError> {
        let terms = self.terms;
        let claims = Claims {
            iss: app.config.issuer.clone(),
            sub: terms.user.to_string(),
            aud: vec![terms.resource.clone()],
            client_id: self.client.to_owned(),
            // Scopes of OpenID Connect mean nothing to an API, and are nobody's business there.
            scope: app.catalogue().join(self.asked.scopes),
            exp: self.iat.saturating_add(app.config.tokens.access_seconds),
            iat: self.iat,
            nbf: None,
            jti: jti(app)?,
            sid: terms.session.clone(),
            org: Some(terms.org),
            workspace: None,
            status: Some(Status {
                status_list: StatusReference::new(&app.config.issuer, self.index),
            }),
            cnf: dpop::cnf(self.bound_to),
        };
        Ok(Pair {
            claims,
            scope: self.asked.join(app.catalogue()),
            signing_key: self.signing_key.get(),
            refresh_token: refresh_token.expose().to_owned(),
            methods: None,
        })
    }
}

pub(super) fn jti(app: &App) -> Result<String, SigningError> {
    Ok(shared::crypto::base64url(&app.random.bytes::<16>()?))
}

impl Pair {
    /// With the values of `amr`, as a session has them.
    pub(super) fn with_methods(mut self, methods: Option<String>) -> Self {
        self.methods = methods;
        self
    }

    /// Whether the access token is of use for at least as long as a clock may be wrong.
    pub(super) fn is_fresh(&self, now: UnixSeconds) -> bool {
        self.claims.exp > now.saturating_add(60)
    }

    /// The same with no more scopes than these: what a retry gets when its person lost rights meanwhile.
    pub(super) fn under(mut self, rights: ScopeSet, catalogue: &Catalogue) -> Self {
        let stated = catalogue.parse_known(self.claims.scope.split(' '));
        let left = orgs::capped(stated, rights, catalogue);
        if left != stated {
            let identity = self
                .scope
                .split(' ')
                .filter(|name| catalogue.parse([name]).is_err());
            let names = identity.chain(catalogue.names(left)).collect::<Vec<_>>();
            self.scope = names.join(" ");
            self.claims.scope = catalogue.join(left);
        }
        self
    }

    /// Whether the access token is for whoever holds this key; without one, for its bearer.
    pub(super) fn is_for(&self, key: Option<Thumbprint>) -> bool {
        dpop::bound_to(&self.claims) == key
    }

    pub(super) fn signing_key(&self) -> Option<SigningKeyId> {
        SigningKeyId::from_u64(self.signing_key)
    }

    /// Signs the answer: with an id_token where `openid` was agreed to.
    pub(super) fn grant(
        self,
        terms: &Terms,
        nonce: Option<&str>,
        key: &SigningKey,
        now: UnixSeconds,
    ) -> Result<Granted, SigningError> {
        let id_token = Identity::from_bits(terms.identity)
            .has_openid()
            .then(|| {
                let mut claims = id_claims(&self.claims, terms, nonce);
                // OpenID Connect Core §2, RFC 8176.
                if let Some(methods) = &self.methods {
                    claims.insert("amr".to_owned(), methods.split(' ').collect());
                }
                jws::sign(Type::IdToken, &claims, key)
            })
            .transpose()?;
        Ok(Granted {
            access_token: jws::sign(Type::AccessToken, &self.claims, key)?,
            token_type: dpop::token_type(&self.claims),
            issued_token_type: None,
            // A pair that is new lives its whole life, whatever second it is by now; a retried one what is left of it.
            expires_in: self.claims.exp.0.saturating_sub(now.max(self.claims.iat).0),
            refresh_token: Some(self.refresh_token),
            scope: self.scope,
            id_token,
        })
    }
}

/// OpenID Connect Core §2. Its audience is the client, so no API takes it for an access token.
fn id_claims(access: &Claims, terms: &Terms, nonce: Option<&str>) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("iss".to_owned(), access.iss.as_str().into());
    claims.insert("sub".to_owned(), access.sub.as_str().into());
    claims.insert("aud".to_owned(), access.client_id.as_str().into());
    claims.insert("exp".to_owned(), access.exp.0.into());
    claims.insert("iat".to_owned(), access.iat.0.into());
    claims.insert("auth_time".to_owned(), terms.auth_time.0.into());
    if let Some(nonce) = nonce {
        claims.insert("nonce".to_owned(), nonce.into());
    }
    if let Some(sid) = &terms.session {
        claims.insert("sid".to_owned(), sid.as_str().into());
    }
    claims
}
