//! A person with a browser and one OAuth client, over one keep-alive connection: signs in once, then gets codes and tokens
//! as often as wanted.
//!
//! Tokens are not added to the stack's secrets: there may be tens of thousands.

use std::io;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;

use crate::{
    Stack,
    http::{Connection, Request, Response},
};

/// Where codes go: nobody is asked there. Of an https address the server knows whose it is, so it asks a person only once.
pub const REDIRECT: &str = "https://app.example.com/callback";
const REDIRECT_ESCAPED: &str = "https%3A%2F%2Fapp.example.com%2Fcallback";
/// Of RFC 7636, appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// Its challenge.
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What `/token` answered.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: String,
}

/// A person who is signed in, and their client.
#[derive(Debug)]
pub struct Person {
    connection: Connection,
    cookies: Vec<String>,
    client_id: String,
}

impl Person {
    /// Makes a public client, and signs the first owner in.
    pub async fn sign_in(stack: &Stack, client: &str) -> io::Result<Self> {
        let created = stack.client(
            client,
            &["--public", "--redirect-uri", REDIRECT, "--scopes", "memory:read"],
        )?;
        let client_id = created["client_id"].as_str().unwrap_or_default();
        let mut person = Self::visit(&stack.control.address(), client_id).await?;
        let bootstrap = stack.control.bootstrap()?;
        let email = bootstrap.get("admin_email").unwrap_or("admin@localhost");
        let password = bootstrap.get("admin_password").unwrap_or_default();
        person.log_in(email, password).await?;
        Ok(person)
    }

    /// Somebody at `host:port` whom it does not know yet, with a client that is there.
    pub async fn visit(host: &str, client_id: &str) -> io::Result<Self> {
        Ok(Self {
            connection: Connection::open(host).await?,
            cookies: Vec::new(),
            client_id: client_id.to_owned(),
        })
    }

    /// Signs in, in a browser that holds nothing.
    pub async fn log_in(&mut self, email: &str, password: &str) -> io::Result<()> {
        self.cookies.clear();
        let fields = [
            ("return_to", "/account"),
            ("email", email),
            ("password", password),
        ];
        let answer = self
            .submit("/login?return_to=%2Faccount", "/login", &fields)
            .await?;
        expect(&answer, 303)
    }

