//! A tower layer for the origin of an API: axum, or anything else that is a `tower::Service` of HTTP requests.
//!
//! Two ways, the same [`Identity`] in the extensions of what is let in:
//!
//! - [`PortcullisLayer::behind`]: the gateway has judged the request; here its signed word is checked, which names method and path.
//!   Whoever reached the origin around the gateway has none.
//! - [`PortcullisLayer::alone`]: there is no gateway; the layer judges the credential itself, by the route policy of the feed.
//!
//! Put it around the whole router, so that what is routed by is the path that was judged. In axum:
//! `Router::new().fallback_service(PortcullisLayer::alone(gate).layer(router))`. (`Router::layer` and `nest` would give it paths that
//! were routed, and cut, before.) `tests/examples/axum` has it whole.
//!
//! What a client claims in headers that only a gate may set never gets past the layer. What it does not: limits, usage, or cut
//! connections at `max_connection_seconds`; that is for gates in front.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use edge::answer::{
    self as outside, INSUFFICIENT_SCOPE, INVALID_TOKEN, Problem, STATE_STALE, UNAUTHENTICATED, metadata,
};
use edge::library::{Allowed, HeaderPairs};
use edge::validator::Scheme;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri};
use http_body_util::BodyExt as _;
use shared::assertion::HEADER;
use tower_layer::Layer;
use tower_service::Service;

use crate::answer::{self, Body, BoxError};
use crate::assertion::{AssertionVerifier, Unverified};
use crate::gate::{Decision, Gate};
use crate::headers;
use crate::identity::Identity;
use crate::question;

/// The layer. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PortcullisLayer {
    mode: Mode,
    scopes: Arc<[String]>,
}

#[derive(Clone, Debug)]
enum Mode {
    Behind {
        verifier: AssertionVerifier,
        /// Whether requests without an assertion pass, as nobody.
        open: bool,
    },
    Alone(Gate),
}

impl PortcullisLayer {
    /// For an origin behind a gateway: every request must come with the gateway's assertion.
    pub fn behind(verifier: AssertionVerifier) -> Self {
        let mode = Mode::Behind {
            verifier,
            open: false,
        };
        Self {
            mode,
            scopes: Arc::default(),
        }
    }

    /// The same for an origin with public routes, on which the gateway says nothing: requests without an assertion pass, with
    /// no [`Identity`]. A handler that needs one asks for it, and so refuses them.
    pub fn behind_with_public_routes(verifier: AssertionVerifier) -> Self {
        let mode = Mode::Behind { verifier, open: true };
        Self {
            mode,
            scopes: Arc::default(),
        }
    }

    /// For an origin that judges credentials itself.
    pub fn alone(gate: Gate) -> Self {
        Self {
            mode: Mode::Alone(gate),
            scopes: Arc::default(),
        }
    }

    /// Beside what the policy asks for, all of these scopes.
    #[must_use]
    pub fn requiring<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = scopes.into_iter().map(Into::into).collect();
        self
    }
}

impl<S> Layer<S> for PortcullisLayer {
    type Service = Portcullis<S>;

    fn layer(&self, inner: S) -> Portcullis<S> {
        Portcullis {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service behind the layer.
#[derive(Clone, Debug)]
pub struct Portcullis<S> {
    inner: S,
    layer: PortcullisLayer,
}

/// What is to be done with a request after it was judged.
enum Judged {
    /// It is answered; nobody behind the layer sees it.
    Answered(Response<Body>),
    /// It goes on, and its answer is finished by what was decided; by nothing where the gateway does that.
    Passed(Option<Box<Allowed>>),
}

impl<S, B, R> Service<Request<B>> for Portcullis<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone is not ready; the one that was asked is.
        let spare = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, spare);
        let layer = self.layer.clone();
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match layer.judge(&mut parts).await {
                Judged::Answered(response) => Ok(response),
                Judged::Passed(allowed) => {
                    let response = inner.call(Request::from_parts(parts, body)).await?;
                    Ok(finished(response, allowed.as_deref()))
                }
            }
        })
    }
}

fn finished<R>(response: Response<R>, allowed: Option<&Allowed>) -> Response<Body>
where
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let mut response = response.map(|body| body.map_err(Into::into).boxed_unsync());
    if let Some(allowed) = allowed {
        let headers = response.headers_mut();
        headers::strip_claims_of_answer(headers);
        headers::finish(headers, allowed.public, allowed.own_cors);
        answer::set(headers, &allowed.response_headers);
    }
    response
}

impl PortcullisLayer {
    async fn judge(&self, parts: &mut Parts) -> Judged {
        // Whatever was there was not put there by us.
        parts.extensions.remove::<Identity>();
        match &self.mode {
            Mode::Alone(gate) => self.judge_alone(gate, parts).await,
            Mode::Behind { verifier, open } => self.judge_behind(verifier, *open, parts).await,
        }
    }

