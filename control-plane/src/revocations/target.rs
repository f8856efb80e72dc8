//! What can be revoked, by its name.

use serde::Deserialize;
use shared::id::{GrantId, KeyId, OrgId, SessionId, UserId, WorkspaceId};

use crate::error::{ApiError, Code};

/// The longest name: an issuer or a client may be a URL.
const MAX_NAME: usize = 2048;

/// The member `target` of a request: exactly one of these.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RevocationTarget)]
pub(super) struct TargetBody {
    /// An API key: `key_…`.
    key: Option<String>,
    /// What a person agreed to for a client, with all its tokens: `grt_…`.
    grant: Option<String>,
    /// Everything that a client was issued: `cli_…` or its `client_id`.
    #[schema(example = "cli_000000001")]
    client: Option<String>,
    /// Everything of a person in this organisation: `usr_…`.
    user: Option<String>,
    /// A sign-in and what came of it: `ses_…`.
    session: Option<String>,
    /// Everything of the organisation: `org_…`.
    org: Option<String>,
    /// Refused here: signing keys belong to the whole installation.
    signing_key: Option<String>,
    /// Everything that an issuer vouched for.
    issuer: Option<String>,
    workspace: Option<String>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// An API key.
    Key(KeyId),
    /// A consent with all its tokens.
    Grant(GrantId),
    /// Everything that a client was issued, by its `client_id` or its number here.
    Client(String),
    /// Everything of a person in the caller's organisation.
    User(UserId),
    /// A sign-in and what came of it.
    Session(SessionId),
    /// Everything of an organisation.
    Org(OrgId),
    /// Everything that a key of ours has signed.
    SigningKey,
    /// Everything that an identity provider vouched for.
    Issuer(String),
    /// Every key that is for one workspace only.
    Workspace(WorkspaceId),
}

impl Target {
    /// The target that a body names. A text that is not even an id is a thing that is not there; it is not repeated: it may be
    /// a whole credential.
    pub(super) fn read(body: TargetBody) -> Result<Self, ApiError> {
        let TargetBody {
            key,
            grant,
            client,
            user,
            session,
            org,
            signing_key,
            issuer,
            workspace,
        } = body;
        let mut named = [
            ("key", key),
            ("grant", grant),
            ("client", client),
            ("user", user),
            ("session", session),
            ("org", org),
            ("signing_key", signing_key),
            ("issuer", issuer),
            ("workspace", workspace),
        ]
        .into_iter()
        .filter_map(|(kind, name)| Some((kind, name?)));
        let (Some((kind, name)), None) = (named.next(), named.next()) else {
            let detail =
                "name exactly one of key, grant, client, user, session, org, signing_key, issuer, workspace";
            return Err(ApiError::new(Code::InvalidField, detail).field("target"));
        };
        if name.is_empty() || name.len() > MAX_NAME || name.contains('\0') {
            return Err(ApiError::not_found(kind));
        }
        let missing = || ApiError::not_found(kind);
        Ok(match kind {
            "key" => Self::Key(name.parse().map_err(|_| missing())?),
            "grant" => Self::Grant(name.parse().map_err(|_| missing())?),
            "client" => Self::Client(name),
            "user" => Self::User(name.parse().map_err(|_| missing())?),
            "session" => Self::Session(name.parse().map_err(|_| missing())?),
            "org" => Self::Org(name.parse().map_err(|_| missing())?),
            "signing_key" => Self::SigningKey,
            "workspace" => Self::Workspace(name.parse().map_err(|_| missing())?),
            _ => Self::Issuer(name),
        })
    }
}
