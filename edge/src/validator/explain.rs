//! Why a request is let in or kept out, step by step and exactly: for administrators. Callers learn the class of a refusal and
//! no more.
//!
//! The steps are those of [`Validator::check`], by the same functions; what fails first is the verdict there. Unlike there,
//! everything about a true statement is looked at, so that whoever mends one thing sees the next. What it does not: ask how fresh
//! the state is, or remember anything.

use shared::feed::Subject;
use shared::path;
use shared::policy::{Captures, CompiledRoute};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;
use shared::verdict::Reason;

use super::{Credential, Kind, RequestFacts, Scheme, Signer, Statement, Validator, judge, mcp, proof};

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What was looked at.
    pub name: &'static str,
    /// Why it keeps the request out; `None`: it does not.
    pub reason: Option<Reason>,
    /// What was found. A name that ends in `_at` has Unix seconds as its value.
    pub facts: Vec<(&'static str, String)>,
}

/// All steps that could be taken.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// In the order in which they count.
    pub steps: Vec<Step>,
    /// Whose credential it is, where its signature holds.
    pub statement: Option<Statement>,
    /// The route is public: nobody looks at a credential.
    pub public: bool,
}

impl Explanation {
    /// The verdict: what fails first, or `None` if the request is let in.
    pub fn reason(&self) -> Option<Reason> {
        self.steps.iter().find_map(|step| step.reason)
    }

    fn add(
        &mut self,
        name: &'static str,
        outcome: Result<(), Reason>,
        facts: impl IntoIterator<Item = (&'static str, String)>,
    ) {
        self.steps.push(Step {
            name,
            reason: outcome.err(),
            facts: facts.into_iter().collect(),
        });
    }
}

impl Validator<'_> {
    /// What the policy alone says of a caller who holds these scopes: no credential, no list, no ceiling, no tenant.
    pub fn explain_scopes(&self, facts: &RequestFacts<'_>, scopes: ScopeSet) -> Explanation {
        let mut told = Explanation::default();
        let canonical = tell_path(&mut told, facts);
        let found = canonical.and_then(|canonical| {
            let (route, _, operation) = self.tell_route(&mut told, facts, &canonical)?;
            Some((route, operation.unwrap_or_default()))
        });
        if let Some((route, operation)) = found {
            let catalogue = self.policy.catalogue();
            let effective = catalogue.expand(scopes);
            let missing = route.all.union(operation).difference(effective);
            let enough = judge::suffices(route, operation, Some(effective));
            let found = [
                ("effective", catalogue.join(effective)),
                ("missing", catalogue.join(missing)),
            ];
            told.add("scopes", enough.map(drop), found);
        }
        told
    }

    /// Takes every step that can be taken.
    pub fn explain(&self, facts: &RequestFacts<'_>, now: UnixSeconds) -> Explanation {
        let mut told = Explanation::default();
        // What cannot be gone past ends it here.
        let _ = self.tell(&mut told, facts, now);
        told
    }

