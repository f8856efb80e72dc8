//! What a request costs at the edge, beside Workers that do the same job: the server process's CPU in paired, alternating runs,
//! and beside it a cold start, the module's size, and a hundred thousand credentials. Writes `target/bench/edge.json`.

mod cold;
mod crowd;
mod origin;
mod sides;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use e2e::files;
use serde_json::json;

use crate::{
    pairs::{Bar, CONNECTIONS, Comparison, compare},
    world::{Alg, Failure},
};
use sides::Sides;

const fn bar(least: f64, wanted: f64) -> Bar {
    Bar { least, wanted }
}

const EMPTY: Bar = bar(0.75, 0.85);
const FORWARD: Bar = bar(0.85, 0.9);
const JOSE: Bar = bar(1.0, 1.2);
/// Bytes of the module, gzipped: at most, and wanted.
const SIZE: (usize, usize) = (250_000, 150_000);

/// Runs it all and prints the table. `BENCH_PART`: only the comparisons whose title has this in it, or `cold`, or `crowd`.
pub(crate) async fn run() -> Result<(), Failure> {
    let part = files::variable("BENCH_PART");
    let wants = |name: &str| part.as_deref().is_none_or(|part| name.contains(part));
    let folder = tempfile::tempdir()?;
    let mut comparisons = Vec::new();
    println!(
        "\nbare workerd; CPU of the server process per request, {CONNECTIONS} connections; the machine is shared\n"
    );
    println!("{}", Comparison::heading());
    let sides = Sides::start(&folder.path().join("sides")).await?;
    let mut titles: Vec<(&'static str, String, Bar)> = vec![
        ("verify, API key seen", "empty, same bytes".into(), EMPTY),
        ("verify, RS256 JWT seen", "empty, same bytes".into(), EMPTY),
        ("gateway, API key seen", "forward".into(), FORWARD),
        ("gateway, RS256 JWT seen", "forward".into(), FORWARD),
    ];
    for alg in Alg::ALL {
        let ours = match alg {
            Alg::Rs256 => "verify, RS256 JWT never seen",
            Alg::Es256 => "verify, ES256 JWT never seen",
            Alg::EdDsa => "verify, EdDSA JWT never seen",
        };
        titles.push((ours, format!("jose, {}", alg.name()), JOSE));
    }
    titles.push(("verify, API key never seen", "jose, EdDSA".into(), bar(1.0, 1.0)));
    titles.push((
        "verify, API key seen",
        "workers-oauth-provider".into(),
        bar(2.0, 2.0),
    ));
    titles.push(("verify, RS256 JWT seen", "hono jwk, RS256".into(), bar(1.5, 1.5)));
    for (ours, peer, bar) in titles {
        if !wants(&format!("{ours}, {peer}")) {
            continue;
        }
        let (us, them) = (sides.ours(ours)?, sides.peer(&peer)?);
        let comparison = compare((ours, peer), bar, us, them).await?;
        println!("{}", comparison.line());
        comparisons.push(comparison);
    }
    drop(sides);

    let cold = if wants("cold") {
        Some(cold::run(folder.path()).await?)
    } else {
        None
    };
    let crowd = if wants("crowd") {
        Some(crowd::run(folder.path()).await?)
    } else {
        None
    };
    let (bytes, gzipped) = size(&files::edge_modules(false).join("index_bg.wasm"))?;
    let verdict = if gzipped <= SIZE.0 { "holds" } else { "MISSED" };
    println!(
        "\nWasm: {bytes} bytes, {gzipped} gzipped; bar {} / wanted {}: {verdict}",
        SIZE.0, SIZE.1
    );

    let path = files::root().join("target/bench/edge.json");
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let report = json!({
        "comparisons": comparisons, "cold": cold, "crowd": crowd,
        "wasm_bytes": bytes, "wasm_gzip_bytes": gzipped,
    });
    fs::write(&path, serde_json::to_string_pretty(&report)? + "\n")?;
    println!("written to {}", path.display());
    Ok(())
}

fn size(path: &Path) -> Result<(u64, usize), Failure> {
    let zipped = Command::new("gzip")
        .arg("-9c")
        .arg(path)
        .stdin(Stdio::null())
        .output()?;
    Ok((fs::metadata(path)?.len(), zipped.stdout.len()))
}
