//! The table and the JSON file.

use std::{
    collections::BTreeMap,
    error::Error,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde::Serialize;
use serde_json::{Value, json};

use crate::{CONNECTIONS, REQUESTS, candidates::Candidate};

/// One round of one candidate.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    cpu_seconds_per_1000: f64,
    requests_per_second: f64,
}

impl Sample {
    pub(crate) fn new(requests: usize, seconds: f64, cpu_seconds: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let requests = requests as f64;
        Self {
            cpu_seconds_per_1000: cpu_seconds * 1000.0 / requests,
            requests_per_second: requests / seconds,
        }
    }
}

/// All samples, and the size of the module.
#[derive(Debug)]
pub(crate) struct Report {
    rounds: usize,
    samples: BTreeMap<&'static str, Vec<Sample>>,
    wasm_bytes: u64,
    wasm_gzip_bytes: usize,
}

impl Report {
    pub(crate) fn new(rounds: usize) -> Self {
        Self {
            rounds,
            samples: BTreeMap::new(),
            wasm_bytes: 0,
            wasm_gzip_bytes: 0,
        }
    }

    pub(crate) fn add(&mut self, candidate: Candidate, sample: Sample) {
        self.samples.entry(candidate.id()).or_default().push(sample);
    }

    /// Measures the module.
    pub(crate) fn wasm(&mut self, path: &Path) -> Result<(), Box<dyn Error>> {
        self.wasm_bytes = fs::metadata(path)?.len();
        let zipped = Command::new("gzip")
            .arg("-9c")
            .arg(path)
            .stdin(Stdio::null())
            .output()?;
        self.wasm_gzip_bytes = zipped.stdout.len();
        Ok(())
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "\nbare workerd, {} alternating rounds of {REQUESTS} requests over {CONNECTIONS} connections; median (lowest to highest)\n\n",
            self.rounds
        );
        let columns = ("CPU s per 1,000 requests", "to (a)", "requests/s");
        let _ = writeln!(text, "{:<33}{:<31}{:<9}{}", "", columns.0, columns.1, columns.2);
        let base = self.cpu(Candidate::Empty).median;
        for candidate in Candidate::ALL {
            let (cpu, rate) = (self.cpu(candidate), self.rate(candidate));
            let cpu_text = format!("{:.4} ({:.4} to {:.4})", cpu.median, cpu.least, cpu.most);
            let rate_text = format!("{:.0} ({:.0} to {:.0})", rate.median, rate.least, rate.most);
            let ratio = format!("{:.2}", cpu.median / base);
            let _ = writeln!(
                text,
                "{:<33}{cpu_text:<31}{ratio:<9}{rate_text}",
                candidate.title()
            );
        }
        let _ = writeln!(
            text,
            "\nWasm: {} bytes, {} gzipped",
            self.wasm_bytes, self.wasm_gzip_bytes
        );
        text
    }

    /// For programs.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Box<dyn Error>> {
        let base = self.cpu(Candidate::Empty).median;
        let candidates: Vec<Value> = Candidate::ALL
            .into_iter()
            .map(|candidate| {
                let cpu = self.cpu(candidate);
                json!({
                    "id": candidate.id(), "title": candidate.title(), "cpu_seconds_per_1000": cpu,
                    "ratio_to_empty": cpu.median / base, "requests_per_second": self.rate(candidate),
                    "samples": self.samples.get(candidate.id()),
                })
            })
            .collect();
        let report = json!({
            "rounds": self.rounds, "requests_per_round": REQUESTS, "connections": CONNECTIONS,
            "wasm_bytes": self.wasm_bytes, "wasm_gzip_bytes": self.wasm_gzip_bytes, "candidates": candidates,
        });
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
        Ok(())
    }

    fn cpu(&self, candidate: Candidate) -> Spread {
        self.spread(candidate, |sample| sample.cpu_seconds_per_1000)
    }

    fn rate(&self, candidate: Candidate) -> Spread {
        self.spread(candidate, |sample| sample.requests_per_second)
    }

    fn spread(&self, candidate: Candidate, value: impl Fn(&Sample) -> f64) -> Spread {
        let samples = self.samples.get(candidate.id());
        Spread::of(samples.into_iter().flatten().map(value))
    }
}

/// Median and extremes of some samples.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self {
            median: at(values.len() / 2),
            least: at(0),
            most: at(values.len().saturating_sub(1)),
        }
    }
}
