//! Who is measured: an empty Worker, `jose`, and ours in four situations.

use std::{error::Error, io, path::Path, process::Command};

use e2e::{Admin, Objects, Port, Request, Stack, Workerd, WorkerdConfig, files, http};
use serde_json::json;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{CONNECTIONS, REQUESTS};

type Failure = Box<dyn Error>;

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Candidate {
    Empty,
    Jose,
    TokenSeen,
    TokenNew,
    KeySeen,
    KeyNew,
}

impl Candidate {
    pub(crate) const ALL: [Self; 6] = [
        Self::Empty,
        Self::Jose,
        Self::TokenSeen,
        Self::TokenNew,
        Self::KeySeen,
        Self::KeyNew,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Empty => "(a) empty JS Worker",
            Self::Jose => "(b) jose, RS256, one token",
            Self::TokenSeen => "(c) ours, JWT seen before",
            Self::TokenNew => "(d) ours, new JWT each time",
            Self::KeySeen => "(e) ours, API key seen before",
            Self::KeyNew => "(e) ours, new API key each time",
        }
    }

    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Jose => "jose",
            Self::TokenSeen => "jwt_seen",
            Self::TokenNew => "jwt_new",
            Self::KeySeen => "key_seen",
            Self::KeyNew => "key_new",
        }
    }
}

const EMPTY: &str = "export default { fetch: () => new Response('ok') };\n";

/// A Worker as small as jose allows: key imported once, issuer, audience and algorithm checked.
const JOSE: &str = "
import { importJWK, jwtVerify } from 'jose';
let key;
export default {
  async fetch(request, env) {
    key ??= await importJWK(JSON.parse(env.JWK), 'RS256');
    const token = request.headers.get('authorization').slice(7);
    const options = { algorithms: ['RS256'], issuer: env.ISSUER, audience: env.RESOURCE, typ: 'at+jwt' };
    const { payload } = await jwtVerify(token, key, options);
    return new Response(payload.sub);
  },
};
";

/// Everything that runs.
pub(crate) struct Candidates {
    stack: Stack,
    empty: (Workerd, Port),
    jose: (Workerd, Port),
    token: String,
    key: String,
    client: (String, String),
    tokens: Vec<String>,
    keys: Vec<String>,
    _folder: TempDir,
}

impl Candidates {
    pub(crate) async fn start() -> Result<Self, Failure> {
        let stack = Stack::start().await;
        let folder = tempfile::tempdir()?;
        let client = create_client(&stack)?;
        let token = token(&stack.control.address(), &client).await?;
        let key = stack.admin().key("read").await.key;

        let jwks = http::once(&stack.control.address(), &Request::get("/.well-known/jwks.json"))
            .await?
            .json();
        let keys = jwks["keys"].as_array().cloned().unwrap_or_default();
        let jwk = keys
            .iter()
            .find(|jwk| jwk["alg"] == "RS256")
            .ok_or("no RS256 key is published")?
            .to_string();
        let vars = vec![
            ("JWK".to_owned(), jwk),
            ("ISSUER".to_owned(), stack.control.url()),
            ("RESOURCE".to_owned(), stack.edge_url()),
        ];
        let empty = worker(folder.path(), "empty", EMPTY, Vec::new(), false).await?;
        let jose = worker(folder.path(), "jose", JOSE, vars, false).await?;
        Ok(Self {
            stack,
            empty,
            jose,
            token,
            key,
            client,
            tokens: Vec::new(),
            keys: Vec::new(),
            _folder: folder,
        })
    }

