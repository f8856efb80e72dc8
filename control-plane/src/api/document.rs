//! The description of `/v1` (OpenAPI 3.1): a line for each endpoint, and what is the same everywhere, added once.
//!
//! What a handler says about itself stands above it (`#[utoipa::path]`). Added here: the refusals that any endpoint can
//! give, the headers of every answer, problem+json as the body of every error, and ids of operations.

use std::sync::LazyLock;

use axum::http::Method;
use serde::Serialize;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::schema::{AnyOf, ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Header, OpenApi, RefOr, Response, ServerBuilder};
use utoipa::{Modify, OpenApi as _, ToSchema};

use crate::authority::calls::{self, By};
use crate::{
    audit, clients, edge, explain, factors, grants, issuers, keys, members, people, policies, retention,
    revocations, service_accounts, sessions, settings, signals, usage, webhooks, workspaces,
};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Portcullis",
        description = "The API of the control plane. Every call carries `Authorization: Bearer …`: an API key with the scope `admin`, \
            or an access token of `portcullis login`. Bodies are JSON, strict: an unknown member is refused, nothing is ignored. \
            Errors are problem+json (RFC 9457); their `type` leads to a page that explains them. Lists take `limit` and give \
            `next_cursor`, which goes back as `cursor`. Creates take `Idempotency-Key`, updates `If-Match`. What belongs to \
            another organisation is 404, as if it did not exist.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        // API keys
        keys::api::list,
        keys::api::create,
        keys::api::show,
        keys::api::rename,
        keys::api::revoke,
        keys::api::rotate,
        keys::api::rotate_itself,
        revocations::api::quarantine,
        revocations::api::release,
        revocations::possession::post,
        // Revocations
        revocations::api::create,
        revocations::api::show,
        revocations::api::credentials,
        // Members
        members::api::list,
        members::api::show,
        members::api::change_role,
        members::api::suspend,
        members::api::resume,
        members::api::deactivate,
        // Invitations
        people::api::list,
        people::api::create,
        people::api::revoke,
        // Other issuers
        issuers::api::list,
        issuers::api::create,
        issuers::api::show,
        issuers::api::change,
        issuers::api::remove,
        issuers::api::refresh,
        issuers::api::block,
        issuers::api::unblock,
        // What happened, and why
        usage::api::get,
        explain::api::post,
        // Edges
        edge::status::get,
        edge::pull::get,
        usage::carry::post,
        // What others tell us
        signals::leaks::post,
        signals::events::post,
        keys::api::reissue,
        members::api::holdings,
        factors::api::show,
        factors::api::remove,
        people::api::resend,
        // Service accounts, workspaces
        service_accounts::api::list,
        service_accounts::api::create,
        service_accounts::api::show,
        service_accounts::api::change,
        service_accounts::api::suspend,
        service_accounts::api::resume,
        service_accounts::api::deactivate,
        workspaces::api::list,
        workspaces::api::create,
        workspaces::api::show,
        workspaces::api::rename,
        workspaces::api::archive,
        workspaces::api::restore,
        // OAuth
        clients::api::list,
        clients::api::create,
        clients::api::show,
        clients::api::update,
        clients::api::rotate_secret,
        clients::api::disable,
        clients::api::revoke,
        grants::api::list,
        grants::api::show,
        grants::api::revoke,
        sessions::api::list,
        sessions::api::end_one,
        sessions::api::end_all,
        // The route policy
        policies::api::show,
        policies::api::check,
        policies::api::apply,
        policies::api::roll_back,
        policies::api::history,
        policies::api::version,
        policies::api::test,
        // The audit trail, and webhooks
        retention::api::erase,
        settings::api::change,
        settings::api::rotate,
        settings::api::show,
        audit::api::list,
        audit::api::export,
        audit::api::verify,
        webhooks::api::list,
        webhooks::api::create,
        webhooks::api::show,
        webhooks::api::change,
        webhooks::api::remove,
        webhooks::api::rotate_secret,
        webhooks::api::ping,
        webhooks::api::messages,
        webhooks::api::replay,
        // The caller
        super::whoami::get,
        // This description
        super::docs::openapi,
    ),
    components(schemas(Problem)),
    tags(
        (name = "keys", description = "API keys: made, listed, renamed, rotated, quarantined, revoked."),
        (name = "revocations", description = "More ways to revoke than key by key, each with one receipt."),
        (name = "members", description = "Members of the organisation: their roles, and how somebody is shut out."),
        (name = "invitations", description = "How people come in."),
        (name = "issuers", description = "Other issuers (Clerk, Auth0, Okta, your own) whose tokens count in the organisation."),
        (name = "usage", description = "What the edges counted."),
        (name = "explain", description = "Would the edge let a request in, and why."),
        (name = "edge", description = "Edges: where each of them is; and what those call that we cannot reach."),
        (name = "signals", description = "What secret scanners and identity providers tell us."),
        (name = "service_accounts", description = "Members that are programs."),
        (name = "workspaces", description = "Parts of an organisation that keys can be bound to."),
        (name = "clients", description = "OAuth clients."),
        (name = "grants", description = "Which app acts for whom."),
        (name = "sessions", description = "Who is signed in."),
        (name = "policy", description = "The route policy: what each path needs."),
        (name = "audit", description = "The audit trail, and its chain."),
        (name = "webhooks", description = "Messages to your own programs, signed and retried."),
        (name = "settings", description = "What owners set: how long things are kept, what keys must be like, signing keys."),
        (name = "caller", description = "Who calls."),
        (name = "description", description = "This API, for programs."),
    ),
    security(("api_key" = []), ("access_token" = [])),
    modifiers(&Schemes, &Uniform),
)]
struct Document;

