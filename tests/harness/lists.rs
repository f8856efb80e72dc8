//! Lists over very many rows: how many each page reads, and how long it takes beside a look-up by primary key.
//!
//! Rows are written by SQL, one text for both engines. What a page reads is what PostgreSQL counts for all tables between two
//! starts of the server: its statistics are complete once its sessions have ended. SQLite counts nothing of the kind; there the
//! time tells. No edge: pages of a control plane alone.

use std::{fmt, io};

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    Database, Request,
    control_plane::{ControlPlane, ControlPlaneConfig},
    http::Connection,
    person::Person,
    port::Port,
    scale,
};

/// How many rows there are.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Size {
    /// API keys.
    pub keys: usize,
    /// Hours of use of credentials.
    pub usage: usize,
    /// Lines of the audit trail.
    pub audit: usize,
}

/// What PostgreSQL is filled with, unless said otherwise.
pub const LARGE: Size = Size {
    keys: 1_000_000,
    usage: 50_000_000,
    audit: 10_000_000,
};
/// What SQLite is filled with.
pub const SMALL: Size = Size {
    keys: 100_000,
    usage: 1_000_000,
    audit: 100_000,
};
/// Rows that a list may read: ten times the largest page, and the point look-ups around it.
const MOST_ROWS: u64 = 10 * 50 + 100;
/// The overview counts keys and grants up to a thousand each.
const MOST_ROWS_OF_OVERVIEW: u64 = 2200;
/// A row is found through an index some levels deep.
const BLOCKS_PER_ROW: u64 = 5;
/// Times the slowest of a hundred look-ups by primary key.
const SLOW: f64 = 3.0;
/// Requests for one page, in `make test`.
pub const FEW: usize = 40;
/// Requests for one page, in `make scale`.
pub const MANY: usize = 200;

/// One page, measured.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Its address.
    pub path: String,
    /// Rows that it reads, background work of the server included; 0: not counted on this engine.
    pub rows: u64,
    /// Blocks of 8 KiB that it looks into, of tables and of indexes: what a scan passes over is no row, and yet costs.
    pub blocks: u64,
    /// Milliseconds, the median.
    pub p50_ms: f64,
    /// Milliseconds, of a hundred requests the slowest but one.
    pub p99_ms: f64,
    /// Bytes of memory that the server has at the end of the requests.
    pub resident: u64,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    database: &'static str,
    size: Size,
    fill_seconds: f64,
    /// The first is the look-up by primary key.
    pages: Vec<Measured>,
}

impl Outcome {
    /// Pages that read more rows than they may.
    pub fn greedy(&self) -> Vec<String> {
        let most = |page: &Measured| {
            if page.path == "/dashboard" {
                MOST_ROWS_OF_OVERVIEW
            } else {
                MOST_ROWS
            }
        };
        let greedy = self
            .pages
            .iter()
            .filter(|page| page.rows > most(page) || page.blocks > most(page) * BLOCKS_PER_ROW);
        greedy
            .map(|page| format!("{} reads {} rows in {} blocks", page.path, page.rows, page.blocks))
            .collect()
    }

    fn base(&self) -> f64 {
        self.pages.first().map_or(1.0, |page| page.p99_ms)
    }

    /// Pages whose p99 is more than three times that of the look-up.
    fn slow(&self) -> Vec<&str> {
        let slow = self.pages.iter().filter(|page| page.p99_ms > SLOW * self.base());
        slow.map(|page| page.path.as_str()).collect()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} keys, {} hours of use, {} entries of audit, written in {:.0} s",
            self.database, self.size.keys, self.size.usage, self.size.audit, self.fill_seconds
        )?;
        for page in &self.pages {
            writeln!(
                f,
                "  {:>5} rows {:>6} blocks  p50 {:>7.2} ms  p99 {:>7.2} ms  {:>5.2} x  {:>4} MiB  {}",
                page.rows,
                page.blocks,
                page.p50_ms,
                page.p99_ms,
                page.p99_ms / self.base(),
                page.resident >> 20,
                page.path
            )?;
        }
        match self.slow().as_slice() {
            [] => writeln!(f, "  every p99 within {SLOW} times that of the look-up"),
            slow => writeln!(
                f,
                "  p99 over {SLOW} times that of the look-up: {}",
                slow.join(", ")
            ),
        }
    }
}

