//! What a credential states once its signature holds. It is the statement that is remembered, never a verdict: key, list,
//! times, audience and scopes are looked at anew for every request.

use shared::feed::{IssuingPurpose, KeyRef};
use shared::id::{KeyId, OrgId, SigningKeyId, StatusIndex, UserId, WorkspaceId};
use shared::jwk::Thumbprint;
use shared::key::{self, Environment};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;
use shared::token;
use shared::verdict::Reason;

use super::{Credential, Validator};

/// What kind of credential made a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An API key.
    ApiKey {
        /// The environment in its text.
        environment: Environment,
    },
    /// An access token of ours.
    AccessToken {
        /// Whom it is meant for.
        audience: Vec<String>,
        /// The client that it was issued to.
        client: String,
        /// The sign-in session, if a person signed in.
        session: Option<String>,
        /// The key whose holder alone may use it (RFC 9449 §6).
        bound_to: Option<Thumbprint>,
    },
    /// A token of another issuer.
    Foreign {
        /// Whom it is meant for.
        audience: Vec<String>,
        /// The subject as the issuer writes it.
        subject: String,
        /// The key whose holder alone may use it.
        bound_to: Option<Thumbprint>,
    },
}

impl Kind {
    /// The key whose holder alone may use the credential, if it is bound to one.
    pub fn bound_to(&self) -> Option<&Thumbprint> {
        match self {
            Self::ApiKey { .. } => None,
            Self::AccessToken { bound_to, .. } | Self::Foreign { bound_to, .. } => bound_to.as_ref(),
        }
    }
}

/// Who signed, and what of it has to be looked at each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// One of our keys.
    Ours {
        /// The key.
        key: SigningKeyId,
        /// The credential's position in the status lists.
        index: StatusIndex,
    },
    /// Another issuer.
    Issuer {
        /// Its identifier.
        name: String,
        /// The version of its entry by which the token was read: another one reads it anew.
        version: u64,
    },
}

/// A statement whose signature held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What made it.
    pub kind: Kind,
    /// Who signed it.
    pub signer: Signer,
    /// Its organisation.
    pub org: OrgId,
    /// The person, where there is one.
    pub user: Option<UserId>,
    /// One workspace, or all.
    pub workspace: Option<WorkspaceId>,
    /// Scopes as stated, before any ceiling.
    pub scopes: ScopeSet,
    /// When it was made.
    pub issued_at: UnixSeconds,
    /// When it ends by itself.
    pub expires_at: Option<UnixSeconds>,
    /// From when on it counts.
    pub not_before: Option<UnixSeconds>,
    /// Who acts: `usr_…`, a client's id, or `issuer#subject` of another issuer's.
    pub subject: String,
    /// The public id of the credential: `key_…`, the token's `jti`, or `issuer#jti`.
    pub credential: String,
}

impl Statement {
    /// Its position in the status lists: only what we have signed has one.
    pub fn index(&self) -> Option<StatusIndex> {
        match &self.signer {
            Signer::Ours { index, .. } => Some(*index),
            Signer::Issuer { .. } => None,
        }
    }

    /// What it occupies in memory, roughly, in bytes.
    pub fn weight(&self) -> usize {
        let texts = match &self.kind {
            Kind::ApiKey { .. } => 0,
            Kind::AccessToken {
                audience,
                client,
                session,
                ..
            } => {
                audience.iter().map(String::len).sum::<usize>()
                    + client.len()
                    + session.as_ref().map_or(0, String::len)
            }
            Kind::Foreign {
                audience, subject, ..
            } => audience.iter().map(String::len).sum::<usize>() + subject.len(),
        };
        let issuer = match &self.signer {
            Signer::Ours { .. } => 0,
            Signer::Issuer { name, .. } => name.len(),
        };
        size_of::<Self>() + texts + issuer + self.subject.len() + self.credential.len()
    }
}

