//! The canary: a credential of our own, made and revoked every minute, to see how long regions really go on with one that is
//! revoked. It names an organisation that nobody has and no scopes; the edge lets it in at `/.portcullis/canary` alone.
//!
//! One run: draw an index and sign; wait until every region lets it in; revoke it through the feed; ask each region until it
//! answers 401, and note how long after the commit that was. Its text is in this process's memory only.
//!
//! What it does not: leave rows in key lists, usage or the audit trail (it would be most of it). Its index is one like any
//! other: recorded in `status_indexes` with its end, and in `canaries`, so that a restored database knows it and the
//! retirement of ended indexes takes it along.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use shared::feed::Entry;
use shared::id::{LIMIT, OrgId, StatusIndex, UserId};
use shared::key::{self, Environment, PlainKey, Statement};
use shared::scope::ScopeSet;
use shared::time::UnixMillis;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::Place;
use super::alerts::{Broken, Kind};
use super::watch::millis;
use crate::app::App;
use crate::revocation::edge_api::{address, read};
use crate::revocation::ledger::PLAIN;
use crate::revocation::receipt::bound_ms;
use crate::revocation::window::{Spread, Window};
use crate::revocation::{self, FeedError, Reach};
use crate::signing::{self, Purpose, SigningError};
use crate::store::StoreError;

const LIFE_SECONDS: u64 = 600;
const PATH: &str = "/.portcullis/canary";
const PROBE_LIMIT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 1024;

/// How patient a run is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Until a region that is well has the block of the index.
    pub(super) admission: Duration,
    /// After the bound: then it is not known when the region stopped.
    pub(super) patience: Duration,
    pub(super) pause: Duration,
}

const PACE: Pace = Pace {
    admission: Duration::from_secs(15),
    patience: Duration::from_secs(15),
    pause: Duration::from_millis(50),
};

/// What a run found out about a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = CanaryOutcome)]
pub(crate) enum Outcome {
    /// It refused the canary in time.
    InTime,
    /// It let the canary in for longer than the bound.
    TooLong,
    /// It never let it in, so nothing was measured.
    NotAdmitted,
    /// It stopped answering, or was not fresh: nobody was let in, and nothing was measured.
    NoAnswer,
    /// An edge of an older release.
    Unsupported,
}

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InTime => "in_time",
            Self::TooLong => "too_long",
            Self::NotAdmitted => "not_admitted",
            Self::NoAnswer => "no_answer",
            Self::Unsupported => "unsupported",
        }
    }
}

/// What is known of a region by its canaries.
#[derive(Clone, Debug)]
pub(super) struct Record {
    times: Window,
    outcome: Outcome,
    at: UnixMillis,
    bound_ms: u64,
}

/// The same, for people.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CanarySummary)]
pub(crate) struct Summary {
    /// Of the last run.
    pub(crate) outcome: Outcome,
    pub(crate) at: crate::http::time::Timestamp,
    /// What it was held against.
    pub(crate) bound_ms: u64,
    /// From commit to 401, over a day.
    pub(crate) time_to_401: Option<Spread>,
}

/// A region to ask.
#[derive(Clone, Debug)]
struct Target {
    place: Place,
    url: String,
}

struct Canary {
    index: StatusIndex,
    plain: PlainKey,
}

/// What a region said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    LetIn,
    Refused,
    Unknown,
    Nothing,
}

#[derive(Deserialize)]
struct LetIn {
    region: String,
}

pub(super) async fn keep_sending(app: Arc<App>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(app.config.canary.interval_seconds));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !app.edges.leads() {
            continue;
        }
        if let Err(error) = run(&app, PACE).await {
            tracing::error!(%error, "no canary could be sent; it is tried again");
            metrics::counter!("portcullis_job_failures_total", "job" => "canary").increment(1);
        }
    }
}

/// One canary, from its egg to every region's 401.
pub(super) async fn run(app: &Arc<App>, pace: Pace) -> Result<(), FeedError> {
    let targets = targets(app).await;
    if targets.is_empty() {
        return Ok(());
    }
    let canary = make(app).await?;
    let credential = credential(&canary)?;
    let waiting = targets.into_iter().map(|target| {
        let (app, credential) = (Arc::clone(app), credential.clone());
        async move { (admit(&app, &target, &credential, pace).await, target) }
    });
    let mut admitted = Vec::new();
    for (said, target) in all(waiting).await {
        match said {
            Said::LetIn => admitted.push(target),
            Said::Unknown => note(app, target.place, Outcome::Unsupported, None, 0),
            Said::Refused | Said::Nothing => note(app, target.place, Outcome::NotAdmitted, None, 0),
        }
    }
    // Even if nobody has seen it: it must not live longer than its purpose.
    let bound = revoke(app, canary.index).await?;
    let committed = Instant::now();
    let dying = admitted.into_iter().map(|target| {
        let (app, credential) = (Arc::clone(app), credential.clone());
        async move {
            let death = watch(&app, &target, &credential, (committed, bound), pace).await;
            (death, target)
        }
    });
    for ((outcome, ms), target) in all(dying).await {
        note(app, target.place, outcome, ms, bound);
    }
    Ok(())
}

