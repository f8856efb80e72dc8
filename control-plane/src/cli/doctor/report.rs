//! What was found: one line per check, for people or for programs.

use serde::Serialize;

use super::super::{CliError, Format, output};

/// Something that is not as it should be, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What was seen.
    pub(super) found: String,
    /// What to change.
    pub(super) fix: String,
}

impl Fault {
    /// What was seen, and what to change.
    pub(super) fn new(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            found: found.into(),
            fix: fix.into(),
        }
    }
}

/// What was seen and is right, or a fault.
pub(super) type Verdict = Result<String, Fault>;

/// One line.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) ok: bool,
    pub(super) found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// All of them, in order.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) checks: Vec<Check>,
}

impl Report {
    /// Notes a check's outcome.
    pub(super) fn add(&mut self, check: impl Into<String>, verdict: Verdict) {
        let (ok, found, fix) = match verdict {
            Ok(found) => (true, found, None),
            Err(fault) => (false, fault.found, Some(fault.fix)),
        };
        self.checks.push(Check {
            name: check.into(),
            ok,
            found,
            fix,
        });
    }

    fn failures(&self) -> usize {
        self.checks.iter().filter(|check| !check.ok).count()
    }

    /// Writes it to stdout.
    pub(super) fn print(&self, format: Format) {
        if format == Format::Json {
            return output::line(&serde_json::to_string_pretty(self).unwrap_or_default());
        }
        for check in &self.checks {
            output::line(&check.line());
        }
        let (all, failed) = (self.checks.len(), self.failures());
        output::line(&format!("{} of {all} checks passed", all.saturating_sub(failed)));
    }

    /// Exit code 1 if a check failed.
    pub(super) fn verdict(&self) -> Result<(), CliError> {
        match self.failures() {
            0 => Ok(()),
            1 => Err(CliError::Failed(anyhow::anyhow!("a check failed"))),
            many => Err(CliError::Failed(anyhow::anyhow!("{many} checks failed"))),
        }
    }
}

impl Check {
    /// As people read it. Answers of strangers are in it: control characters would be the terminal's.
    fn line(&self) -> String {
        let mark = if self.ok { '✓' } else { '✗' };
        let fix = self
            .fix
            .as_ref()
            .map(|fix| format!(" → {fix}"))
            .unwrap_or_default();
        let text = format!("{mark} {}: {}{fix}", self.name, self.found);
        text.chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect()
    }
}