/// Fills a database and measures its pages.
pub async fn run(database: Database, size: Size, rounds: usize) -> io::Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let port = Port::reserve();
    let mut control = ControlPlane::prepare(ControlPlaneConfig {
        folder: folder.path().join("control-plane"),
        log: folder.path().join("control-plane.log"),
        port: port.number(),
        resource: "http://127.0.0.1:9".to_owned(),
        edge: "http://127.0.0.1:9".to_owned(),
        database_url: match database {
            Database::Sqlite => None,
            Database::Postgres => Some(ControlPlane::new_postgres()),
        },
        extra: String::new(),
        environment: Vec::new(),
    })?;
    control.restart().await?;
    control.stop();
    let begin = Instant::now();
    fill(&control, database, size)?;
    let fill_seconds = begin.elapsed().as_secs_f64();
    control.restart().await?;
    let paths = paths(&control).await?;
    let mut pages = Vec::new();
    for path in paths {
        pages.push(measure(&mut control, database, &path, rounds).await?);
    }
    Ok(Outcome {
        database: match database {
            Database::Sqlite => "sqlite",
            Database::Postgres => "postgres",
        },
        size,
        fill_seconds,
        pages,
    })
}

/// One row with a number each, from 1, in both engines' SQL.
fn numbers(most: usize) -> String {
    format!(
        "WITH RECURSIVE numbers (n) AS (SELECT CAST(1 AS BIGINT) UNION ALL SELECT n + 1 FROM numbers WHERE n < {most})"
    )
}

fn fill(control: &ControlPlane, database: Database, size: Size) -> io::Result<()> {
    let org = control.query("SELECT id FROM orgs")?;
    let user = control.query("SELECT user_id FROM memberships")?;
    let signer = control.query("SELECT signing_key FROM api_keys")?;
    // Most keys are in use; every hundredth was revoked, every fiftieth has expired, every tenth is for tests.
    control.execute(&format!(
        "INSERT INTO api_keys (id, org_id, user_id, name, name_lower, environment, scopes, masked, signing_key,
             issued_at_seconds, expires_at_seconds, family, created_by, created_at, revoked_at, revoked_reason, revoked_by,
             revoke_outbox)
         {} SELECT 4000000000 + n, {org}, {user}, 'key ' || n, 'key ' || n,
             CASE WHEN n % 10 = 0 THEN 'test' ELSE 'live' END, 1, 'pc_live_...abcd', {signer}, 1700000000,
             CASE WHEN n % 50 = 0 THEN 1750000000 ELSE 4000000000 END, 4000000000 + n, 'system', 1700000000000 + n,
             CASE WHEN n % 100 = 0 THEN 1760000000000 ELSE NULL END,
             CASE WHEN n % 100 = 0 THEN 'unspecified' ELSE NULL END,
             CASE WHEN n % 100 = 0 THEN 'system' ELSE NULL END, CASE WHEN n % 100 = 0 THEN 1 ELSE NULL END
         FROM numbers",
        numbers(size.keys)
    ))?;
    // The last thirty days of as many credentials as it takes: 720 hours each.
    #[expect(clippy::disallowed_methods, reason = "pages look at the last thirty days")]
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_err(io::Error::other)?
        .as_secs();
    let hour = now / 3600;
    control.execute(&format!(
        "INSERT INTO usage_hours (org_id, hour, credential, class, reason, country, colo, requests, last_at)
         {} SELECT {org}, {hour} - n % 720, 'key_' || (n / 720), 'default', 'allowed', 'DE', 'FRA', 10,
             ({hour} - n % 720) * 3600000
         FROM numbers",
        numbers(size.usage)
    ))?;
    control.execute(
        "INSERT INTO usage_days (org_id, day, reason, requests, last_at)
         SELECT org_id, hour / 24, reason, CAST(SUM(requests) AS BIGINT), MAX(last_at)
         FROM usage_hours GROUP BY org_id, hour / 24, reason",
    )?;
    fill_audit(control, size.audit, &org, now * 1000)?;
    fill_people(control, size.keys / 10, (&org, &user))?;
    fill_sessions(control, database, size.keys / 10, (&org, now * 1000))?;
    control.execute("ANALYZE")?;
    Ok(())
}

