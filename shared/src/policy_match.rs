//! Path patterns: literal segments, `*`, `{org}`, `{workspace}`, and `**` at the end.
//!
//! A `;` begins what some servers take for parameters of a segment (RFC 3986 §3.3), and cut off before they look for whom a path is
//! meant: `/admin;x/users` is `/admin/users` to them, and to others it is not. [`Reading`] has both.

use super::{Captures, path};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    Any,
    Org,
    Workspace,
}

/// How a server reads the segments of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Whole.
    AsSent,
    /// Up to the first `;`.
    WithoutParameters,
}

/// Whether the two readings of a canonical path differ.
pub(super) fn has_parameters(path: &str) -> bool {
    path.split('/')
        .any(|segment| bare(segment).len() != segment.len())
}

/// Whether nothing but parameters stands in a segment inside the path: without them it is empty, which servers pass over.
pub(super) fn has_bare_parameters(path: &str) -> bool {
    let mut segments = path.split('/').skip(1).peekable();
    let mut found = false;
    while let Some(segment) = segments.next() {
        found |= segments.peek().is_some() && bare(segment).is_empty();
    }
    found
}

/// A segment without its parameters. A `;` that is encoded twice counts, for a server that decodes twice; encoded once, it has
/// become plain in the canonical form.
fn bare(segment: &str) -> &str {
    let ends = [";", "%253B", "%253b"]
        .iter()
        .filter_map(|sign| segment.find(sign));
    ends.min().and_then(|end| segment.get(..end)).unwrap_or(segment)
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    segments: Vec<Segment>,
    /// Ends in `**`.
    open: bool,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut segments = Vec::new();
        let mut rest = text
            .strip_prefix('/')
            .ok_or("a pattern starts with a slash")?
            .split('/')
            .peekable();
        while let Some(segment) = rest.next() {
            let captures = matches!(segment, "{org}" | "{workspace}");
            if captures && segments.contains(&segment_of(segment)) {
                return Err("use {org} and {workspace} once each: only one of two could be compared");
            }
            segments.push(match segment {
                "**" if rest.peek().is_none() => return Ok(Self { segments, open: true }),
                "*" => Segment::Any,
                "{org}" => Segment::Org,
                "{workspace}" => Segment::Workspace,
                literal if literal.contains(['*', '{', '}']) => {
                    return Err("use * or {org} or {workspace} as a whole segment, and ** only at the end");
                }
                literal => Segment::Literal(canonical_segment(literal)?),
            });
        }
        Ok(Self {
            segments,
            open: false,
        })
    }

    pub(super) fn captures<'p>(&self, path: &'p str, reading: Reading) -> Option<Captures<'p>> {
        let mut captures = Captures::default();
        let mut rest = path.strip_prefix('/')?.split('/');
        for segment in &self.segments {
            let sent = rest.next()?;
            let actual = match reading {
                Reading::AsSent => sent,
                Reading::WithoutParameters => bare(sent),
            };
            match segment {
                // A rule that names a segment with its parameters means it.
                Segment::Literal(literal) if literal == actual || literal == sent => {}
                Segment::Any if !actual.is_empty() => {}
                // Whose they are must be the same to everybody.
                Segment::Org | Segment::Workspace if actual != sent => return None,
                Segment::Org if !actual.is_empty() => captures.org = Some(actual),
                Segment::Workspace if !actual.is_empty() => captures.workspace = Some(actual),
                _ => return None,
            }
        }
        (self.open || rest.next().is_none()).then_some(captures)
    }

    /// Whether it fits every path that the other one fits.
    pub(super) fn covers(&self, other: &Self) -> bool {
        let fits = |own: &Segment, theirs: &Segment| match own {
            // An empty last segment (`/a/`) is none that a placeholder takes.
            Segment::Any | Segment::Org | Segment::Workspace => {
                !matches!(theirs, Segment::Literal(text) if text.is_empty())
            }
            literal @ Segment::Literal(_) => literal == theirs,
        };
        let length = self.segments.len();
        let long_enough = other.segments.len() >= length;
        let ends_alike = self.open || (!other.open && other.segments.len() == length);
        let mut pairs = self.segments.iter().zip(&other.segments);
        long_enough && ends_alike && pairs.all(|(own, theirs)| fits(own, theirs))
    }
}

/// The segment that a placeholder stands for.
fn segment_of(placeholder: &str) -> Segment {
    if placeholder == "{org}" {
        Segment::Org
    } else {
        Segment::Workspace
    }
}

/// A literal must be written as it will be matched; the last one may be empty (`/a/`).
fn canonical_segment(literal: &str) -> Result<String, &'static str> {
    match path::canonical(&format!("/{literal}")) {
        Ok(form) if form.strip_prefix('/') == Some(literal) => Ok(literal.to_owned()),
        _ => Err(
            "write the path in canonical form: no dot segments, unreserved characters plain, %XX in upper case",
        ),
    }
}
