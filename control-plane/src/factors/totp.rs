//! The codes of authenticator apps (RFC 6238): six digits, 30 seconds, SHA-1, which is what every app can do.
//!
//! A code is taken one step before and one after its time (§5.2). What it does not: see to it that a code counts once; the
//! step that is given back is for that.

use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use shared::id::UserId;
use shared::time::UnixSeconds;
use totp_rs::{Builder, Totp};
use url::Url;
use zeroize::Zeroizing;

use crate::config::Config;

/// RFC 4226 §4: 160 bits.
pub(super) const SECRET_BYTES: usize = 20;

/// What the app and we have in common. Wiped on drop; not printed.
pub(super) struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    pub(super) fn new(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(super) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::new)
    }

    pub(super) fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// The time step whose code this is, if it is one of now.
    pub(super) fn step_of(&self, code: &str, now: UnixSeconds) -> Option<u64> {
        let digits: Zeroizing<String> = Zeroizing::new(code.chars().filter(|c| !c.is_whitespace()).collect());
        self.totp("").ok()?.check(&digits, now.0)
    }

    /// The code of a time.
    #[cfg(test)]
    pub(super) fn code_at(&self, now: UnixSeconds) -> String {
        self.totp("").expect("a secret").generate(now.0).to_string()
    }

    /// The secret for people who type it: groups of four letters and digits.
    pub(super) fn in_groups(&self) -> Zeroizing<String> {
        let text = Zeroizing::new(
            self.totp("")
                .map(|totp| totp.secret().to_base32())
                .unwrap_or_default(),
        );
        let mut grouped = Zeroizing::new(String::with_capacity(text.len() + text.len() / 4));
        for (place, letter) in text.chars().enumerate() {
            if place > 0 && place % 4 == 0 {
                grouped.push(' ');
            }
            grouped.push(letter);
        }
        grouped
    }

    /// The picture that apps read, as an SVG element. Black on white whatever the page's colours: scanners want it so.
    pub(super) fn picture(&self, config: &Config, email: &str) -> Option<String> {
        let url = Zeroizing::new(self.named(config, email)?.to_url().ok()?);
        let code = QrCode::with_error_correction_level(url.as_bytes(), EcLevel::M).ok()?;
        let drawn = code
            .render()
            .min_dimensions(200, 200)
            .dark_color(svg::Color("#000000"))
            .light_color(svg::Color("#ffffff"))
            .build();
        // Without the XML declaration, which has no place in HTML.
        drawn.find("<svg").map(|start| drawn[start..].to_owned())
    }

    fn named(&self, config: &Config, email: &str) -> Option<Totp> {
        let issuer = Url::parse(&config.issuer).ok()?;
        // The name of the account in the app. A colon would end the issuer's name.
        let account = email.replace(':', " ");
        let host = issuer.host_str().unwrap_or_default().replace(':', " ");
        self.builder()
            .with_account_name(account)
            .with_issuer(Some(format!("Portcullis {host}")))
            .build()
            .ok()
    }

    fn totp(&self, account: &str) -> Result<Totp, totp_rs::TotpError> {
        self.builder().with_account_name(account).build()
    }

    fn builder(&self) -> Builder {
        Builder::new().with_secret(self.0.to_vec())
    }
}

/// Where a secret is sealed: it opens in its user's row only.
pub(crate) fn row_context(user: UserId) -> String {
    format!("portcullis/totp/{user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        Secret::new(*b"12345678901234567890")
    }

    /// RFC 6238 appendix B, its SHA-1 rows, cut to six digits.
    #[test]
    fn the_vectors_of_the_rfc() {
        for (at, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(secret().code_at(UnixSeconds(at)), code);
            assert_eq!(secret().step_of(code, UnixSeconds(at)), Some(at / 30));
        }
    }

    #[test]
    fn one_step_to_either_side() {
        let step = 37_037_037;
        let code = secret().code_at(UnixSeconds(step * 30));
        let taken = |at: u64| secret().step_of(&code, UnixSeconds(at)).is_some();
        assert!(!taken((step - 1) * 30 - 1), "two steps early");
        assert!(taken((step - 1) * 30), "one step early");
        assert!(taken((step + 1) * 30 + 29), "one step late");
        assert!(!taken((step + 2) * 30), "two steps late");
    }

    #[test]
    fn digits_and_nothing_else() {
        let at = UnixSeconds(59);
        assert!(secret().step_of(" 287 082 ", at).is_some());
        for wrong in [
            "",
            "28708",
            "2870820",
            "+87082",
            "28708a",
            "２８７０８２",
            "287083",
        ] {
            assert!(secret().step_of(wrong, at).is_none(), "{wrong}");
        }
    }

    #[test]
    fn an_app_can_read_it() {
        let config = Config::default();
        let url = secret().named(&config, "ada@example.com").expect("named");
        assert_eq!(
            url.to_url().expect("a URL"),
            "otpauth://totp/Portcullis%20127.0.0.1:ada%40example.com\
             ?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Portcullis%20127.0.0.1"
        );
        assert!(secret().named(&config, "a:b@example.com").is_some());
        let picture = secret().picture(&config, "ada@example.com").expect("a picture");
        assert!(
            picture.starts_with("<svg ") && !picture.contains("style"),
            "{picture}"
        );
        assert_eq!(
            secret().in_groups().as_str(),
            "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"
        );
        assert_eq!(format!("{:?}", secret()), "Secret");
    }
}