    /// Sends a form that a page shows, with its token.
    pub async fn submit(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> io::Result<Response> {
        let shown = self.browse(Request::get(page)).await?;
        let mut form = vec![("csrf", hidden(&shown, "csrf")?)];
        form.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.browse(post(path, &form)).await
    }

    /// Goes on with another one's cookies.
    pub fn take_cookies_of(&mut self, other: &Self) {
        self.cookies.clone_from(&other.cookies);
    }

    /// Any request, without this browser's cookies.
    pub async fn send(&mut self, request: &Request) -> io::Result<Response> {
        self.connection.exchange(request).await
    }

    /// A code; agrees if asked.
    pub async fn code(&mut self) -> io::Result<String> {
        let target = format!(
            "/authorize?response_type=code&client_id={}&redirect_uri={REDIRECT_ESCAPED}&scope=openid+memory%3Aread&state=s\
             &code_challenge={CHALLENGE}&code_challenge_method=S256",
            self.client_id,
        );
        let mut answer = self.browse(Request::get(&target)).await?;
        if answer.status == 200 {
            let mut form = Vec::new();
            for name in ["csrf", "query", "scopes", "identity"] {
                form.push((name, hidden(&answer, name)?));
            }
            form.push(("decision", "allow".to_owned()));
            answer = self.browse(post("/authorize", &form)).await?;
        }
        expect(&answer, 303)?;
        let location = answer.header("location").unwrap_or_default();
        let code = location.strip_prefix(REDIRECT).and_then(|query| {
            query
                .trim_start_matches('?')
                .split('&')
                .find_map(|pair| pair.strip_prefix("code="))
        });
        code.map(str::to_owned)
            .ok_or_else(|| io::Error::other(format!("no code in {location}")))
    }

    /// Code to tokens.
    pub async fn exchange(&mut self, code: &str) -> io::Result<Tokens> {
        let answer = self.connection.exchange(&self.exchange_request(code)).await?;
        tokens(&answer)
    }

    /// The request that [`Person::exchange`] sends.
    pub fn exchange_request(&self, code: &str) -> Request {
        let form = [
            ("grant_type", "authorization_code".to_owned()),
            ("client_id", self.client_id.clone()),
            ("code", code.to_owned()),
            ("code_verifier", VERIFIER.to_owned()),
            ("redirect_uri", REDIRECT.to_owned()),
        ];
        post("/token", &form)
    }

    /// Refresh token to tokens.
    pub async fn refresh(&mut self, token: &str) -> io::Result<Tokens> {
        let answer = self.connection.exchange(&self.refresh_request(token)).await?;
        tokens(&answer)
    }

    /// The request that [`Person::refresh`] sends.
    pub fn refresh_request(&self, token: &str) -> Request {
        let form = [
            ("grant_type", "refresh_token".to_owned()),
            ("client_id", self.client_id.clone()),
            ("refresh_token", token.to_owned()),
        ];
        post("/token", &form)
    }

    /// Any request with this browser's cookies.
    pub async fn browse(&mut self, request: Request) -> io::Result<Response> {
        let request = if self.cookies.is_empty() {
            request
        } else {
            request.header("cookie", self.cookies.join("; "))
        };
        let answer = self.connection.exchange(&request).await?;
        for (name, value) in &answer.headers {
            if name == "set-cookie" {
                let pair = value.split(';').next().unwrap_or_default().to_owned();
                let prefix = format!("{}=", pair.split('=').next().unwrap_or_default());
                self.cookies.retain(|cookie| !cookie.starts_with(&prefix));
                self.cookies.push(pair);
            }
        }
        Ok(answer)
    }
}

/// Reads a token answer, and checks that it is whole.
pub fn tokens(answer: &Response) -> io::Result<Tokens> {
    expect(answer, 200)?;
    let body = answer.json();
    let text = |name: &str| {
        body[name]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| io::Error::other(format!("no {name} in the answer")))
    };
    text("id_token")?;
    Ok(Tokens {
        access: text("access_token")?,
        refresh: text("refresh_token")?,
    })
}

/// The client of an answer's access token.
pub fn client_of(answer: &Response) -> io::Result<String> {
    claim(&tokens(answer)?.access, "client_id")
}

/// A text claim of a JWT.
pub fn claim(token: &str, name: &str) -> io::Result<String> {
    claims(token)
        .and_then(|claims| claims[name].as_str().map(str::to_owned))
        .ok_or_else(|| io::Error::other(format!("an access token without {name}")))
}

/// All claims of a JWT.
pub fn claims(token: &str) -> Option<Value> {
    let part = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&part).ok()
}

pub(crate) fn expect(answer: &Response, status: u16) -> io::Result<()> {
    if answer.status == status {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "{} instead of {status}: {}",
        answer.status,
        answer.text()
    )))
}

/// `POST` of a form whose values may hold anything.
pub fn post(path: &str, pairs: &[(&str, String)]) -> Request {
    let escape = |text: &str| {
        text.bytes()
            .map(|byte| match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
                other => format!("%{other:02X}"),
            })
            .collect::<String>()
    };
    let escaped: Vec<_> = pairs.iter().map(|(name, value)| (*name, escape(value))).collect();
    let pairs: Vec<_> = escaped
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Request::new("POST", path).form(&pairs)
}

/// The value of a hidden field of a page.
fn hidden(page: &Response, name: &str) -> io::Result<String> {
    let text = page.text();
    let value = text
        .split_once(&format!("name=\"{name}\" value=\""))
        .and_then(|(_, rest)| rest.split('"').next());
    value
        .map(|value| value.replace("&#38;", "&"))
        .ok_or_else(|| io::Error::other(format!("no {name} in {} {text}", page.status)))
}