    /// The steps from the path to the credential: the route, what it captured, and what the operation needs besides.
    fn tell_route<'p>(
        &self,
        told: &mut Explanation,
        facts: &RequestFacts<'_>,
        canonical: &'p str,
    ) -> Option<(&CompiledRoute, Captures<'p>, Result<ScopeSet, Reason>)> {
        let found = self.policy.route(facts.method, canonical);
        let outcome = found.map(drop).ok_or(Reason::RouteDenied);
        told.add(
            "route",
            outcome,
            found
                .map(|(route, _)| self.about_route(route))
                .unwrap_or_default(),
        );
        let (route, captures) = found?;
        if route.route.public {
            told.public = true;
            return None;
        }

        let origin = facts.origin.unwrap_or("none").to_owned();
        told.add(
            "browser origin",
            judge::check_origin(route, facts.origin),
            [("origin", origin)],
        );
        let operation = mcp::needed(route, facts);
        if route.mcp.is_some() {
            let needed = self.policy.catalogue().join(operation.unwrap_or_default());
            told.add("MCP operation", operation.map(drop), [("needs_besides", needed)]);
        }
        Some((route, captures, operation))
    }

    fn tell(&self, told: &mut Explanation, facts: &RequestFacts<'_>, now: UnixSeconds) -> Option<()> {
        let canonical = tell_path(told, facts)?;
        let (route, captures, operation) = self.tell_route(told, facts, &canonical)?;

        let credential = Credential::from_authorization(facts.authorization)
            .and_then(|credential| judge::check_single(facts.proof).map(|()| credential));
        let kind = match &credential {
            Ok(Credential::ApiKey(_)) => "API key",
            Ok(Credential::Token(_)) => "token",
            Err(_) => "none that can be read",
        };
        told.add("credential", credential.map(drop), [("kind", kind.to_owned())]);
        let credential = credential.ok()?;

        let statement = self.verify(&credential);
        let about = statement
            .as_ref()
            .map(|statement| Self::about_statement(statement));
        told.add(
            "signature",
            statement.as_ref().map(drop).map_err(|reason| *reason),
            about.unwrap_or_default(),
        );
        let statement = statement.ok()?;
        told.statement = Some(statement.clone());
        let scheme = facts.authorization.and_then(Scheme::of).unwrap_or(Scheme::Bearer);
        told.add("scheme", statement.check_scheme(scheme), []);
        self.tell_worth(
            told,
            &statement,
            (route, captures),
            operation.unwrap_or_default(),
            facts,
            now,
        );

        if statement.kind.bound_to().is_some() {
            let outcome = proof::check(facts, &statement, &canonical, now).map(drop);
            told.add("proof of possession", outcome, []);
        }
        Some(())
    }

    /// What a true statement is worth: everything that [`judge`] asks, in its order.
    fn tell_worth(
        &self,
        told: &mut Explanation,
        statement: &Statement,
        (route, captures): (&CompiledRoute, Captures<'_>),
        operation: ScopeSet,
        facts: &RequestFacts<'_>,
        now: UnixSeconds,
    ) {
        let subjects = self.subjects(statement, captures);
        told.add("organisation", self.check_org(statement), []);
        let mut superseded = Vec::new();
        for subject in &subjects {
            if let Some(at) = self
                .state
                .not_before(subject)
                .filter(|at| statement.issued_at <= *at)
            {
                superseded.push(("everything_until_at", at.0.to_string()));
                superseded.push(("of", text(subject)));
            }
        }
        told.add(
            "restriction list",
            self.check_standing(statement, captures),
            superseded,
        );

        let mut times = vec![("now_at", now.0.to_string())];
        if let Some(end) = statement.index().and_then(|index| self.state.not_after(index)) {
            times.push(("ended_early_at", end.0.to_string()));
        }
        told.add("times", self.check_times(statement, now), times);
        let asked = [("asked", route.audience.clone())];
        told.add("audience", self.check_audience(statement, route), asked);
        told.add(
            "browser",
            judge::check_browser(statement, route, facts.origin),
            [],
        );
        told.add("tenant", judge::check_tenant(statement, captures), []);

        let catalogue = self.policy.catalogue();
        let effective = self.effective(statement, captures);
        let mut scopes = vec![("stated", catalogue.join(catalogue.expand(statement.scopes)))];
        for subject in &subjects {
            if let Some(ceiling) = self.state.ceiling(subject) {
                scopes.push(("ceiling_of", text(subject)));
                scopes.push(("ceiling", catalogue.join(catalogue.expand(ceiling))));
            }
        }
        let effective_scopes = effective.unwrap_or_default();
        scopes.push(("effective", catalogue.join(effective_scopes)));
        let missing = route.all.union(operation).difference(effective_scopes);
        scopes.push(("missing", catalogue.join(missing)));
        let enough = judge::suffices(route, operation, effective);
        told.add("scopes", enough.map(drop), scopes);
    }

    fn about_route(&self, route: &CompiledRoute) -> Vec<(&'static str, String)> {
        let catalogue = self.policy.catalogue();
        let written = &route.route;
        let methods = if written.methods.is_empty() {
            "any".to_owned()
        } else {
            written.methods.join(", ")
        };
        let mut about = vec![
            ("number", route.number.to_string()),
            ("pattern", written.path.clone()),
            ("methods", methods),
        ];
        if written.public {
            about.push(("public", "yes: nobody looks at a credential".to_owned()));
            return about;
        }
        about.push(("needs_all", catalogue.join(route.all)));
        if !route.any.is_empty() {
            about.push(("needs_one_of", catalogue.join(route.any)));
        }
        let staleness = if written.strict {
            "strict".to_owned()
        } else {
            format!("{} ms", route.max_staleness_ms)
        };
        about.push(("max_staleness", staleness));
        about
    }

    fn about_statement(statement: &Statement) -> Vec<(&'static str, String)> {
        let mut about = match &statement.signer {
            Signer::Ours { key, index } => vec![
                ("signed_by", key.kid()),
                ("status_index", index.get().to_string()),
            ],
            Signer::Issuer { name, .. } => vec![("issuer", name.clone())],
        };
        let workspace = statement
            .workspace
            .map_or_else(|| "all".to_owned(), |workspace| workspace.to_string());
        about.extend([
            ("credential", statement.credential.clone()),
            ("subject", statement.subject.clone()),
            ("org", statement.org.to_string()),
            ("workspace", workspace),
            ("issued_at", statement.issued_at.0.to_string()),
        ]);
        if let Some(end) = statement.expires_at {
            about.push(("expires_at", end.0.to_string()));
        }
        match &statement.kind {
            Kind::ApiKey { environment } => about.push(("environment", environment.to_string())),
            Kind::AccessToken { audience, client, .. } => {
                about.push(("audience", audience.join(" ")));
                about.push(("client", client.clone()));
            }
            Kind::Foreign { audience, .. } => about.push(("audience", audience.join(" "))),
        }
        about
    }
}

/// The first step: the path in its one form.
fn tell_path(told: &mut Explanation, facts: &RequestFacts<'_>) -> Option<String> {
    let canonical = path::canonical(facts.path);
    let outcome = canonical.as_ref().map(drop).map_err(|_| Reason::PathMalformed);
    let canonical = canonical.ok();
    let form = canonical.clone().unwrap_or_default();
    told.add("path", outcome, [("canonical", form)]);
    canonical
}

/// As administrators write it.
fn text(subject: &Subject) -> String {
    match subject {
        Subject::Org(org) => format!("organisation {org}"),
        Subject::Workspace(workspace) => format!("workspace {workspace}"),
        Subject::Member(org, user) => format!("{user} in {org}"),
        Subject::Client(client) => format!("client {client}"),
        Subject::Session(_) => "the session of its sign-in".to_owned(),
        Subject::Issuer(issuer) => format!("issuer {issuer}"),
        Subject::Index(_) => "the credential itself".to_owned(),
        Subject::WorkspaceMember(org, user, workspace) => format!("{user} in {workspace} of {org}"),
        Subject::Foreign(issuer, subject) => format!("{subject} of {issuer}"),
    }
}
