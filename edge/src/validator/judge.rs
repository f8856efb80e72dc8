//! What a true statement is worth now, for this route: list, times, audience, tenant, scopes.

use shared::feed::{KeyRef, Subject};
use shared::id::{SigningKeyId, StatusIndex, WorkspaceId};
use shared::policy::{Captures, CompiledRoute, same_resource};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;
use shared::verdict::Reason;

use super::canary::is_canary;
use super::{CLOCK_SKEW_SECONDS, Kind, Signer, Statement, Validator};

impl Validator<'_> {
    /// The effective scopes, or why not. `operation`: what this one needs beside what the route does.
    pub(super) fn judge(
        &self,
        statement: &Statement,
        route: &CompiledRoute,
        operation: ScopeSet,
        captures: Captures<'_>,
        origin: Option<&str>,
        now: UnixSeconds,
    ) -> Result<ScopeSet, Reason> {
        self.check_org(statement)?;
        self.check_standing(statement, captures)?;
        self.check_times(statement, now)?;
        self.check_audience(statement, route)?;
        check_browser(statement, route, origin)?;
        check_tenant(statement, captures)?;
        suffices(route, operation, self.effective(statement, captures))
    }

    /// A credential of others is none of ours, whatever else it is. Canaries are nobody's, and come no further than the audience.
    pub(super) fn check_org(&self, statement: &Statement) -> Result<(), Reason> {
        if self.state.admits_org(statement.org) || is_canary(statement.org) {
            Ok(())
        } else {
            Err(Reason::OrgNotAdmitted)
        }
    }

    /// The signing key still counts and owns the index; the credential is on no list.
    pub(super) fn check_standing(&self, statement: &Statement, captures: Captures<'_>) -> Result<(), Reason> {
        match &statement.signer {
            Signer::Ours { key, index } => self.check_index(*key, *index)?,
            Signer::Issuer { .. } if self.is_current(statement) => {}
            Signer::Issuer { .. } => return Err(Reason::SigningKeyUnknown),
        }
        // Another issuer's clock may be ahead of ours: what it dates a little later may be from before.
        let skew = match &statement.signer {
            Signer::Ours { .. } => 0,
            Signer::Issuer { .. } => CLOCK_SKEW_SECONDS,
        };
        let superseded = |subject: &Subject| {
            let not_before = self.state.not_before(subject);
            not_before.is_some_and(|t| statement.issued_at <= t.saturating_add(skew))
        };
        if self.subjects(statement, captures).iter().any(superseded) {
            Err(Reason::Superseded)
        } else {
            Ok(())
        }
    }

    fn check_index(&self, key: SigningKeyId, index: StatusIndex) -> Result<(), Reason> {
        if self.state.key(&KeyRef::Ours(key)).is_none() {
            return Err(Reason::SigningKeyUnknown);
        }
        match self.state.owner(index) {
            Some(owner) if owner == key => {}
            None if !self.state.is_retired(index) => return Err(Reason::IndexUnknown),
            _ => return Err(Reason::IndexUnowned),
        }
        if self.state.is_revoked(index) || self.local.contains(index) {
            return Err(Reason::Revoked);
        }
        Ok(())
    }

    /// Whether a remembered statement says what its text says now: another issuer's token is read by the issuer's entry, and
    /// keys, audiences, claims and the organisation itself may change with each version of that.
    pub(super) fn is_current(&self, statement: &Statement) -> bool {
        match &statement.signer {
            Signer::Ours { .. } => true,
            Signer::Issuer { name, version } => {
                let known = self.state.trusted_issuer(name);
                known.is_some_and(|(entry, _)| entry.version == *version && entry.org == statement.org)
            }
        }
    }

    /// The skew helps where our clock may be behind the issuer's; it never lengthens a life.
    pub(super) fn check_times(&self, statement: &Statement, now: UnixSeconds) -> Result<(), Reason> {
        if statement.expires_at.is_some_and(|end| now >= end) {
            return Err(Reason::Expired);
        }
        let soon = now.saturating_add(CLOCK_SKEW_SECONDS);
        if statement.issued_at > soon || statement.not_before.is_some_and(|start| start > soon) {
            return Err(Reason::NotYetValid);
        }
        let ended = statement.index().and_then(|index| self.state.not_after(index));
        if ended.is_some_and(|end| now >= end) {
            return Err(Reason::Ended);
        }
        Ok(())
    }

    pub(super) fn check_audience(&self, statement: &Statement, route: &CompiledRoute) -> Result<(), Reason> {
        // A canary is meant for its own endpoint and no route.
        if is_canary(statement.org) {
            return Err(Reason::AudienceRefused);
        }
        match &statement.kind {
            Kind::ApiKey { environment } if self.deployment.environments.contains(environment) => Ok(()),
            Kind::ApiKey { .. } => Err(Reason::EnvironmentRefused),
            Kind::AccessToken { audience, .. } => {
                let meant = audience.iter().any(|aud| same_resource(aud, &route.audience));
                if meant {
                    Ok(())
                } else {
                    Err(Reason::AudienceRefused)
                }
            }
            Kind::Foreign { audience, .. } => {
                let Signer::Issuer { name, .. } = &statement.signer else {
                    return Err(Reason::AudienceRefused);
                };
                let (_, binding) = self.state.trusted_issuer(name).ok_or(Reason::SigningKeyUnknown)?;
                if self.is_meant(audience, binding, &route.audience) {
                    Ok(())
                } else {
                    Err(Reason::AudienceRefused)
                }
            }
        }
    }

    /// Stated scopes, with everything they imply, under every ceiling that applies. `None` under a ceiling of nothing: whoever
    /// is suspended stays out of routes that ask for no scope, too.
    pub(super) fn effective(&self, statement: &Statement, captures: Captures<'_>) -> Option<ScopeSet> {
        let catalogue = self.policy.catalogue();
        let mut stated = catalogue.expand(statement.scopes);
        if let Signer::Issuer { name, .. } = &statement.signer {
            // No cap, no rights: a route that asks for nothing is for credentials that may do something.
            let (_, binding) = self.state.trusted_issuer(name)?;
            if binding.cap.is_empty() {
                return None;
            }
            stated = stated.intersection(catalogue.expand(binding.cap));
        }
        self.subjects(statement, captures)
            .iter()
            .filter_map(|subject| self.state.ceiling(subject))
            .try_fold(stated, |scopes, ceiling| {
                (!ceiling.is_empty()).then(|| scopes.intersection(catalogue.expand(ceiling)))
            })
    }

    /// Everyone whose not-before or ceiling reaches this statement. One for all workspaces is used in the captured one.
    pub(super) fn subjects(&self, statement: &Statement, captures: Captures<'_>) -> Vec<Subject> {
        if !self.state.has_subjects() {
            return Vec::new();
        }
        let mut subjects = vec![Subject::Org(statement.org)];
        match &statement.signer {
            Signer::Ours { index, .. } => {
                subjects.push(Subject::Index(*index));
                subjects.push(Subject::Issuer(self.deployment.issuer.clone()));
            }
            Signer::Issuer { name, .. } => subjects.push(Subject::Issuer(name.clone())),
        }
        if let (Signer::Issuer { name, .. }, Kind::Foreign { subject, .. }) =
            (&statement.signer, &statement.kind)
        {
            subjects.push(Subject::Foreign(name.clone(), subject.clone()));
        }
        if let Some(user) = statement.user {
            subjects.push(Subject::Member(statement.org, user));
        }
        let in_path = || captures.workspace.and_then(|text| text.parse().ok());
        let workspace = statement.workspace.or_else(in_path);
        if let Some(workspace) = workspace {
            subjects.push(Subject::Workspace(workspace));
        }
        if let (Some(user), Some(workspace)) = (statement.user, workspace) {
            subjects.push(Subject::WorkspaceMember(statement.org, user, workspace));
        }
        if let Kind::AccessToken { client, session, .. } = &statement.kind {
            subjects.push(Subject::Client(client.clone()));
            subjects.extend(session.clone().map(Subject::Session));
        }
        subjects
    }
}

