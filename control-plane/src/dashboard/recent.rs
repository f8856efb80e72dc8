//! Which pages want a sign-in of the last minutes (`factors.recent_seconds`): whoever finds an open browser must not walk away with
//! a secret, make anybody more than they were, or send what is told elsewhere.
//!
//! Pages that end something ask for themselves, on the page that explains it; the others are listed here.

use axum::http::Method;

use crate::authority;

/// A method and a path as the router writes it.
const RECENT: &[(&str, &str)] = &[
    // They show a secret.
    ("GET", "/dashboard/keys/new"),
    ("POST", "/dashboard/keys/new"),
    ("GET", "/dashboard/keys/{id}/rotate"),
    ("POST", "/dashboard/keys/{id}/rotate"),
    ("GET", "/account/keys/new"),
    ("POST", "/account/keys/new"),
    ("GET", "/account/keys/{id}/rotate"),
    ("POST", "/account/keys/{id}/rotate"),
    ("GET", "/dashboard/clients/new"),
    ("POST", "/dashboard/clients/new"),
    ("GET", "/dashboard/webhooks/new"),
    ("POST", "/dashboard/webhooks/new"),
    ("GET", "/dashboard/webhooks/{id}/rotate"),
    ("POST", "/dashboard/webhooks/{id}/rotate"),
    // They make somebody more than they were.
    ("GET", "/dashboard/people/invite"),
    ("POST", "/dashboard/people/invite"),
    ("POST", "/dashboard/people/invitations/{id}/resend"),
    ("POST", "/dashboard/people/{id}/role"),
    ("GET", "/dashboard/service-accounts/new"),
    ("POST", "/dashboard/service-accounts/new"),
    ("POST", "/dashboard/service-accounts/{id}/role"),
    // They say where people, or what is told, are sent.
    ("GET", "/dashboard/clients/{id}/edit"),
    ("POST", "/dashboard/clients/{id}/edit"),
    ("POST", "/dashboard/webhooks/{id}"),
    // They say how long things are kept.
    ("POST", "/dashboard/retention"),
    ("POST", "/dashboard/settings"),
];

/// Whether a page is listed.
pub(super) fn is_wanted(method: &Method, path: &str) -> bool {
    RECENT.contains(&(authority::as_listed(method), path))
}

/// Where to come back to after signing in: the page itself, or for a form without one the page that it stands on. `path` as the
/// router writes it, `here` as it was asked for.
pub(super) fn back<'a>(path: &str, here: &'a str) -> &'a str {
    let mut here = here;
    let mut path = path;
    while authority::act_of(&Method::GET, path).is_none() {
        let (Some((page, _)), Some((shorter, _))) = (here.rsplit_once('/'), path.rsplit_once('/')) else {
            return "/dashboard";
        };
        here = page;
        path = shorter;
    }
    here
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::tests::somebody;
    use crate::sessions::tests::location;
    use crate::store::orgs::Role;
    use crate::testing::TestApp;

    #[test]
    fn one_comes_back_to_a_page() {
        assert_eq!(
            back("/dashboard/keys/new", "/dashboard/keys/new"),
            "/dashboard/keys/new"
        );
        let role = "/dashboard/people/{id}/role";
        assert_eq!(
            back(role, "/dashboard/people/usr_1/role"),
            "/dashboard/people/usr_1"
        );
        let resend = "/dashboard/people/invitations/{id}/resend";
        let here = "/dashboard/people/invitations/inv_1/resend";
        assert_eq!(back(resend, here), "/dashboard/people/invitations");
    }

    #[tokio::test]
    async fn an_old_sign_in_is_asked_for_again() {
        let test = TestApp::start().await;
        let mut browser = somebody(&test, 100, Role::Owner).await;
        let seconds = test.app.config.factors.recent_seconds;
        for is_old in [false, true] {
            for (method, path) in RECENT {
                let concrete = path.replace("{id}", "x");
                let answer = match *method {
                    "GET" => browser.get(&concrete).await,
                    _ => browser.post(&concrete, &[]).await,
                };
                let is_asked = answer.status == 303 && location(&answer).contains("why=recent");
                assert_eq!(is_asked, is_old, "{method} {path}: {}", answer.status);
            }
            test.clock.advance_ms(seconds * 1000 + 1000);
        }
    }
}
