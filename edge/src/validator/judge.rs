//! What a true statement is worth now, for this route: list, times, audience, tenant, scopes.

use shared::feed::{KeyRef, Subject};
use shared::id::WorkspaceId;
use shared::policy::{Captures, CompiledRoute, same_resource};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;
use shared::verdict::Reason;

use super::canary::is_canary;
use super::{CLOCK_SKEW_SECONDS, Kind, Statement, Validator};

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
        // A credential of others is none of ours, whatever else it is. Canaries are nobody's, and come no further than the audience.
        if !self.state.admits_org(statement.org) && !is_canary(statement.org) {
            return Err(Reason::OrgNotAdmitted);
        }
        self.check_standing(statement, captures)?;
        self.check_times(statement, now)?;
        self.check_audience(statement, route)?;
        check_browser(statement, route, origin)?;
        check_tenant(statement, captures)?;
        let effective = self
            .effective(statement, captures)
            .ok_or(Reason::ScopeInsufficient)?;
        let any = route.any.is_empty() || !effective.intersection(route.any).is_empty();
        if effective.contains(route.all.union(operation)) && any {
            Ok(effective)
        } else {
            Err(Reason::ScopeInsufficient)
        }
    }

    /// The signing key still counts and owns the index; the credential is on no list.
    pub(super) fn check_standing(&self, statement: &Statement, captures: Captures<'_>) -> Result<(), Reason> {
        if self.state.key(&KeyRef::Ours(statement.signing_key)).is_none() {
            return Err(Reason::SigningKeyUnknown);
        }
        if self.state.owner(statement.index) != Some(statement.signing_key) {
            return Err(Reason::IndexUnowned);
        }
        if self.state.is_revoked(statement.index) || self.local.contains(statement.index) {
            return Err(Reason::Revoked);
        }
        let superseded = |subject: &Subject| {
            self.state
                .not_before(subject)
                .is_some_and(|t| statement.issued_at <= t)
        };
        if self.subjects(statement, captures).iter().any(superseded) {
            Err(Reason::Superseded)
        } else {
            Ok(())
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
        let ended = self.state.not_after(statement.index);
        if ended.is_some_and(|end| now >= end) {
            return Err(Reason::Ended);
        }
        Ok(())
    }

    fn check_audience(&self, statement: &Statement, route: &CompiledRoute) -> Result<(), Reason> {
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
        }
    }

    /// Stated scopes, with everything they imply, under every ceiling that applies. `None` under a ceiling of nothing: whoever
    /// is suspended stays out of routes that ask for no scope, too.
    fn effective(&self, statement: &Statement, captures: Captures<'_>) -> Option<ScopeSet> {
        let catalogue = self.policy.catalogue();
        let stated = catalogue.expand(statement.scopes);
        self.subjects(statement, captures)
            .iter()
            .filter_map(|subject| self.state.ceiling(subject))
            .try_fold(stated, |scopes, ceiling| {
                (!ceiling.is_empty()).then(|| scopes.intersection(catalogue.expand(ceiling)))
            })
    }

    /// Everyone whose not-before or ceiling reaches this statement. One for all workspaces is used in the captured one.
    fn subjects(&self, statement: &Statement, captures: Captures<'_>) -> Vec<Subject> {
        if !self.state.has_subjects() {
            return Vec::new();
        }
        let mut subjects = vec![
            Subject::Org(statement.org),
            Subject::Index(statement.index),
            Subject::Issuer(self.deployment.issuer.clone()),
        ];
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

fn check_browser(statement: &Statement, route: &CompiledRoute, origin: Option<&str>) -> Result<(), Reason> {
    let is_key = matches!(statement.kind, Kind::ApiKey { .. });
    if origin.is_some() && is_key && !route.route.browser_api_keys {
        return Err(Reason::BrowserKeyRefused);
    }
    Ok(())
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
fn check_tenant(statement: &Statement, captures: Captures<'_>) -> Result<(), Reason> {
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
