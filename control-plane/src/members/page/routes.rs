//! The handlers of both: they say which of the two the pages are about, and nothing else.

macro_rules! pages_of {
    ($module:ident, $place:expr, $doc:literal) => {
        #[doc = $doc]
        pub mod $module {
            use std::sync::Arc;

            use axum::extract::{Path, State};
            use axum::response::Response;

            use super::super::{end, hand_over, list, person};
            use crate::app::App;
            use crate::dashboard::{Parameters, Sent, Visit};
            use crate::members::Change;
            use crate::sessions::Instead;

            /// The list.
            pub async fn get(
                State(app): State<Arc<App>>,
                visit: Visit,
                query: Parameters,
            ) -> Result<Response, Instead> {
                list::get(&app, $place, &visit, &query).await
            }

            /// One of them.
            pub async fn show(
                State(app): State<Arc<App>>,
                Path(id): Path<String>,
                visit: Visit,
            ) -> Result<Response, Instead> {
                person::get(&app, $place, &visit, &id).await
            }

            /// Another role.
            pub async fn change_role(
                State(app): State<Arc<App>>,
                Path(id): Path<String>,
                sent: Sent,
            ) -> Result<Response, Instead> {
                person::change_role(&app, $place, sent, &id).await
            }

            /// Shut out for a while.
            pub async fn suspend(
                State(app): State<Arc<App>>,
                Path(id): Path<String>,
                sent: Sent,
            ) -> Result<Response, Instead> {
                person::change(&app, $place, &sent.visit, &id, Change::Suspend).await
            }

            /// Let in again.
            pub async fn resume(
                State(app): State<Arc<App>>,
                Path(id): Path<String>,
                sent: Sent,
            ) -> Result<Response, Instead> {
                person::change(&app, $place, &sent.visit, &id, Change::Resume).await
            }

            /// What would die.
            pub async fn before_end(
                State(app): State<Arc<App>>,
                Path(id): Path<String>,
                visit: Visit,
            ) -> Result<Response, Instead> {
                end::get(&app, $place, &visit, &id).await
            }

            /// The end.
            pub async fn end(
                State(app): State<Arc<App>>,
                Path(id): Path<String>,
                sent: Sent,
            ) -> Result<Response, Instead> {
                end::post(&app, $place, sent, &id).await
            }

            /// Who gets a key in place of one of theirs.
            pub async fn before_reissue(
                State(app): State<Arc<App>>,
                Path(id): Path<String>,
                visit: Visit,
                query: Parameters,
            ) -> Result<Response, Instead> {
                hand_over::get(&app, $place, &visit, &id, &query).await
            }

            /// That key, shown once.
            pub async fn reissue(
                State(app): State<Arc<App>>,
                Path(id): Path<String>,
                sent: Sent,
            ) -> Result<Response, Instead> {
                hand_over::post(&app, $place, sent, &id).await
            }
        }
    };
}

pages_of!(people, super::super::PEOPLE, "`/dashboard/people`.");
pages_of!(
    service_accounts,
    super::super::SERVICE_ACCOUNTS,
    "`/dashboard/service-accounts`."
);

/// `POST /dashboard/service-accounts/{id}/rename`
pub async fn rename(
    axum::extract::State(app): axum::extract::State<std::sync::Arc<crate::app::App>>,
    axum::extract::Path(id): axum::extract::Path<String>,
    sent: crate::dashboard::Sent,
) -> Result<axum::response::Response, crate::sessions::Instead> {
    super::person::rename(&app, super::SERVICE_ACCOUNTS, sent, &id).await
}