/// One entry a second until now, each with its place in the chain. Nobody could have sealed them, so the chain is said to have
/// been walked already: a walk would be measured along with the pages.
fn fill_audit(control: &ControlPlane, entries: usize, org: &str, now: u64) -> io::Result<()> {
    let all = numbers(entries);
    control.execute(&format!(
        "INSERT INTO audit (id, at, org_id, chain, actor, action, target, detail)
         {all} SELECT 4000000000 + n, {now} - ({entries} - n) * 1000, {org}, {org}, 'usr_' || (n % 1000),
             'api_key.' || (n % 20), 'key_' || (n % 5000), '{{}}' FROM numbers"
    ))?;
    control.execute(&format!(
        "INSERT INTO audit_chain (chain, position, audit_id, sealed_at, head)
         {all} SELECT {org}, 4000000000 + n, 4000000000 + n, {now}, head.bytes
         FROM numbers, (SELECT public_key AS bytes FROM signing_keys WHERE length(public_key) = 32 LIMIT 1) AS head"
    ))?;
    control.execute(&format!(
        "INSERT INTO audit_checks (chain, checked_at, position) VALUES (0, {now}, 1), ({org}, {now}, 1)
         ON CONFLICT (chain) DO UPDATE SET checked_at = excluded.checked_at"
    ))
}

/// Everybody is signed in once; a few thousand are invited.
fn fill_sessions(
    control: &ControlPlane,
    database: Database,
    people: usize,
    (org, now): (&str, u64),
) -> io::Result<()> {
    let random = match database {
        Database::Sqlite => "randomblob(32)",
        Database::Postgres => "sha256(CAST(CAST(n AS TEXT) AS BYTEA))",
    };
    control.execute(&format!(
        "INSERT INTO sessions (digest, sid, user_id, org_id, created_at, last_seen_at, auth_time, expires_at, user_agent, address)
         {} SELECT {random}, 3000000000 + n, 3000000000 + n, {org}, {now} - n, {now} - n, {now} - n, {now} + 86400000 + n,
             'Mozilla/5.0', '192.0.2.1' FROM numbers WHERE n % 20 <> 0",
        numbers(people)
    ))?;
    control.execute(&format!(
        "INSERT INTO invitations (id, digest, org_id, email, role, invited_by, created_at, expires_at, revoked_at)
         {} SELECT 3000000000 + n, {random}, {org}, 'i' || n || '@example.com', 'member', 3000000001, {now} - n,
             {now} + 86400000, CASE WHEN n % 2 = 0 THEN {now} ELSE NULL END FROM numbers",
        numbers(people / 20)
    ))
}

