//! What the letters say. Plain text, short, and never a word that a stranger chose where a stranger can cause the letter.

use shared::time::UnixMillis;
use url::Url;

use crate::pages::Moment;

/// A letter that is to be sent.
#[derive(Clone)]
pub struct Letter {
    /// What it is about, for logs and metrics.
    pub(super) kind: &'static str,
    pub(super) subject: String,
    pub(super) text: String,
    /// When it is of no use any more.
    pub(super) expires_at: Option<UnixMillis>,
}

/// Without the text: it may hold a link.
impl std::fmt::Debug for Letter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Letter").field(&self.kind).finish()
    }
}

impl Letter {
    /// To the owner of a key that ends soon.
    pub fn key_expiring(name: &str, id: &str, expires_at: UnixMillis) -> Self {
        let until = Moment::from(expires_at).words;
        Self {
            kind: "key_expiring",
            subject: "An API key of yours ends soon".to_owned(),
            text: format!(
                "Hello,\n\n\
                 the API key \"{name}\" ({id})\n\
                 stops working on {until}.\n\n\
                 If something still uses it, rotate it before, and put the new\n\
                 key in its place.\n"
            ),
            expires_at: Some(expires_at),
        }
    }

    /// To somebody who is making an account.
    pub fn sign_up(link: &Url, expires_at: UnixMillis) -> Self {
        let until = Moment::from(expires_at).words;
        Self {
            kind: "sign_up",
            subject: "Confirm your e-mail address".to_owned(),
            text: format!(
                "Hello,\n\n\
                 somebody, probably you, is making an account with this e-mail\n\
                 address. To confirm it, open this link and enter the password that\n\
                 you chose:\n\n\
                 {link}\n\n\
                 The link works once, until {until}.\n\n\
                 If it was not you, do nothing: without the link there will be no\n\
                 account.\n"
            ),
            expires_at: Some(expires_at),
        }
    }

    /// To somebody who is making an account and has one.
    pub fn has_account(sign_in: &Url, forgot: &Url) -> Self {
        Self {
            kind: "has_account",
            subject: "You already have an account".to_owned(),
            text: format!(
                "Hello,\n\n\
                 somebody, probably you, tried to make an account with this e-mail\n\
                 address. There is one already, and nothing was changed. To sign in,\n\
                 open\n\n\
                 {sign_in}\n\n\
                 and if you forgot the password, open\n\n\
                 {forgot}\n\n\
                 If it was not you, you need not do anything.\n"
            ),
            expires_at: None,
        }
    }

    /// To somebody who forgot their password.
    pub fn password_reset(link: &Url, expires_at: UnixMillis) -> Self {
        let until = Moment::from(expires_at).words;
        Self {
            kind: "password_reset",
            subject: "Choose a new password".to_owned(),
            text: format!(
                "Hello,\n\n\
                 somebody, probably you, asked for a new password for your account.\n\
                 To choose one, open\n\n\
                 {link}\n\n\
                 The link works once, until {until}.\n\n\
                 If it was not you, do nothing: your password stays as it is.\n"
            ),
            expires_at: Some(expires_at),
        }
    }

    /// To somebody whose password was replaced.
    pub fn password_changed(at: UnixMillis, forgot: &Url) -> Self {
        let at = Moment::from(at).words;
        Self {
            kind: "password_changed",
            subject: "Your password was changed".to_owned(),
            text: format!(
                "Hello,\n\n\
                 the password of your account was changed on {at}.\n\
                 All other sessions were ended.\n\n\
                 If it was not you, somebody else can read your mail or knew your\n\
                 password. Choose a new one at once:\n\n\
                 {forgot}\n\n\
                 and tell your administrator.\n"
            ),
            expires_at: None,
        }
    }

    /// To somebody whose key a secret scanner found. `place` is where, without anything that holds the key.
    pub fn leaked_key(masked: &str, id: &str, place: Option<&str>, revoked: bool) -> Self {
        let place = place.map_or_else(
            || "in a public place".to_owned(),
            |place| format!("at\n\n{place}\n\n"),
        );
        let done = if revoked {
            "It was revoked at once, with every key that came of it by rotation.\n\
             Make a new one where it was used, and keep it out of source code."
        } else {
            "It and every key that came of it by rotation can only read now. Make a\n\
             new one where it was used, and then revoke it."
        };
        Self {
            kind: "leaked_key",
            subject: "An API key of yours was found in public".to_owned(),
            text: format!(
                "Hello,\n\n\
                 a secret scanner found your API key {masked} ({id}) {place}\n\n\
                 {done}\n\n\
                 Whoever read it there may have used it before: look through what it did.\n"
            ),
            expires_at: None,
        }
    }

    /// To somebody who is invited.
    pub fn invitation(org: &str, inviter: &str, role: &str, link: &Url, expires_at: UnixMillis) -> Self {
        let until = Moment::from(expires_at).words;
        let article = if role.starts_with(['a', 'o']) { "an" } else { "a" };
        Self {
            kind: "invitation",
            subject: format!("Invitation to {org}"),
            text: format!(
                "Hello,\n\n\
                 {inviter} invites you to join the organisation {org} as {article} {role}. To accept, open\n\n\
                 {link}\n\n\
                 The link works once, until {until}.\n\n\
                 If you do not know them, do nothing.\n"
            ),
            expires_at: Some(expires_at),
        }
    }
}