    /// Prepares `count` keys and tokens that the edge has never seen.
    pub(crate) async fn issue(&mut self, count: usize) -> Result<(), Failure> {
        let share = count.div_ceil(CONNECTIONS);
        let mut tasks = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let (admin, address, client) = (
                self.stack.admin(),
                self.stack.control.address(),
                self.client.clone(),
            );
            tasks.spawn(async move { issue_share(&admin, &address, &client, share).await });
        }
        while let Some(result) = tasks.join_next().await {
            let (keys, tokens) = result?.map_err(|error| error.to_string())?;
            self.keys.extend(keys);
            self.tokens.extend(tokens);
        }
        Ok(())
    }

    pub(crate) fn address(&self, candidate: Candidate) -> String {
        match candidate {
            Candidate::Empty => self.empty.1.address(),
            Candidate::Jose => self.jose.1.address(),
            _ => self.stack.gate(0),
        }
    }

    /// The id of the workerd that answers.
    pub(crate) fn process(&mut self, candidate: Candidate) -> u32 {
        match candidate {
            Candidate::Empty => self.empty.0.process().id(),
            Candidate::Jose => self.jose.0.process().id(),
            _ => self.stack.edge.process().id(),
        }
    }

    /// The same number of requests for each; new credentials are used once, so the warm-up (no round) has seen ones.
    pub(crate) fn requests(&self, candidate: Candidate, round: Option<usize>) -> Vec<Request> {
        let fresh =
            |list: &[String], number: usize| round.map(|round| list[round * REQUESTS + number].clone());
        let credential = |number: usize| match candidate {
            Candidate::Empty | Candidate::Jose | Candidate::TokenSeen => self.token.clone(),
            Candidate::KeySeen => self.key.clone(),
            Candidate::TokenNew => fresh(&self.tokens, number).unwrap_or_else(|| self.token.clone()),
            Candidate::KeyNew => fresh(&self.keys, number).unwrap_or_else(|| self.key.clone()),
        };
        let request = Request::verify("GET", "/v1/memory/retrieve");
        (0..REQUESTS)
            .map(|number| request.clone().bearer(&credential(number)))
            .collect()
    }
}

/// A JS Worker in a workerd of its own, with a KV namespace if it wants one.
pub(crate) async fn worker(
    folder: &Path,
    name: &str,
    source: &str,
    vars: Vec<(String, String)>,
    store: bool,
) -> Result<(Workerd, Port), Failure> {
    let modules = folder.join(name).join("modules");
    std::fs::create_dir_all(&modules)?;
    let entry = modules.join("entry.js");
    std::fs::write(&entry, source)?;
    let bundled = Command::new(files::root().join("node_modules/.bin/esbuild"))
        .arg(&entry)
        .args([
            "--bundle",
            "--format=esm",
            "--log-level=warning",
            "--conditions=workerd,worker,browser",
        ])
        .arg(format!("--outfile={}", modules.join("index.js").display()))
        .env("NODE_PATH", files::root().join("node_modules"))
        .status()?;
    if !bundled.success() {
        return Err(format!("esbuild did not bundle the Worker '{name}'").into());
    }
    let port = Port::reserve();
    let mut workerd = Workerd::start(WorkerdConfig {
        modules,
        folder: folder.join(name),
        log: folder.join(name).join("log"),
        vars,
        gates: vec![port.address()],
        store,
        kv: None,
        objects: Objects::None,
        cache: false,
        environment: Vec::new(),
    })?;
    workerd.wait().await?;
    Ok((workerd, port))
}

/// A client for client_credentials: (id, secret).
fn create_client(stack: &Stack) -> Result<(String, String), Failure> {
    let args = [
        "--format",
        "json",
        "clients",
        "create",
        "--name",
        "bench",
        "--scopes",
        "memory:read",
    ];
    let created: serde_json::Value = serde_json::from_str(&stack.control.run(&args)?)?;
    let text = |name: &str| {
        created[name]
            .as_str()
            .map(str::to_owned)
            .ok_or_else(|| format!("no {name} in {created}"))
    };
    Ok((text("client_id")?, text("client_secret")?))
}

async fn token(address: &str, (id, secret): &(String, String)) -> io::Result<String> {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
    ];
    let answer = http::once(address, &Request::new("POST", "/token").form(&form)).await?;
    let token = answer.json()["access_token"].as_str().map(str::to_owned);
    token.ok_or_else(|| io::Error::other(format!("no token: {} {}", answer.status, answer.text())))
}

async fn issue_share(
    admin: &Admin,
    address: &str,
    client: &(String, String),
    count: usize,
) -> io::Result<(Vec<String>, Vec<String>)> {
    let (mut keys, mut tokens) = (Vec::new(), Vec::new());
    let body = json!({ "name": "bench", "scope": "read", "environment": "live" });
    for _ in 0..count {
        let answer = admin
            .send(Request::new("POST", "/v1/auth/keys").json(&body))
            .await;
        let key = answer.json()["key"].as_str().map(str::to_owned);
        keys.push(
            key.ok_or_else(|| io::Error::other(format!("no key: {} {}", answer.status, answer.text())))?,
        );
        tokens.push(token(address, client).await?);
    }
    Ok((keys, tokens))
}