/// Members of every role and state, each signed in and with an app that acts for them; workspaces and clients besides.
fn fill_people(control: &ControlPlane, people: usize, (org, owner): (&str, &str)) -> io::Result<()> {
    let (all, some) = (numbers(people), numbers(1000));
    control.execute(&format!(
        "INSERT INTO users (id, email, name, created_at, kind)
         {all} SELECT 3000000000 + n, CASE WHEN n % 20 = 0 THEN 'usr-' || n ELSE 'p' || n || '@example.com' END,
             'Person ' || n, 1700000000000 + n, CASE WHEN n % 20 = 0 THEN 'service' ELSE 'person' END FROM numbers"
    ))?;
    control.execute(&format!(
        "INSERT INTO memberships (org_id, user_id, role, created_at, suspended_at, deactivated_at, kind, search_name, search_email)
         {all} SELECT {org}, 3000000000 + n, CASE WHEN n % 10 = 0 THEN 'viewer' ELSE 'member' END, 1700000000000 + n,
             CASE WHEN n % 50 = 0 OR n % 1000 = 1 THEN 1700000000000 ELSE NULL END,
             CASE WHEN n % 1000 = 1 THEN 1700000000000 ELSE NULL END,
             CASE WHEN n % 20 = 0 THEN 'service' ELSE 'person' END, 'person ' || n,
             CASE WHEN n % 20 = 0 THEN 'usr-' || n ELSE 'p' || n || '@example.com' END FROM numbers"
    ))?;
    control.execute(&format!(
        "INSERT INTO workspaces (id, org_id, name, created_at)
         {some} SELECT 3000000000 + n, {org}, 'workspace ' || n, 1700000000000 FROM numbers"
    ))?;
    // Every other key is for one of fifty workspaces.
    control.execute(
        "UPDATE api_keys SET workspace_id = 3000000000 + id % 50 + 1 WHERE id > 4000000000 AND id % 2 = 0",
    )?;
    control.execute(&format!(
        "INSERT INTO clients (id, origin, org_id, name, kind, application_type, token_endpoint_auth_method, secret_digest,
             redirect_uris, post_logout_redirect_uris, scopes, refresh_grace_seconds, dpop_bound_access_tokens,
             require_pushed_requests, created_at)
         {some} SELECT 3000000000 + n, 'registered', {org}, 'app ' || n, 'public', 'web', 'none', secret.digest, '[]', '[]', 1,
             30, 0, 0, 1700000000000 + n FROM numbers, 
             (SELECT public_key AS digest FROM signing_keys WHERE length(public_key) = 32 LIMIT 1) AS secret"
    ))?;
    control.execute(&format!(
        "INSERT INTO grants (id, client_id, user_id, org_id, scopes, identity, resource, auth_time_seconds, issued_at_seconds,
             status_index, signing_key, idle_expires_seconds, expires_seconds, created_at, acted_at)
         {all} SELECT 3000000000 + n, 3000000000 + n % 1000 + 1, CASE WHEN n % 20 = 0 THEN {owner} ELSE 3000000000 + n END, {org},
             1, 0, 'https://api.example', 1700000000, 1700000000, n, 1, 4000000000, 4000000000, 1700000000000 + n,
             1700000000000 + n FROM numbers"
    ))?;
    Ok(())
}

/// What is measured: a look-up, then every list with each filter, and a page further on.
async fn paths(control: &ControlPlane) -> io::Result<Vec<String>> {
    let bootstrap = control.bootstrap()?;
    let key = bootstrap.get("admin_key").unwrap_or_default();
    let mut connection = Connection::open(&control.address()).await?;
    let list = connection
        .exchange(&Request::get("/v1/auth/keys?limit=50").bearer(key))
        .await?;
    let list: Value = serde_json::from_slice(&list.body)?;
    let cursor = list["next_cursor"].as_str().unwrap_or_default();
    let id = list["keys"][0]["id"].as_str().unwrap_or_default();
    let mut paths = vec![
        format!("/v1/auth/keys/{id}"),
        "/v1/auth/keys?limit=50".to_owned(),
        format!("/v1/auth/keys?limit=50&cursor={cursor}"),
        "/v1/auth/keys?limit=50&status=revoked".to_owned(),
        "/v1/auth/keys?limit=50&name=nothing".to_owned(),
        "/v1/memberships?limit=50".to_owned(),
        "/v1/grants?limit=50".to_owned(),
        "/v1/audit?limit=50".to_owned(),
    ];
    let pages = [
        "",
        "/keys",
        "/keys?q=key+9999",
        "/keys?status=revoked",
        "/keys?status=expired",
        "/keys?environment=dev",
        "/keys?workspace=all",
    ];
    paths.extend(pages.map(|page| format!("/dashboard{page}")));
    let organisation = [
        "/people",
        "/people?search=person+9",
        "/people?search=p99%40",
        "/people?role=viewer",
        "/people?state=suspended",
        "/people?role=member&state=deactivated",
        "/service-accounts",
        "/workspaces",
        "/clients",
        "/grants",
        "/sign-in",
        "/sessions",
        "/people/invitations",
        "/audit",
        "/audit?actor=usr_9",
        "/audit?action=api_key.9",
        "/audit?target=key_9",
        "/audit?actor=usr_9&action=api_key.9",
        "/audit?actor=usr_nobody",
        "/policies",
        "/webhooks",
        "/issuers",
        "/edge",
    ];
    paths.extend(organisation.map(|page| format!("/dashboard{page}")));
    paths.push(format!("/dashboard/keys/{id}"));
    Ok(paths)
}