/// The description, without the address of a deployment.
static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(Document::openapi);

/// The description of the server at this address.
pub fn document(issuer: &str) -> OpenApi {
    let mut document = DOCUMENT.clone();
    document.servers = Some(vec![ServerBuilder::new().url(issuer).build()]);
    document
}

/// An error of the API (RFC 9457). Some have further members, which their `type` explains.
#[derive(Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A page that says what the error means and what to do.
    #[serde(rename = "type")]
    #[schema(
        format = "uri",
        example = "https://portcullis.example/v1/docs/errors#not_found"
    )]
    kind: String,
    /// A few words for people.
    #[schema(example = "Not found")]
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 404)]
    status: u16,
    /// Which error it is. Stable: go by this one.
    #[schema(example = "not_found")]
    code: String,
    /// What was wrong and what to do, in a sentence.
    #[schema(example = "there is no such key; check the id")]
    detail: String,
    /// Under which the log has more.
    #[schema(example = "req_dGhlIGlkIG9mIGl0")]
    request_id: String,
    /// The field of the body or of the query that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    field: Option<String>,
    /// The scopes that would do, separated by spaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
}

/// How callers say who they are.
struct Schemes;

impl Modify for Schemes {
    fn modify(&self, document: &mut OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = |format: &str, words: &str| {
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format(format)
                    .description(Some(words))
                    .build(),
            )
        };
        let schemes = [
            (
                "api_key",
                bearer(
                    "pc_live_…",
                    "An API key of this deployment with the scope `admin`.",
                ),
            ),
            (
                "access_token",
                bearer(
                    "JWT",
                    "An access token of `portcullis login`, for as much as its person's role allows.",
                ),
            ),
            (
                "uplink_key",
                bearer(
                    "upl_…",
                    "The key of an edge that fetches its feed, and of no use for anything else.",
                ),
            ),
        ];
        for (name, scheme) in schemes {
            components.add_security_scheme(name, scheme);
        }
    }
}

/// What is the same everywhere.
struct Uniform;

impl Modify for Uniform {
    fn modify(&self, document: &mut OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for (method, operation) in operations(item) {
                complete(&method, path, operation);
            }
        }
        let schemas = document
            .components
            .iter_mut()
            .flat_map(|parts| parts.schemas.values_mut());
        schemas.for_each(any_of);
    }
}