async fn all<T: Send + 'static>(
    futures: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    futures.collect::<JoinSet<T>>().join_all().await
}

/// The regions of the edges that know canaries. One that does not, answers 404 without looking at a credential.
async fn targets(app: &Arc<App>) -> Vec<Target> {
    let ledgers = app.feed.ledgers().clone();
    let mut targets = Vec::new();
    for edge in app.config.pushed_edges() {
        let Some(ledger) = ledgers.get(&edge.name) else {
            continue;
        };
        let regions: Vec<Target> = ledger
            .regions
            .keys()
            .filter(|region| region.as_str() != PLAIN)
            .map(|region| Target {
                place: (edge.name.clone(), region.clone()),
                url: edge.url.clone(),
            })
            .collect();
        let Some(first) = regions.first() else {
            note(
                app,
                (edge.name.clone(), String::new()),
                Outcome::Unsupported,
                None,
                0,
            );
            continue;
        };
        match probe(app, first, None).await {
            Said::Unknown => {
                for target in regions {
                    note(app, target.place, Outcome::Unsupported, None, 0);
                }
            }
            _ => targets.extend(regions),
        }
    }
    targets
}

/// Draws an index as for a key, so that the edge knows its block, and signs.
async fn make(app: &App) -> Result<Canary, FeedError> {
    let now = app.clock.now();
    let expires = now.seconds().saturating_add(LIFE_SECONDS);
    let mut tx = app.store.begin().await?;
    let (signer, index) = signing::draw_index(
        &mut tx,
        Purpose::ApiKey,
        &Reach::All,
        Some(expires),
        &app.random,
        now,
    )
    .await?;
    let signer = app.keyring.key(&mut tx, signer).await?;
    tx.insert_canary(index, expires, now).await?;
    tx.commit().await?;
    let nobody = |what| FeedError::Store(StoreError::Corrupt(what));
    let statement = Statement {
        signing_key: signer.id,
        index,
        org: OrgId::from_u64(LIMIT - 1).ok_or_else(|| nobody("canary organisation"))?,
        user: UserId::from_u64(0).ok_or_else(|| nobody("canary user"))?,
        workspace: None,
        scopes: ScopeSet::EMPTY,
        issued_at: now.seconds(),
        expires_at: Some(expires),
        nonce: app.random.bytes().map_err(SigningError::from)?,
    };
    let environment = *app.config.environments.iter().min().unwrap_or(&Environment::Live);
    let sign = |message: &[u8]| signer.sign_ed25519(message);
    let plain = key::build(&app.config.brand, environment, &statement, sign).map_err(|error| {
        // The signer's own error says more; what else can go wrong does not depend on the canary.
        tracing::error!(?error, "a canary could not be built");
        nobody("canary")
    })?;
    Ok(Canary { index, plain })
}

