//! `/v1` as a whole: what its endpoints share, its description (OpenAPI 3.1), and the pages that show it.
//!
//! # Adding an endpoint
//!
//! 1. The function that does it, in its feature: `feature::verb(app, &caller, …) -> Result<_, ApiError>`. Pages and the command
//!    line call the same one.
//! 2. The handler in `feature/api.rs`: extractors in, function, view out. With `#[utoipa::path(…)]`: path, `tag`, `summary`,
//!    parameters, body, what it answers if all goes well, and those refusals that are its own. The body is one of
//!    [`crate::http::json`]; of a create it is [`Creation`](crate::http::idempotency::Creation), and the parameters name
//!    [`IdempotencyKeyHeader`](crate::http::idempotency::IdempotencyKeyHeader); an update takes
//!    [`IfMatch`](crate::http::tag::IfMatch) and names [`IfMatchHeader`](crate::http::tag::IfMatchHeader); a list pages with
//!    [`crate::http::paging`]. Structs in it derive `ToSchema`, those of a query `IntoParams`; an id is
//!    `#[schema(value_type = String, example = "key_000000001")]`.
//! 3. A line in `routes.rs`, one in [`document`], and one in [`authority::calls`](crate::authority::calls), which says who may
//!    call it: without that one nobody may. The test `every_route_is_described` fails if one is missing; the tests of the
//!    table try every role with what is theirs and what is another organisation's (`authority/matrix`): tell them what to
//!    send.
//! 4. The command in `cli/`, with an example in its help, which a test parses.
//!
//! Refusals that every endpoint can give, the headers of every answer, and operation ids are added in [`document`]: say
//! nothing about them. An error with a code of its own gets its sentence in [`errors`], without which nothing compiles.
//!
//! | file | does |
//! | --- | --- |
//! | [`document`] | the description, and what is the same everywhere |
//! | [`errors`] | what each error means and what to do about it |
//! | [`docs`] | `/v1/openapi.json` and the pages under `/v1/docs` |
//! | [`whoami`] | who calls |
//! | `reading` | reads the description for the pages |

pub mod docs;
pub mod document;
pub mod errors;
mod reading;
#[cfg(test)]
mod tests;
pub mod whoami;
