//! End-to-end tests: the real control plane, the Worker in real workerd, real clients.
//!
//! | what is shown | module |
//! | --- | --- |
//! | a key works at once; scopes, public and unknown paths; the life of a key | `keys` |
//! | after the receipt nothing gets in | `revocation` |
//! | what was made of a stolen key, client or signing key dies too | `compromise` |
//! | rotation with overlap, expiry; hostile keys, without a network read | `rotation`, `hostile` |
//! | tokens by client_credentials; forged ones | `jwt`, `forged` |
//! | tokens that are bound to a key (DPoP), and their proofs | `dpop` |
//! | backup, restore, move, and the replacement of master and root key | `backup`, `master` |
//! | either side killed, restarted, cut off | `failure` |
//! | every fault under load, judged by a log of the run | `faults` |
//! | hub, regions and gates apart: killed, wiped, cut off from each other | `regions` |
//! | stale states, route by route; `Portcullis-Min-Seq` | `regions_stale` |
//! | the feed shared in a data centre; the feed pulled by the edge | `regions_ways` |
//! | a key ended at the edge without the control plane; canaries | `regions_local` |
//! | replayed, reordered, forged, rolled-back frames | `feed` |
//! | the same verdicts natively and in workerd; a second reader of the feed | `parity` |
//! | every way to revoke, by everything that it reaches | `ways` |
//! | another role, suspension, deactivation reach every key and token | `inherit` |
//! | the end of a session reaches its access tokens | `sessions` |
//! | five processes refresh one token at once, answers get lost | `race` |
//! | what the gate signs for origins | `assertion` |
//! | path tricks | `paths` |
//! | passkeys in Chromium | `passkeys` |
//! | the dashboard in Chromium: the life of a key, every page by axe | `dashboard` |
//! | the users' guide, word for word | `guide` |
//! | headers, CORS, WebSocket, streams, the verify endpoint | `gateway` |
//! | the fast path and the other way say the same | `fast` |
//! | MCP: metadata, step-up, rules per tool; the real clients | `mcp` |
//! | a panic of the Wasm lets nobody in | `panics` |
//! | sign-up, invitation and reset, by mail from a real server | `people` |
//! | no secret in a log or on the disk | `logs`, and every stack when it ends |
//! | our own signing keys are replaced | `signing_keys` |
//! | a browser app of another origin, and the pages, in Chromium | `spa` |
//! | tokens of other issuers: real ones, rotating ones, hostile ones | `issuers` |
//! | every answer of `/v1` is as its description says | `api` |
//! | signing in at the command line, exit codes, completion | `login` |
//! | the command line sends its key to the server alone; a wrong folder stays as it was | `command_line` |
//! | `portcullis doctor` | `doctor` |
//! | `portcullis edge init`, and what wrangler says to it | `deploy` |
//! | `portcullis edge` | `edges` |
//! | an edge that admits one organisation, and its feed | `groups` |
//! | the npm package and the tower layer: vectors on every platform, types, examples | `library` |
//! | `portcullis gate`: a native gate as proxy and for nginx, Traefik, Caddy, Envoy; axum behind it | `gate` |
//! | many grants at once | `scale` |
//! | many revocations, by every way, while everything is in use | `storm` |
//! | every request is counted once, and what is lost is reported | `usage` |
//! | limits per key, and the brake on addresses that guess | `limits` |
//! | the route policy is changed while everything runs | `policies` |
//!
//! `on_both_databases!` marks what also runs on PostgreSQL. `harness` tests the harness, `oracle` forges.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "that is how a test fails"
)]

mod support;

mod api;
mod assertion;
mod backup;
mod command_line;
mod compromise;
mod connections;
mod dashboard;
mod deploy;
mod doctor;
mod dpop;
mod edges;
mod failure;
mod fast;
mod faults;
mod feed;
mod forged;
mod gate;
mod gateway;
mod groups;
mod guide;
mod harness;
mod hostile;
mod inherit;
mod issuers;
mod jwt;
mod keys;
mod library;
mod limits;
mod login;
mod logs;
mod master;
mod mcp;
mod oauth;
mod oracle;
mod panics;
mod parity;
mod passkeys;
mod paths;
mod people;
mod policies;
mod race;
mod regions;
mod regions_local;
mod regions_stale;
mod regions_ways;
mod revocation;
mod rotation;
mod scale;
mod sessions;
mod signing_keys;
mod spa;
mod storm;
mod usage;
mod ways;
mod webhooks;
