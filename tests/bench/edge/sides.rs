//! Who runs: our edge, and every peer, each in a process of its own.

use std::{cell::RefCell, path::Path, rc::Rc};

use e2e::{Port, Request, Workerd, http};
use serde_json::{Value, json};

use super::origin::Origin;
use crate::{
    pairs::Side,
    peers,
    world::{self, Alg, Failure, ISSUER, World},
};

/// Requests of one run with one credential, and with a new one each.
const REQUESTS: usize = 2000;
const NEW_REQUESTS: usize = 400;
const PATH: &str = "/v1/memory/retrieve";

struct Process {
    id: u32,
    address: String,
    _workerd: Workerd,
    _port: Port,
}

impl Process {
    fn new((mut workerd, port): (Workerd, Port)) -> Self {
        Self {
            id: workerd.process().id(),
            address: port.address(),
            _workerd: workerd,
            _port: port,
        }
    }
}

/// All of them.
pub(super) struct Sides {
    world: Rc<RefCell<World>>,
    ours: Process,
    empty: Process,
    forward: Process,
    jose: Vec<(Alg, Process)>,
    hono: Process,
    provider: Process,
    /// What the OAuth provider gave.
    provider_token: String,
    key: String,
    token: String,
    _origin: Origin,
}

impl Sides {
    pub(super) async fn start(folder: &Path) -> Result<Self, Failure> {
        let origin = Origin::start().await?;
        let port = Port::reserve();
        let mut world = World::new(&port.url())?;
        let edge = world::edge(&folder.join("ours"), &port, &origin.url).await?;
        let resource = port.url();
        let ours = Process::new((edge, port));
        world::push(&ours.address, &world.snapshot()?).await?;
        let (key, token) = (world.api_key()?, world.token(Alg::Rs256)?);

        let answer = http::once(&ours.address, &Request::verify("GET", PATH).bearer(&token)).await?;
        if answer.status != 200 {
            return Err(format!("the edge answered {} {}", answer.status, answer.text()).into());
        }
        let named = |name: &String| name.starts_with("x-") || name == "cache-control";
        let headers: Vec<_> = answer.headers.iter().filter(|(name, _)| named(name)).collect();
        let headers = vec![("HEADERS".to_owned(), json!(headers).to_string())];
        let forward = vec![("ORIGIN".to_owned(), origin.url.clone())];
        let checks = |world: &World, alg: Alg| -> Result<Vec<(String, String)>, Failure> {
            let vars = [
                ("JWK", world.jwk(alg)?),
                ("ALG", alg.name().to_owned()),
                ("ISSUER", ISSUER.to_owned()),
                ("RESOURCE", resource.clone()),
            ];
            Ok(vars.map(|(name, value)| (name.to_owned(), value)).to_vec())
        };
        let mut jose = Vec::new();
        for alg in Alg::ALL {
            let folder = folder.join(alg.name());
            let process = peers::start(&folder, "jose", checks(&world, alg)?, false).await?;
            jose.push((alg, Process::new(process)));
        }
        let hono = peers::start(folder, "hono", checks(&world, Alg::Rs256)?, false).await?;
        let provider = Process::new(peers::start(folder, "oauth_provider", Vec::new(), false).await?);
        let made: Value = http::once(&provider.address, &Request::get("/token"))
            .await?
            .json();
        let provider_token = made["access_token"]
            .as_str()
            .ok_or("the OAuth provider gave no token")?;
        Ok(Self {
            provider_token: provider_token.to_owned(),
            world: Rc::new(RefCell::new(world)),
            ours,
            empty: Process::new(peers::start(folder, "empty", headers, false).await?),
            forward: Process::new(peers::start(folder, "forward", forward, false).await?),
            jose,
            hono: Process::new(hono),
            provider,
            key,
            token,
            _origin: origin,
        })
    }

    /// Ours, in one of its situations.
    pub(super) fn ours(&self, title: &str) -> Result<Side<'_>, Failure> {
        let verify = Request::verify("GET", PATH);
        let requests = match title {
            "verify, API key seen" => same(verify.bearer(&self.key)),
            "verify, RS256 JWT seen" => same(verify.bearer(&self.token)),
            "gateway, API key seen" => same(browsed(Request::get(PATH)).bearer(&self.key)),
            "gateway, RS256 JWT seen" => same(browsed(Request::get(PATH)).bearer(&self.token)),
            "verify, RS256 JWT never seen" => self.new_tokens(Alg::Rs256),
            "verify, ES256 JWT never seen" => self.new_tokens(Alg::Es256),
            "verify, EdDSA JWT never seen" => self.new_tokens(Alg::EdDsa),
            "verify, API key never seen" => self.new_keys(),
            _ => return Err(format!("no such situation: {title}").into()),
        };
        Ok(side(&self.ours, requests))
    }

    /// A peer with the job that it does.
    pub(super) fn peer(&self, title: &str) -> Result<Side<'_>, Failure> {
        let verify = Request::verify("GET", PATH).bearer(&self.token);
        if let Some(name) = title.strip_prefix("jose, ") {
            let mut all = self.jose.iter();
            let (alg, process) = all
                .find(|(alg, _)| alg.name() == name)
                .ok_or("no such algorithm")?;
            return Ok(side(process, self.new_tokens(*alg)));
        }
        Ok(match title {
            "empty, same bytes" => side(&self.empty, same(verify)),
            "forward" => side(
                &self.forward,
                same(browsed(Request::get(PATH)).bearer(&self.token)),
            ),
            "workers-oauth-provider" => {
                let request = Request::get("/api/memory/retrieve").bearer(&self.provider_token);
                side(&self.provider, same(request))
            }
            "hono jwk, RS256" => side(&self.hono, same(verify)),
            _ => return Err(format!("no such peer: {title}").into()),
        })
    }

    fn new_tokens(&self, alg: Alg) -> Requests<'_> {
        Box::new(move || {
            let mut world = self.world.borrow_mut();
            let one = |_| Ok(Request::verify("GET", PATH).bearer(&world.token(alg)?));
            (0..NEW_REQUESTS).map(one).collect()
        })
    }

    fn new_keys(&self) -> Requests<'_> {
        Box::new(move || {
            let mut world = self.world.borrow_mut();
            let one = |_| Ok(Request::verify("GET", PATH).bearer(&world.api_key()?));
            (0..NEW_REQUESTS).map(one).collect()
        })
    }
}

type Requests<'a> = Box<dyn FnMut() -> Result<Vec<Request>, Failure> + 'a>;

fn side<'a>(process: &Process, requests: Requests<'a>) -> Side<'a> {
    Side {
        process: process.id,
        address: process.address.clone(),
        requests,
    }
}

fn same(request: Request) -> Requests<'static> {
    Box::new(move || Ok(vec![request.clone(); REQUESTS]))
}

/// With what an ordinary client sends.
fn browsed(request: Request) -> Request {
    request
        .header("user-agent", "bench/1.0")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, br")
}
