//! What each error means and what to do about it: the text of the page that `type` in a problem leads to.

use crate::error::Code;

macro_rules! explained {
    ($($code:ident: $text:literal,)*) => {
        /// Every error, in the order of the page.
        pub const ALL: &[Code] = &[$(Code::$code),*];

        /// What it means and what to do.
        pub fn explained(code: Code) -> &'static str {
            match code {
                $(Code::$code => $text,)*
            }
        }
    };
}

explained! {
    AlreadyCreated: "A request with this Idempotency-Key was answered before, and that answer held a secret, which is shown only once. `id` names what was made: use it, or rotate it if the answer was lost.",
    AlreadyRotated: "The key was rotated before. `rotated_to` names its successor: rotate that one.",
    BodyTooLarge: "The body has more bytes than this endpoint reads, mostly 65,536. Send less.",
    Busy: "The database was held by somebody else for too long, or something that the answer depends on cannot be reached now. Nothing was changed: try again after `Retry-After`.",
    ClientDisabled: "The OAuth client was disabled, which is for good. Register another one.",
    CredentialsMissing: "There is no `Authorization` header. Send `Authorization: Bearer …` with an API key, or with an access token of `portcullis login`.",
    EdgeAhead: "The edge knows frames that this database does not: it was restored or copied. Nothing is sent until an operator has looked; see “Backup and recovery” in docs/operations.md.",
    EdgesBehind: "An edge runs a release that would not understand what it is to be told, or has not said yet which one it runs. Deploy the edge, then try again after `Retry-After`.",
    Erased: "What was stored about this person was made unreadable, for good.",
    ExceedsCaller: "The credential is good, but what is asked for is more than it or its user may do or give away: other scopes, another workspace, a longer life, a higher role. `field` names what.",
    IdempotencyMismatch: "The Idempotency-Key was used before with another path or another body. Use a fresh key for each thing that you want made.",
    InsufficientScope: "The credential lacks the scope in `scope`, or the role of its user does not allow it.",
    Internal: "This is our fault. Try again; if it stays, report the `request_id`, under which the log has the cause.",
    InvalidCursor: "The cursor is not one that this list gave out. Send `next_cursor` of the page before, unchanged, with the same filters.",
    InvalidDpopProof: "The token is bound to a key, and the DPoP proof is missing, malformed, too old, used before, or made by another key. Make a new proof for each request.",
    InvalidField: "The value of `field` makes no sense here; `detail` says what would.",
    InvalidPolicy: "The route policy has mistakes. `problems` names each with its place; `POST /v1/policy/check` does so without applying anything.",
    InvalidJson: "The body is not one JSON value of the expected form, holds a member twice, or is nested too deeply.",
    InvalidSignature: "The message is not signed by the sender that it names.",
    InvalidToken: "The credential is malformed, unknown, expired, revoked, or not for this API. Which of these is not said. Use another one, or sign in again.",
    InvitationAccepted: "The invitation was accepted: whoever it was for is a member now. Change or deactivate the member instead.",
    IssuerTaken: "An organisation trusts this issuer already. If it is yours, `id` names it: change that one.",
    IssuerUnreachable: "The issuer's metadata or keys cannot be read from here, or hold no key that could count. `detail` says what went wrong; nothing was changed.",
    KeyExpired: "The key has ended by itself. Make a new one.",
    KeyQuarantined: "The key is in quarantine: it gives nothing out and is not rotated. Release it first, or revoke it.",
    KeyRevoked: "The key is revoked, for good. Make a new one.",
    LastOwner: "Nobody would be left who may do everything. Make somebody else an owner first.",
    MethodNotAllowed: "The path exists, but not with this method. The header `Allow` lists those that there are.",
    MissingField: "`field` is required.",
    NameTaken: "Something else of the same kind in the organisation, perhaps archived, has this name. Choose another one.",
    NoSecret: "The OAuth client shows no secret: it is public, or proves who it is with a key of its own. There is nothing to rotate.",
    NoMail: "This deployment sends no mail, and the request needs one sent. An operator sets `mail.smtp_host` and `mail.from`.",
    NotAcceptable: "None of the forms that `Accept` lists exists here.",
    NotDeactivated: "Only somebody who is deactivated can be erased. Deactivate them first: that ends their keys, tokens and sessions.",
    NotFound: "There is no such thing, or it belongs to another organisation: the two look alike.",
    ManagedByFile: "The route policy is a file of the deployment (`policy_file`): change that file, or take the setting out.",
    NotSupported: "A part of a standard that this server leaves out. `detail` says which.",
    PreconditionRequired: "The change must say what it changes: send the `ETag` that you read as `If-Match`.",
    PreconditionFailed: "What you wanted to change is not what you have seen any more: its `ETag` is another one than your `If-Match` names. Nothing was done. Read it again, then decide.",
    RateLimited: "Too many requests. Wait as long as `Retry-After` says; `RateLimit` and `RateLimit-Policy` tell how many there may be.",
    RightsChanged: "The caller's rights changed while the request ran. Nothing was done: try again.",
    SeveralCredentials: "The request holds more than one credential. Send exactly one.",
    Timeout: "The request took too long, and it is not known here whether it was done. Look before you try again.",
    TooMany: "There are as many of these as there may be. Remove one that is not needed, then make another.",
    TooManyMatches: "More credentials match than one revocation ends. Nothing was done: make the filter narrower.",
    UnknownField: "`field` does not exist. Remove it or correct its name: nothing is ignored in silence.",
    UnsupportedMediaType: "Send JSON with `Content-Type: application/json`, or what the endpoint's description names.",
    WebhookDisabled: "The webhook is off, so nothing is sent to it. Turn it on first.",
    WrongEdge: "The uplink key belongs to an edge that has no business with this feed.",
}