async fn measure(
    control: &mut ControlPlane,
    database: Database,
    path: &str,
    rounds: usize,
) -> io::Result<Measured> {
    control.restart().await?;
    let bootstrap = control.bootstrap()?;
    let value = |name: &str| bootstrap.get(name).unwrap_or_default().to_owned();
    let mut person = Person::visit(&control.address(), "").await?;
    person
        .log_in(&value("admin_email"), &value("admin_password"))
        .await?;
    let request = if path.starts_with("/v1/") {
        Request::get(path).bearer(&value("admin_key"))
    } else {
        Request::get(path)
    };
    // Once to warm up; the statistics are complete when the server has ended.
    person.browse(request.clone()).await?;
    control.restart().await?;
    let mut person_again = Person::visit(&control.address(), "").await?;
    person_again.take_cookies_of(&person);
    let before = Read::so_far(control, database)?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begin = Instant::now();
        let answer = person_again.browse(request.clone()).await?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
        if answer.status != 200 {
            return Err(io::Error::other(format!(
                "{path}: {} {}",
                answer.status,
                answer.text()
            )));
        }
    }
    let resident = control
        .process()
        .and_then(|process| scale::resident_bytes(process.id()));
    control.restart().await?;
    let after = Read::so_far(control, database)?;
    let each =
        |before: u64, after: u64| after.saturating_sub(before) / u64::try_from(rounds).unwrap_or(u64::MAX);
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        times
            .get(times.len() * percent / 100)
            .copied()
            .unwrap_or_default()
    };
    Ok(Measured {
        path: path.to_owned(),
        rows: each(before.rows, after.rows),
        blocks: each(before.blocks, after.blocks),
        p50_ms: at(50),
        p99_ms: at(99),
        resident: resident.unwrap_or_default(),
    })
}

/// What statements have read so far of what lists show.
#[derive(Default)]
struct Read {
    rows: u64,
    blocks: u64,
}

impl Read {
    fn so_far(control: &ControlPlane, database: Database) -> io::Result<Self> {
        if database == Database::Sqlite {
            return Ok(Self::default());
        }
        let of = |sum: &str, view: &str| {
            let sql = format!(
                "SELECT CAST(SUM({sum}) AS BIGINT) FROM {view}
                 WHERE relname IN ('api_keys', 'usage_hours', 'usage_days', 'usage_credentials', 'users', 'memberships',
                 'workspaces', 'clients', 'grants', 'sessions', 'invitations', 'audit', 'audit_chain')"
            );
            control.query(&sql)?.parse::<u64>().map_err(io::Error::other)
        };
        Ok(Self {
            rows: of("seq_tup_read + COALESCE(idx_tup_fetch, 0)", "pg_stat_user_tables")?,
            blocks: of(
                "heap_blks_read + heap_blks_hit + COALESCE(idx_blks_read, 0) + COALESCE(idx_blks_hit, 0)",
                "pg_statio_user_tables",
            )?,
        })
    }
}
