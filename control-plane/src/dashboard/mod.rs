//! What every page of the dashboard shares: who looks at it, the frame around it, answers to forms, charts.
//!
//! A page is a handler in its feature's `page.rs` and a template in `templates/dashboard/`. It calls the functions that `/v1` and
//! the command line call (I11):
//!
//! ```text
//! pub async fn get(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
//!     let things = super::list(&app, &visit.caller, …).await.map_err(refused)?;
//!     Ok(visit.page(&ThingsPage { shell: visit.shell(), things }))
//! }
//! pub async fn post(State(app): State<Arc<App>>, Sent { visit, form }: Sent) -> Result<Response, Instead> {
//!     match super::change(&app, &visit.caller, form.value("name")…).await {
//!         Ok(_) => Ok(visit.done("/dashboard/things", "The thing was changed.")),
//!         Err(error) => { let failure = refused_form(error)?; Ok(visit.page_with(UNPROCESSABLE_ENTITY, &…)) }
//!     }
//! }
//! ```
//!
//! | file | does |
//! | --- | --- |
//! | `visit` | [`Visit`] and [`Sent`]: signed in, a member, allowed by `authority::PAGES`, and for forms: sent by us |
//! | `recent` | pages that want a sign-in of the last minutes |
//! | `shell` | the frame: navigation, organisation, who is signed in, the last message |
//! | `flash` | a sentence that survives one redirect |
//! | `refusal` | errors of the functions as sentences or pages |
//! | `confirm` | a page that explains what cannot be undone |
//! | `link`, `query`, `parameters` | links to the next page of a list, and what they say |
//! | `in_force` | a receipt in one sentence |
//! | `chart` | bars as inline SVG, with the numbers behind |
//!
//! What it does not: know any feature, or use cookies for `/v1`, which takes none.

pub mod chart;
mod confirm;
mod flash;
mod in_force;
mod link;
mod parameters;
mod query;
mod recent;
mod refusal;
mod shell;
#[cfg(test)]
pub(crate) mod tests;
mod visit;

pub use confirm::Confirm;
pub use in_force::{counted, in_force};
pub use link::link;
pub use parameters::Parameters;
pub use query::PageQuery;
pub use refusal::{refused, refused_form};
pub use shell::Shell;
pub use visit::{Sent, Visit};
