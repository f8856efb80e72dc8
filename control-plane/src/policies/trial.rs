//! Would this request pass, and why: under the policy in force, or under a draft.
//!
//! With a credential it is the edge's own validator on the state that edges are told (`explain`), for administrators of the
//! credential's organisation. With scopes alone, or nothing, it is what the policy says: lists, ceilings and tenants are of
//! credentials.

use edge::validator::Explanation;
use secrecy::SecretString;
use serde_json::Value;
use shared::policy::CompiledPolicy;
use shared::verdict::{Outcome, Reason};

use super::change::{self, Base};
use super::{draft, rules};
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::explain::{self, Question};
use crate::http::auth::Caller;

/// Who calls.
#[derive(Clone, Debug)]
pub enum Holder {
    /// Nobody in particular: no credential at all.
    Nobody,
    /// Somebody with these scopes, whatever the credential.
    Scopes(Vec<String>),
    /// The holder of this credential.
    Credential(SecretString),
}

/// A request that was not made.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// The browser's origin.
    pub origin: Option<String>,
    /// Who calls.
    pub holder: Holder,
    /// Under this document instead of the one in force.
    pub draft: Option<Value>,
}

/// What would become of it.
#[derive(Clone, Debug)]
pub struct Tried {
    /// What keeps it out; `None`: it passes.
    pub reason: Option<Reason>,
    /// The status that the caller would get; 200 stands for what the origin says.
    pub status: u16,
    /// Why, in a sentence.
    pub sentence: String,
    /// Step by step.
    pub explanation: Explanation,
}

/// Tries it.
pub async fn test(app: &App, caller: &Caller, trial: Trial) -> Result<Tried, ApiError> {
    let mut tx = app.store.begin_read().await?;
    let access = rules::access(&mut tx, app, caller).await?;
    let base = Base::read(&mut tx, app).await?;
    drop(tx);
    let policy = match trial.draft {
        None => base.policy,
        Some(document) => {
            rules::must_administer(access)?;
            let published = base.policy.catalogue().all();
            draft::read(document, &app.config.resource, published).map_err(|all| change::refused(&all))?
        }
    };
    let asked = Question {
        method: &trial.method,
        path: &trial.path,
        authorization: None,
        origin: trial.origin.as_deref(),
        proof: None,
        mcp: [None; 3],
    };
    let explanation = match &trial.holder {
        Holder::Nobody => explain::without_credential(app, &policy, &asked, None),
        Holder::Scopes(names) => {
            let scopes = policy.catalogue().parse(names);
            let scopes = scopes.map_err(|unknown| {
                let known = policy.catalogue().all().join(", ");
                ApiError::invalid_field("scopes", format!("{unknown}; the policy has {known}"))
            })?;
            explain::without_credential(app, &policy, &asked, Some(scopes))
        }
        Holder::Credential(credential) => {
            must_see_credentials(app, caller)?;
            explain::with_credential(app, caller, &policy, (credential, asked)).await?
        }
    };
    Ok(told(explanation, &policy))
}

/// As `POST /v1/explain`: administrators only.
fn must_see_credentials(app: &App, caller: &Caller) -> Result<(), ApiError> {
    let admin = app
        .catalogue()
        .parse([shared::scope::ADMIN])
        .map_err(ApiError::internal)?;
    if app.catalogue().satisfies(caller.scopes, admin) {
        return Ok(());
    }
    let detail =
        "what becomes of a credential is told to those with the scope `admin`; test with scopes instead";
    Err(ApiError::new(Code::InsufficientScope, detail).needs(shared::scope::ADMIN))
}

fn told(explanation: Explanation, policy: &CompiledPolicy) -> Tried {
    let reason = explanation.reason();
    let status = reason.map_or(200, |reason| status(reason.outcome()));
    let fact = |step: &str, name: &str| {
        let step = explanation.steps.iter().find(|known| known.name == step)?;
        let fact = step.facts.iter().find(|(known, _)| *known == name)?;
        Some(fact.1.clone()).filter(|text| !text.is_empty())
    };
    let number = fact("route", "number").and_then(|number| number.parse::<usize>().ok());
    let route = number.and_then(|number| policy.routes().get(number));
    let place = route.map_or_else(String::new, |route| {
        format!(
            "routes[{}] ({})",
            route.number,
            crate::revocation::policy_rule(&route.route)
        )
    });
    let sentence = match reason {
        None if explanation.public => {
            format!("It passes: {place} is public, and nobody looks at a credential.")
        }
        None => format!("It passes: {place} asks for nothing that the caller lacks."),
        Some(Reason::RouteDenied) => {
            "It is refused: no route fits this method and path, and what no route allows is denied."
                .to_owned()
        }
        Some(Reason::PathMalformed) => {
            "It is refused before any route is looked at: the path has no canonical form.".to_owned()
        }
        Some(Reason::CredentialMissing) => {
            format!("It is refused: {place} needs a credential, and there is none.")
        }
        Some(Reason::ScopeInsufficient) => match fact("scopes", "missing") {
            Some(missing) => format!("It is refused: {place} asks for {missing}, which the caller lacks."),
            None => {
                format!("It is refused: {place} asks for one of several scopes, and the caller has none.")
            }
        },
        Some(reason) => format!("It is refused by {place}: {}.", reason.code().replace('_', " ")),
    };
    Tried {
        reason,
        status,
        sentence,
        explanation,
    }
}

/// As the gate answers.
fn status(outcome: Outcome) -> u16 {
    match outcome {
        Outcome::Allow => 200,
        Outcome::BadRequest => 400,
        Outcome::Unauthenticated | Outcome::InvalidToken | Outcome::InvalidProof => 401,
        Outcome::InsufficientScope | Outcome::Forbidden => 403,
        Outcome::TooManyRequests => 429,
        Outcome::Unavailable => 503,
    }
}