fn credential(canary: &Canary) -> Result<HeaderValue, FeedError> {
    let text = zeroize::Zeroizing::new(format!("Bearer {}", canary.plain.expose()));
    let mut value = HeaderValue::from_str(&text).map_err(|_| StoreError::Corrupt("canary"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Asks until the region lets it in, or the time is over.
async fn admit(app: &App, target: &Target, credential: &HeaderValue, pace: Pace) -> Said {
    let deadline = Instant::now() + pace.admission;
    loop {
        let said = probe(app, target, Some(credential)).await;
        if matches!(said, Said::LetIn | Said::Unknown) || Instant::now() >= deadline {
            return said;
        }
        tokio::time::sleep(pace.pause).await;
    }
}

/// Revokes it, and gives the bound of that moment.
async fn revoke(app: &App, index: StatusIndex) -> Result<u64, FeedError> {
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    let state = tx.feed_state().await?.ok_or(SigningError::NotInitialised)?;
    let bound = bound_ms(app, &state, now)?;
    tx.revoke_canary(index, now).await?;
    tx.revoke_index(index, now).await?;
    revocation::enqueue(&mut tx, &Reach::All, "canary", &Entry::revoked(index), now).await?;
    tx.commit().await?;
    app.feed.wake();
    Ok(bound)
}

/// Asks until the region refuses it, or it is hopeless.
async fn watch(
    app: &App,
    target: &Target,
    credential: &HeaderValue,
    (committed, bound): (Instant, u64),
    pace: Pace,
) -> (Outcome, Option<u64>) {
    let bound = Duration::from_millis(bound);
    let deadline = committed + bound + pace.patience;
    // Since when nobody was seen to be let in, and whether there was an answer all the time.
    let (mut last_in, mut gap) = (Duration::ZERO, false);
    loop {
        let asked = committed.elapsed();
        match probe(app, target, Some(credential)).await {
            Said::LetIn => last_in = asked,
            Said::Refused => {
                let took = committed.elapsed();
                let ms = millis(took);
                let outcome = if last_in > bound || (took > bound && !gap) {
                    Outcome::TooLong
                } else {
                    Outcome::InTime
                };
                return (outcome, Some(ms));
            }
            Said::Unknown | Said::Nothing => gap = true,
        }
        if Instant::now() >= deadline {
            let outcome = if last_in > bound {
                Outcome::TooLong
            } else {
                Outcome::NoAnswer
            };
            return (outcome, None);
        }
        tokio::time::sleep(pace.pause).await;
    }
}

/// One question. Only an answer that names the region counts as letting in.
async fn probe(app: &App, target: &Target, credential: Option<&HeaderValue>) -> Said {
    // A region's name is made of letters, digits and hyphens.
    let url = format!("{}?region={}", address(&target.url, PATH), target.place.1);
    let mut request = app.http.get(url).timeout(PROBE_LIMIT);
    if let Some(credential) = credential {
        request = request.header(reqwest::header::AUTHORIZATION, credential.clone());
    }
    let Ok(response) = request.send().await else {
        return Said::Nothing;
    };
    match response.status() {
        StatusCode::UNAUTHORIZED => Said::Refused,
        StatusCode::NOT_FOUND => Said::Unknown,
        StatusCode::OK if is_json(&response) => {
            let body = read(response, MAX_ANSWER).await.unwrap_or_default();
            match serde_json::from_slice::<LetIn>(&body) {
                Ok(answer) if answer.region == target.place.1 => Said::LetIn,
                _ => Said::Nothing,
            }
        }
        _ => Said::Nothing,
    }
}

fn is_json(response: &reqwest::Response) -> bool {
    let media_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    media_type.is_some_and(|media_type| media_type.starts_with("application/json"))
}

#[expect(clippy::cast_precision_loss, reason = "a duration for a graph")]
fn note(app: &App, place: Place, outcome: Outcome, ms: Option<u64>, bound_ms: u64) {
    let labels = [("edge", place.0.clone()), ("region", place.1.clone())];
    if let Some(ms) = ms {
        metrics::histogram!("portcullis_canary_time_to_401_ms", &labels).record(ms as f64);
    }
    let [edge, region] = labels;
    metrics::counter!(
        "portcullis_canaries_total",
        &[edge, region, ("outcome", outcome.as_str().to_owned())]
    )
    .increment(1);
    if outcome == Outcome::TooLong {
        let (edge, region) = &place;
        tracing::error!(
            edge,
            region,
            ms,
            bound_ms,
            "a revoked canary was let in for too long"
        );
    }
    let (now, elapsed) = (app.clock.now(), app.clock.elapsed());
    let mut records = app.edges.canaries();
    let record = records.entry(place).or_insert_with(|| Record {
        times: Window::day(),
        outcome,
        at: now,
        bound_ms,
    });
    (record.outcome, record.at, record.bound_ms) = (outcome, now, bound_ms);
    if let Some(ms) = ms {
        record.times.record(ms, elapsed);
    }
}

/// What canaries have shown to be broken.
pub(super) fn broken(app: &App) -> Vec<Broken> {
    let records = app.edges.canaries();
    let too_long = records
        .iter()
        .filter(|(_, record)| record.outcome == Outcome::TooLong);
    too_long
        .map(|(place, record)| Broken {
            place: place.clone(),
            kind: Kind::Canary,
            detail: format!("it let a revoked canary in for more than {} ms", record.bound_ms),
        })
        .collect()
}

/// What is known of a region.
pub(super) fn summary(app: &App, place: &Place) -> Option<Summary> {
    let records = app.edges.canaries();
    let record = records.get(place)?;
    Some(Summary {
        outcome: record.outcome,
        at: record.at.into(),
        bound_ms: record.bound_ms,
        time_to_401: record.times.spread(app.clock.elapsed()),
    })
}

/// Forgets canaries whose indexes were retired.
pub(super) async fn forget(app: &App) -> Result<(), StoreError> {
    let mut tx = app.store.begin().await?;
    tx.forget_canaries().await?;
    tx.commit().await
}
