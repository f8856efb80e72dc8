//! The parameters of an OAuth request: `application/x-www-form-urlencoded`, read strictly (RFC 6749 appendix B).
//!
//! A parameter that comes twice is an error, an empty one counts as absent (RFC 6749 §3.2), a bad escape is an error
//! rather than a guess. What the parameters mean is decided by each endpoint. Values may be secrets: wiped on drop, and
//! Debug shows names only.

use std::collections::{BTreeMap, BTreeSet};

use zeroize::Zeroizing;

/// No honest token request comes near this.
pub const MAX_BODY: usize = 16 * 1024;
const MAX_PARAMETERS: usize = 64;

/// Why a body is not a form. The text is safe to send back: it holds names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Wrong media type.
    #[error("the body must be application/x-www-form-urlencoded")]
    ContentType,
    /// Longer than [`MAX_BODY`], or more parameters than anybody needs.
    #[error("the body is too large")]
    TooLarge,
    /// A bad percent escape, a character that must be escaped, or bytes that are not UTF-8.
    #[error("the body is not valid application/x-www-form-urlencoded text")]
    Encoding,
    /// RFC 6749 §3.2: parameters must not be included more than once.
    #[error("a parameter is given more than once")]
    Repeated,
}

/// The parameters of one request.
pub struct Form(BTreeMap<String, Zeroizing<String>>);

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.keys()).finish()
    }
}

impl Form {
    /// Reads a body that was sent with this `Content-Type`.
    pub fn parse(content_type: Option<&str>, body: &[u8]) -> Result<Self, FormError> {
        Self::parse_up_to(content_type, body, MAX_BODY)
    }

    /// The same for a page of ours, whose router has a limit of its own.
    pub fn parse_up_to(content_type: Option<&str>, body: &[u8], most: usize) -> Result<Self, FormError> {
        let essence = content_type
            .unwrap_or_default()
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(FormError::ContentType);
        }
        if body.len() > most {
            return Err(FormError::TooLarge);
        }
        let text = std::str::from_utf8(body).map_err(|_| FormError::Encoding)?;
        let (form, repeated) = Self::read(text)?;
        if !repeated.is_empty() {
            return Err(FormError::Repeated);
        }
        Ok(form)
    }

    /// Reads a query, and says which parameters came more than once: an authorization request has another answer for
    /// `client_id` than for the rest.
    pub fn from_query(query: &str) -> Result<(Self, BTreeSet<String>), FormError> {
        if query.len() > MAX_BODY {
            return Err(FormError::TooLarge);
        }
        Self::read(query)
    }

    fn read(text: &str) -> Result<(Self, BTreeSet<String>), FormError> {
        let (mut form, mut repeated) = (BTreeMap::new(), BTreeSet::new());
        for (count, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if count >= MAX_PARAMETERS {
                return Err(FormError::TooLarge);
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or(FormError::Encoding)?;
            let value = decode(value).ok_or(FormError::Encoding)?;
            if form.insert(name.as_str().to_owned(), value).is_some() {
                repeated.insert(name.as_str().to_owned());
            }
        }
        Ok((Self(form), repeated))
    }

    /// Whether it has a parameter with another name than these.
    pub fn has_more_than(&self, known: &[&str]) -> bool {
        self.0.keys().any(|name| !known.contains(&name.as_str()))
    }

    /// The value of a parameter, unless it is absent or empty.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|value| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// Undoes form encoding: `+` is a space, `%41` is `A`; anything malformed is refused.
pub(super) fn decode(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            0x21..=0x7e => byte,
            _ => return None,
        });
    }
    std::str::from_utf8(&bytes)
        .ok()
        // No parameter has a NUL, and PostgreSQL takes none in a text.
        .filter(|text| !text.contains('\0'))
        .map(|text| Zeroizing::new(text.to_owned()))
}
