//! Everything that a request may need, built once in `main` and passed. No other state.

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use shared::policy::CompiledPolicy;
use shared::scope::Catalogue;

use crate::audit;
use crate::clock::Clock;
use crate::config::Config;
use crate::edge::Edges;
use crate::explain;
use crate::http::fetch::Fetcher;
use crate::http::limit::Limits;
use crate::issuers;
use crate::mail;
use crate::oauth::lookup::OpenClients;
use crate::oauth::providers::IdentityProviders;
use crate::orgs::password::Passwords;
use crate::policies;
use crate::random::Random;
use crate::revocation::Feed;
use crate::signals::Signals;
use crate::signing::Keyring;
use crate::status_lists::Lists;
use crate::store::Store;
use crate::usage::Usage;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const REQUEST_LIMIT: Duration = Duration::from_secs(15);

/// The control plane's parts.
#[derive(Debug)]
pub struct App {
    /// What the operator set.
    pub config: Config,
    /// The database.
    pub store: Store,
    /// Now.
    pub clock: Clock,
    /// Random numbers.
    pub random: Random,
    /// Route policy and scope catalogue, which change while we run: see [`App::policy`].
    pub policies: policies::Live,
    /// Our own signing keys.
    pub keyring: Keyring,
    /// The publisher: wake it, ask whether it runs.
    pub feed: Feed,
    /// What is known of edges beside what they have.
    pub edges: Edges,
    /// What is known of usage that waits at edges.
    pub usage: Usage,
    /// Clients that nobody registered here.
    pub open_clients: OpenClients,
    /// Identity providers of organisations.
    pub identity_providers: IdentityProviders,
    /// Where keys of other issuers are found.
    pub issuers: issuers::Discovery,
    /// Public keys of those who send us signals.
    pub signals: Signals,
    /// Status lists that were made lately.
    pub status_lists: Lists,
    /// The state that was last explained from.
    pub explanations: explain::Memory,
    /// Checks and hashes passwords, a few at a time.
    pub passwords: Passwords,
    /// Where mail goes.
    pub mail: mail::Transport,
    /// How often programs may call, and fail.
    pub limits: Limits,
    /// What was seen of the audit trail's seals.
    pub audit: audit::Watch,
    /// For messages to apps, at addresses that they chose.
    pub callbacks: Fetcher,
    /// For calls to edges. No redirects.
    pub http: reqwest::Client,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
}

/// What [`App::build`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// What the operator set.
    pub config: Config,
    /// A migrated, set-up database.
    pub store: Store,
    /// Now.
    pub clock: Clock,
    /// Random numbers.
    pub random: Random,
    /// Renders `/metrics`.
    pub metrics: PrometheusHandle,
}

impl App {
    /// Loads keys and policy and puts the parts together.
    pub async fn build(parts: Parts) -> anyhow::Result<Arc<Self>> {
        let keyring = Keyring::load(&parts.store, &parts.config).await?;
        Self::build_with(parts, keyring).await
    }

    /// The same with keys that were loaded or made before.
    pub async fn build_with(parts: Parts, keyring: Keyring) -> anyhow::Result<Arc<Self>> {
        let Parts {
            config,
            store,
            clock,
            random,
            metrics,
        } = parts;
        portcullis_edge::es512::install();
        let policies = policies::Live::load(&mut store.begin_read().await?, &config).await?;
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .timeout(REQUEST_LIMIT)
            .no_proxy()
            .build()?;
        let mail = mail::Transport::build(&config)?;
        let open_clients = OpenClients::build(&config, policies.catalogue(), &keyring, &clock)?;
        let identity_providers = IdentityProviders::build(&config, &clock)?;
        let issuers = issuers::Discovery::build(&config, &clock)?;
        let signals = Signals::build(&config)?;
        let callbacks = Fetcher::new(config.fetches_loopback())?;
        Ok(Arc::new(Self {
            mail,
            signals,
            callbacks,
            limits: Limits::new(&config, &clock),
            edges: Edges::new(&config, &clock, &random)?,
            usage: Usage::new(&config, &clock),
            open_clients,
            identity_providers,
            issuers,
            config,
            store,
            clock,
            random,
            policies,
            keyring,
            audit: audit::Watch::default(),
            feed: Feed::default(),
            status_lists: Lists::default(),
            explanations: explain::Memory::default(),
            passwords: Passwords::default(),
            http,
            metrics,
        }))
    }

    /// The route policy in force. Whoever asks twice in one request may get two.
    pub fn policy(&self) -> Arc<CompiledPolicy> {
        self.policies.policy()
    }

    /// The scopes of this deployment: they only grow.
    pub fn catalogue(&self) -> &Catalogue {
        self.policies.catalogue()
    }
}