impl Validator<'_> {
    /// Form and signature of a credential: the part whose outcome can be remembered.
    pub(super) fn verify(&self, credential: &Credential<'_>) -> Result<Statement, Reason> {
        match credential {
            Credential::ApiKey(text) => self.verify_api_key(text),
            Credential::Token(text) => self.verify_token(text),
        }
    }

    fn verify_api_key(&self, text: &str) -> Result<Statement, Reason> {
        let parsed = key::parse(text).map_err(|error| match error {
            key::ParseError::Checksum => Reason::ChecksumMismatch,
            key::ParseError::Shape | key::ParseError::Statement => Reason::CredentialMalformed,
        })?;
        if parsed.brand != self.deployment.brand {
            return Err(Reason::BrandRefused);
        }
        let stated = parsed.statement;
        let key = self
            .state
            .key(&KeyRef::Ours(stated.signing_key))
            .ok_or(Reason::SigningKeyUnknown)?;
        if key.purpose != IssuingPurpose::ApiKey {
            return Err(Reason::SigningKeyUnknown);
        }
        if !key.key.verify(&parsed.message, &parsed.signature) {
            return Err(Reason::SignatureInvalid);
        }
        Ok(Statement {
            kind: Kind::ApiKey {
                environment: parsed.environment,
            },
            signer: Signer::Ours {
                key: stated.signing_key,
                index: stated.index,
            },
            org: stated.org,
            user: Some(stated.user),
            workspace: stated.workspace,
            scopes: stated.scopes,
            issued_at: stated.issued_at,
            expires_at: stated.expires_at,
            not_before: None,
            subject: stated.user.to_string(),
            credential: KeyId::from(stated.index).to_string(),
        })
    }

    fn verify_token(&self, text: &str) -> Result<Statement, Reason> {
        let token = token::read(text).map_err(refused)?;
        // Whose it claims to be says by whose rules it is read. Our own issuer is never another one, whatever the state says.
        if let Some(claims) = &token.claims
            && let Some(issuer) = token.issuer().filter(|issuer| *issuer != self.deployment.issuer)
        {
            let found = self.state.trusted_issuer(issuer).ok_or(Reason::IssuerRefused)?;
            return self.verify_foreign(&token, claims, found);
        }
        let parsed = token.access_token().map_err(refused)?;
        // kid → key → algorithm must agree (RFC 8725 §3.1), and the key must be one for access tokens.
        let signing_key: SigningKeyId = parsed.kid.parse().map_err(|_| Reason::SigningKeyUnknown)?;
        let key = self
            .state
            .key(&KeyRef::Ours(signing_key))
            .ok_or(Reason::SigningKeyUnknown)?;
        if key.purpose != IssuingPurpose::AccessToken {
            return Err(Reason::SigningKeyUnknown);
        }
        if key.key.algorithm() != parsed.algorithm {
            return Err(Reason::AlgorithmRefused);
        }
        if !key
            .key
            .verify_base64url(parsed.message.as_bytes(), parsed.signature)
        {
            return Err(Reason::SignatureInvalid);
        }
        let claims = parsed.claims;
        if claims.iss != self.deployment.issuer {
            return Err(Reason::IssuerRefused);
        }
        let bound_to = claims.cnf.as_ref().map(binding).transpose()?;
        let status = claims.status.ok_or(Reason::StatusMissing)?;
        let index = status
            .status_list
            .index(&self.deployment.issuer)
            .ok_or(Reason::StatusMissing)?;
        Ok(Statement {
            kind: Kind::AccessToken {
                audience: claims.aud,
                client: claims.client_id,
                session: claims.sid,
                bound_to,
            },
            signer: Signer::Ours {
                key: signing_key,
                index,
            },
            org: claims.org.ok_or(Reason::ClaimsMalformed)?,
            user: claims.sub.parse().ok(),
            workspace: claims.workspace,
            scopes: self.policy.catalogue().parse_known(claims.scope.split(' ')),
            issued_at: claims.iat,
            expires_at: Some(claims.exp),
            not_before: claims.nbf,
            subject: claims.sub,
            credential: claims.jti,
        })
    }
}

fn refused(error: token::ParseError) -> Reason {
    match error {
        token::ParseError::Shape => Reason::CredentialMalformed,
        token::ParseError::Header | token::ParseError::HeaderMember => Reason::HeaderRefused,
        token::ParseError::Algorithm => Reason::AlgorithmRefused,
        token::ParseError::Type => Reason::TypeRefused,
        token::ParseError::Claims => Reason::ClaimsMalformed,
    }
}

/// The key of a `cnf` claim. A token that is bound to anything else, or to more, is not to be used without checking that
/// too (RFC 7800 §3.1), which we cannot.
pub(super) fn binding(cnf: &serde_json::Value) -> Result<Thumbprint, Reason> {
    let members = cnf.as_object().filter(|members| members.len() == 1);
    members
        .and_then(|members| members.get("jkt"))
        .and_then(serde_json::Value::as_str)
        .and_then(|jkt| jkt.parse().ok())
        .ok_or(Reason::BindingUnsupported)
}