/// What is one of several shapes may have the members of another as well: a receipt of many has all that one of one has. `oneOf`
/// would forbid that.
fn any_of(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::OneOf(shapes)) = schema
        && shapes.discriminator.is_none()
    {
        let mut wider = AnyOf::new();
        wider.items = std::mem::take(&mut shapes.items);
        wider.description = shapes.description.take();
        *schema = RefOr::T(Schema::AnyOf(wider));
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::PUT, &mut item.put),
        (Method::POST, &mut item.post),
        (Method::DELETE, &mut item.delete),
        (Method::PATCH, &mut item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// A status, what it stands for, and which endpoints can give it.
type Refusal = (&'static str, &'static str, fn(&About) -> bool);

const REFUSALS: [Refusal; 13] = [
    (
        "400",
        "Something about the request makes no sense; `field` names it.",
        |_| true,
    ),
    ("401", "No credential, or one that does not count.", |about| {
        about.secured
    }),
    ("403", "The credential may not do this.", |about| about.secured),
    (
        "404",
        "There is no such thing in the caller's organisation.",
        |about| about.names_a_thing,
    ),
    (
        "409",
        "It conflicts with what is there; `code` says how.",
        |about| about.creates,
    ),
    (
        "412",
        "It was changed since you read it; nothing was done.",
        |about| about.updates,
    ),
    ("413", "The body is too large.", |about| about.has_body),
    (
        "415",
        "The body has another media type than this endpoint reads.",
        |about| about.has_body,
    ),
    (
        "422",
        "The Idempotency-Key was used for another request.",
        |about| about.creates,
    ),
    (
        "429",
        "Too many requests; wait as long as `Retry-After` says.",
        |about| about.secured || about.has_body,
    ),
    (
        "500",
        "Our fault; `request_id` finds the cause in the log.",
        |_| true,
    ),
    (
        "503",
        "Not now; nothing was changed. Try again after `Retry-After`.",
        |_| true,
    ),
    ("504", "It took too long; look before you try again.", |_| true),
];

/// What an operation is like.
#[expect(clippy::struct_excessive_bools, reason = "each is a statement of its own")]
struct About {
    secured: bool,
    /// It comes out of a credential's share.
    counted: bool,
    names_a_thing: bool,
    creates: bool,
    updates: bool,
    has_body: bool,
}

fn complete(method: &Method, path: &str, operation: &mut Operation) {
    let by = calls::by(method, path);
    let group = operation.tags.as_ref().and_then(|tags| tags.first()).cloned();
    if let (Some(group), Some(name)) = (group, operation.operation_id.take()) {
        operation.operation_id = Some(format!("{group}_{name}"));
    }
    let takes = |header: &str| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| match parameter {
            RefOr::T(one) => one.parameter_in == ParameterIn::Header && one.name == header,
            RefOr::Ref(_) => false,
        })
    };
    let about = About {
        secured: !matches!(by, Some(By::Anybody | By::Sender)),
        counted: by.is_some_and(By::authenticates),
        names_a_thing: path.contains('{'),
        creates: takes("Idempotency-Key"),
        updates: takes("If-Match"),
        has_body: operation.request_body.is_some(),
    };
    let responses = &mut operation.responses.responses;
    for (status, words, can) in REFUSALS {
        if can(&about) {
            responses
                .entry(status.to_owned())
                .or_insert_with(|| RefOr::T(Response::new(words)));
        }
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response {
            describe(status, &about, response);
        }
    }
}

fn describe(status: &str, about: &About, response: &mut Response) {
    let refused = status.starts_with('4') || status.starts_with('5');
    if refused && response.content.is_empty() {
        let schema = Ref::from_schema_name("Problem");
        let content = ContentBuilder::new().schema(Some(schema)).build();
        response
            .content
            .insert("application/problem+json".to_owned(), RefOr::T(content));
    }
    let headers = &mut response.headers;
    let mut say = |name: &str, kind: Type, words: &str| {
        let schema = ObjectBuilder::new().schema_type(kind).build();
        let header: Header = HeaderBuilder::new()
            .schema(Some(schema))
            .description(Some(words))
            .build();
        headers.entry(name.to_owned()).or_insert(RefOr::T(header));
    };
    say(
        "X-Request-Id",
        Type::String,
        "Under which the log has more. Taken over from the request, if it is harmless text.",
    );
    if about.counted {
        say(
            "RateLimit-Policy",
            Type::String,
            "How many calls this credential may make in how many seconds.",
        );
        say(
            "RateLimit",
            Type::String,
            "How many of them are left at once, and in how many seconds all of them are.",
        );
    }
    if matches!(status, "429" | "503") {
        say(
            "Retry-After",
            Type::Integer,
            "Seconds until another attempt makes sense.",
        );
    }
    if status == "401" {
        say(
            "WWW-Authenticate",
            Type::String,
            "What to come with (RFC 6750 §3).",
        );
    }
}
