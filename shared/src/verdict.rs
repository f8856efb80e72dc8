//! Why a request was let in or refused: stable codes for logs, metrics, `explain` and vectors.
//!
//! Inside they are exact. Outside a caller learns only the class ([`Outcome`]): which check failed on a bad credential is
//! nobody's business but the operator's.

use serde::{Deserialize, Serialize};

/// What the caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Let in.
    Allow,
    /// 400 `invalid_request`.
    BadRequest,
    /// 401 without `error`: no credential was sent (RFC 6750 §3.1).
    Unauthenticated,
    /// 401 `invalid_token`.
    InvalidToken,
    /// 401 `invalid_dpop_proof` (RFC 9449 §7.1).
    InvalidProof,
    /// 403 `insufficient_scope`.
    InsufficientScope,
    /// 403, for a reason that no scope would change.
    Forbidden,
    /// 429 `rate_limited` with Retry-After.
    TooManyRequests,
    /// 503 `state_stale` with Retry-After: never a 401, which would make clients throw good tokens away.
    Unavailable,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal => $outcome:ident;)*) => {
        /// The exact reason for a verdict.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason {
            $($(#[$doc])* #[serde(rename = $code)] $name,)*
        }

        impl Reason {
            /// Every reason, in the order of the source.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable snake_case code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }

            /// What the caller is told.
            pub fn outcome(self) -> Outcome {
                match self { $(Self::$name => Outcome::$outcome),* }
            }
        }
    };
}

reasons! {
    /// A credential that may do this.
    Allowed = "allowed" => Allow;
    /// A public route.
    Public = "public" => Allow;
    /// The path has no canonical form.
    PathMalformed = "path_malformed" => BadRequest;
    /// More than one credential in one request.
    CredentialAmbiguous = "credential_ambiguous" => BadRequest;
    /// `Mcp-Method` or `Mcp-Name` came twice, or cannot be read, or one without the other.
    McpHeadersMalformed = "mcp_headers_malformed" => BadRequest;
    /// No `Mcp-Method` where the route asks for it.
    McpHeadersMissing = "mcp_headers_missing" => BadRequest;
    /// No route allows this method and path.
    RouteDenied = "route_denied" => Forbidden;
    /// No credential at all, or one of a scheme that is not Bearer.
    CredentialMissing = "credential_missing" => Unauthenticated;
    /// Neither an API key nor a token by its shape.
    CredentialMalformed = "credential_malformed" => InvalidToken;
    /// The check digits of an API key do not fit.
    ChecksumMismatch = "checksum_mismatch" => InvalidToken;
    /// An API key of another brand.
    BrandRefused = "brand_refused" => InvalidToken;
    /// An API key for an environment that this deployment does not accept.
    EnvironmentRefused = "environment_refused" => InvalidToken;
    /// `alg` is `none`, a MAC, unknown, or not the key's.
    AlgorithmRefused = "algorithm_refused" => InvalidToken;
    /// The token's header is not acceptable.
    HeaderRefused = "header_refused" => InvalidToken;
    /// A JWT that is not an access token.
    TypeRefused = "type_refused" => InvalidToken;
    /// The claims cannot be read.
    ClaimsMalformed = "claims_malformed" => InvalidToken;
    /// Of an organisation that this group of edges does not admit.
    OrgNotAdmitted = "org_not_admitted" => InvalidToken;
    /// No such signing key in the state.
    SigningKeyUnknown = "signing_key_unknown" => InvalidToken;
    /// The signature is wrong.
    SignatureInvalid = "signature_invalid" => InvalidToken;
    /// Another issuer than the key's.
    IssuerRefused = "issuer_refused" => InvalidToken;
    /// Another issuer's token that lives for more than a day.
    LifetimeRefused = "lifetime_refused" => InvalidToken;
    /// Meant for another resource.
    AudienceRefused = "audience_refused" => InvalidToken;
    /// Past its own expiry.
    Expired = "expired" => InvalidToken;
    /// `nbf` or `iat` lies in the future.
    NotYetValid = "not_yet_valid" => InvalidToken;
    /// Bound to a proof of a kind that we do not know (RFC 7800).
    BindingUnsupported = "binding_unsupported" => InvalidToken;
    /// Bound to a DPoP key, but sent as a bearer token (RFC 9449 §7.2).
    BindingIgnored = "binding_ignored" => InvalidToken;
    /// Sent under the scheme DPoP, but bound to no key (RFC 9449 §7.1).
    BindingMissing = "binding_missing" => InvalidToken;
    /// More than one DPoP header.
    ProofAmbiguous = "proof_ambiguous" => BadRequest;
    /// No DPoP header.
    ProofMissing = "proof_missing" => InvalidProof;
    /// A DPoP header that is no proof.
    ProofMalformed = "proof_malformed" => InvalidProof;
    /// A proof by another key than the token's.
    ProofKeyMismatch = "proof_key_mismatch" => InvalidProof;
    /// A proof for another method, URI or token.
    ProofMismatch = "proof_mismatch" => InvalidProof;
    /// A proof that is too old, or from the future.
    ProofExpired = "proof_expired" => InvalidProof;
    /// A proof with a wrong signature.
    ProofSignatureInvalid = "proof_signature_invalid" => InvalidProof;
    /// A proof that came before.
    ProofReplayed = "proof_replayed" => InvalidProof;
    /// No status index of ours where one is needed.
    StatusMissing = "status_missing" => InvalidToken;
    /// The status index lies in no block that was ever announced.
    IndexUnknown = "index_unknown" => InvalidToken;
    /// The status index lies in another key's block, or in a retired list.
    IndexUnowned = "index_unowned" => InvalidToken;
    /// The status bit is set.
    Revoked = "revoked" => InvalidToken;
    /// Issued no later than a not-before of one of its subjects.
    Superseded = "superseded" => InvalidToken;
    /// Its end was moved up (rotation overlap, shortened expiry).
    Ended = "ended" => InvalidToken;
    /// The scopes, under their ceilings, do not suffice.
    ScopeInsufficient = "scope_insufficient" => InsufficientScope;
    /// An API key sent by a browser where the route does not accept that.
    BrowserKeyRefused = "browser_key_refused" => Forbidden;
    /// A browser origin that the route does not list.
    OriginRefused = "origin_refused" => Forbidden;
    /// The organisation or workspace in the path is not the credential's.
    TenantMismatch = "tenant_mismatch" => Forbidden;
    /// More requests than the limit of the class allows its key or client.
    RateLimited = "rate_limited" => TooManyRequests;
    /// A credential that is not known to be true, from an address that showed too many bad ones.
    AddressBraked = "address_braked" => TooManyRequests;
    /// The state is older than the route allows.
    StateStale = "state_stale" => Unavailable;
    /// There is no state at all yet.
    StateMissing = "state_missing" => Unavailable;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_match_serde() {
        let mut codes: Vec<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).expect("a string"), reason.code());
        }
    }
}
