//! Two servers, side by side: runs alternate, and each pair of neighbours gives one ratio, so that whatever else the machine does
//! weighs on both.

use e2e::Request;
use serde::Serialize;

use crate::{
    load,
    spread::{Interval, Spread},
    world::Failure,
};

/// Keep-alive connections.
pub(crate) const CONNECTIONS: usize = 4;
/// Pairs at most, and before the first look at whether that is enough.
const MOST: usize = 31;
const LEAST: usize = 9;
/// Enough: the interval's bounds are this close to the median.
const TIGHT: f64 = 0.03;

/// One of the two.
pub(crate) struct Side<'a> {
    pub(crate) process: u32,
    pub(crate) address: String,
    /// The requests of one run. Asked anew for each: some credentials serve once.
    pub(crate) requests: Box<dyn FnMut() -> Result<Vec<Request>, Failure> + 'a>,
}

/// What a comparison has to come to.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Bar {
    pub(crate) least: f64,
    pub(crate) wanted: f64,
}

/// What it came to.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    ours: &'static str,
    peer: String,
    pub(crate) bar: Bar,
    /// The peer's CPU per request by ours: above 1 ours costs less.
    pub(crate) ratio: Interval,
    /// The same of requests per second; the load generator's share of the machine is in it.
    rate_ratio: Interval,
    pairs: usize,
    ours_cpu_us: Spread,
    peer_cpu_us: Spread,
    /// The interval's better end reaches the bar.
    pub(crate) holds: bool,
    ratios: Vec<f64>,
}

impl Comparison {
    /// One line of the table.
    pub(crate) fn line(&self) -> String {
        let verdict = match self.holds {
            true if self.ratio.high >= self.bar.wanted => "as wanted",
            true => "holds",
            false => "MISSED",
        };
        format!(
            "{:<34}{:<32}{:>7.1}{:>8.1}   {:.2} ({:.2} to {:.2})   {:>3} pairs   {:.2} / {:.2}  {verdict}",
            self.ours,
            self.peer,
            self.ours_cpu_us.median,
            self.peer_cpu_us.median,
            self.ratio.median,
            self.ratio.low,
            self.ratio.high,
            self.pairs,
            self.bar.least,
            self.bar.wanted,
        )
    }

    /// What stands above the lines.
    pub(crate) fn heading() -> String {
        format!(
            "{:<34}{:<32}{:>7}{:>8}   {:<20}   {:<9}   bar / wanted",
            "ours", "peer", "ours µs", "peer µs", "peer/ours, 90 %", ""
        )
    }
}

/// Runs them until the interval of the ratio is tight, or enough is enough.
pub(crate) async fn compare(
    title: (&'static str, String),
    bar: Bar,
    mut ours: Side<'_>,
    mut peer: Side<'_>,
) -> Result<Comparison, Failure> {
    // Warm: code is compiled, connections were made once.
    for _ in 0..2 {
        run(&mut ours).await?;
        run(&mut peer).await?;
    }
    let (mut ratios, mut rates, mut costs) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    while ratios.len() < MOST {
        // Who goes first takes turns, too.
        let (a, b) = if ratios.len() % 2 == 0 {
            let a = run(&mut ours).await?;
            (a, run(&mut peer).await?)
        } else {
            let b = run(&mut peer).await?;
            (run(&mut ours).await?, b)
        };
        ratios.push(b.cpu_us / a.cpu_us);
        rates.push(a.rate / b.rate);
        costs.0.push(a.cpu_us);
        costs.1.push(b.cpu_us);
        if ratios.len() >= LEAST && Interval::of(&ratios).is_within(TIGHT) {
            break;
        }
    }
    let ratio = Interval::of(&ratios);
    Ok(Comparison {
        ours: title.0,
        peer: title.1,
        bar,
        ratio,
        rate_ratio: Interval::of(&rates),
        pairs: ratios.len(),
        ours_cpu_us: Spread::of(costs.0.into_iter()),
        peer_cpu_us: Spread::of(costs.1.into_iter()),
        holds: ratio.high >= bar.least,
        ratios,
    })
}

struct Run {
    cpu_us: f64,
    rate: f64,
}

async fn run(side: &mut Side<'_>) -> Result<Run, Failure> {
    let requests = (side.requests)()?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let count = requests.len() as f64;
    let before = load::cpu_seconds(side.process)?;
    let sent = load::send(&side.address, requests, CONNECTIONS).await?;
    let cpu = load::cpu_seconds(side.process)? - before;
    Ok(Run {
        cpu_us: cpu * 1e6 / count,
        rate: count / sent.seconds,
    })
}