    async fn judge_alone(&self, gate: &Gate, parts: &mut Parts) -> Judged {
        let question = question::about(parts);
        if let Some(response) = metadata_for(gate, parts, &question.request_id) {
            return Judged::Answered(response);
        }
        let (request_id, path) = (question.request_id.clone(), question.path.clone());
        let scheme = question.authorization.as_deref().and_then(Scheme::of);
        let has_credential = question::has_credential(question.authorization.as_deref());
        let allowed = match gate.verify(question).await {
            Decision::Allow(allowed) => allowed,
            Decision::Refuse(refused) => return Judged::Answered(answer::refusal(&refused)),
        };
        let identity = Identity::of(&allowed);
        if let Some(identity) = &identity
            && !self.suffices(identity)
        {
            let own = gate.resource();
            return Judged::Answered(self.refuse(INSUFFICIENT_SCOPE, &own, &path, &request_id, scheme));
        }
        if !rewrite(parts, &allowed.path) {
            return Judged::Answered(answer::problem(outside::INVALID_REQUEST, &request_id));
        }
        headers::strip_claims(&mut parts.headers);
        if is_consumed(&allowed, has_credential) {
            headers::remove_credentials(&mut parts.headers);
        }
        answer::set(&mut parts.headers, &allowed.headers);
        if let Some(identity) = identity {
            parts.extensions.insert(identity);
        }
        Judged::Passed(Some(allowed))
    }

    async fn judge_behind(&self, verifier: &AssertionVerifier, open: bool, parts: &mut Parts) -> Judged {
        let request_id = question::request_id(&parts.headers);
        let said = question::header(&parts.headers, HEADER);
        headers::strip_claims(&mut parts.headers);
        let path = parts.uri.path();
        let refuse = |problem| self.refuse(problem, verifier.issuer(), path, &request_id, None);
        let Some(said) = said else {
            return if open && self.scopes.is_empty() {
                Judged::Passed(None)
            } else {
                Judged::Answered(refuse(UNAUTHENTICATED))
            };
        };
        let claims = match verifier.verify(&said, parts.method.as_str(), path).await {
            Ok(claims) => claims,
            Err(Unverified::NoKeys) => return Judged::Answered(refuse(STATE_STALE)),
            Err(error) => {
                tracing::debug!(request = request_id, %error, "refused");
                return Judged::Answered(refuse(INVALID_TOKEN));
            }
        };
        let plain = plain_headers(&claims);
        let identity = Identity::from(claims);
        if !self.suffices(&identity) {
            return Judged::Answered(refuse(INSUFFICIENT_SCOPE));
        }
        answer::set(&mut parts.headers, &plain);
        parts.extensions.insert(identity);
        Judged::Passed(None)
    }

    fn suffices(&self, identity: &Identity) -> bool {
        self.scopes.iter().all(|scope| identity.has_scope(scope))
    }

    /// A refusal of the layer's own, in the words of every gate.
    fn refuse(
        &self,
        problem: Problem,
        resource: &str,
        path: &str,
        request_id: &str,
        scheme: Option<Scheme>,
    ) -> Response<Body> {
        let mut headers = HeaderPairs::default();
        headers.push("vary", "Authorization, Origin");
        let document = metadata::url_for(resource, path, resource);
        outside::challenge(
            problem,
            &document,
            &self.scopes.join(" "),
            scheme,
            |name, value| {
                headers.push(name, value);
            },
        );
        answer::problem_with(problem, request_id, headers)
    }
}

/// Whether the credential ends here. Nobody looks at credentials on public routes; ours still go no further.
pub(crate) fn is_consumed(allowed: &Allowed, has_credential: bool) -> bool {
    if allowed.public {
        has_credential
    } else {
        !allowed.forward_credential
    }
}

/// The plain headers, as a gateway would have set them.
fn plain_headers(claims: &shared::assertion::Claims) -> HeaderPairs {
    let mut headers = HeaderPairs::default();
    headers.push("x-portcullis-subject", &claims.sub);
    headers.push("x-portcullis-org", &claims.org);
    headers.push("x-portcullis-workspace", &claims.workspace);
    headers.push("x-portcullis-scopes", &claims.scope);
    headers.push("x-portcullis-credential", &claims.credential);
    headers
}

/// The answer if a request asks for the protected resource metadata.
pub(crate) fn metadata_for(gate: &Gate, parts: &Parts, request_id: &str) -> Option<Response<Body>> {
    let document = gate.metadata(parts.uri.path())?;
    let asked = question::header(&parts.headers, "access-control-request-headers");
    let mut response = answer::document(&parts.method, &document, asked.as_deref(), request_id);
    if parts.method == Method::HEAD {
        *response.body_mut() = answer::empty();
    }
    Some(response)
}

/// What is routed by is what was judged.
fn rewrite(parts: &mut Parts, path: &str) -> bool {
    if parts.uri.path() == path {
        return true;
    }
    let target = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let Ok(target) = PathAndQuery::try_from(target) else {
        return false;
    };
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.path_and_query = Some(target);
    match Uri::from_parts(uri) {
        Ok(uri) => {
            parts.uri = uri;
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests;