/// The effective scopes, if they are enough. `None` is less than nothing: see [`Validator::effective`].
pub(super) fn suffices(
    route: &CompiledRoute,
    operation: ScopeSet,
    effective: Option<ScopeSet>,
) -> Result<ScopeSet, Reason> {
    let effective = effective.ok_or(Reason::ScopeInsufficient)?;
    let any = route.any.is_empty() || !effective.intersection(route.any).is_empty();
    if effective.contains(route.all.union(operation)) && any {
        Ok(effective)
    } else {
        Err(Reason::ScopeInsufficient)
    }
}

pub(super) fn check_browser(
    statement: &Statement,
    route: &CompiledRoute,
    origin: Option<&str>,
) -> Result<(), Reason> {
    let is_key = matches!(statement.kind, Kind::ApiKey { .. });
    if origin.is_some() && is_key && !route.route.browser_api_keys {
        return Err(Reason::BrowserKeyRefused);
    }
    Ok(())
}

/// RFC 9449 §4.3, item 1. No proof contains a comma.
pub(super) fn check_single(proof: Option<&str>) -> Result<(), Reason> {
    if proof.is_some_and(|proof| proof.contains(',')) {
        Err(Reason::ProofAmbiguous)
    } else {
        Ok(())
    }
}

/// A route that lists origins means it, with a credential or without (MCP: against DNS rebinding); one that lists none
/// leaves the matter to its origin server, and gets no CORS.
pub(super) fn check_origin(route: &CompiledRoute, origin: Option<&str>) -> Result<(), Reason> {
    let listed = &route.route.browser_origins;
    match origin {
        Some(origin) if !listed.is_empty() && !listed.iter().any(|known| known == origin) => {
            Err(Reason::OriginRefused)
        }
        _ => Ok(()),
    }
}

/// A captured `{org}` or `{workspace}` must be the credential's own. One that covers all workspaces fits whatever is the id of
/// one: which organisation that belongs to is not known here, and the origin finds nothing under it that is not the
/// credential's.
pub(super) fn check_tenant(statement: &Statement, captures: Captures<'_>) -> Result<(), Reason> {
    let org_fits = captures.org.is_none_or(|org| org == statement.org.to_string());
    let workspace_fits = match (captures.workspace, statement.workspace) {
        (Some(named), Some(own)) => named == own.to_string(),
        // Not in another form either: `subjects` must find the ceilings of the workspace that the origin sees.
        (Some(named), None) => named
            .parse::<WorkspaceId>()
            .is_ok_and(|id| id.to_string() == named),
        _ => true,
    };
    if org_fits && workspace_fits {
        Ok(())
    } else {
        Err(Reason::TenantMismatch)
    }
}
