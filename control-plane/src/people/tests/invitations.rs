//! Invitations: by whom, as what, for whom, and how they end.

use super::*;
use crate::store::orgs::Role;

const EMAIL: &str = "carol@example.com";

async fn invite(test: &TestApp, email: &str, role: &str) -> Answer {
    let body = json!({"email": email, "role": role});
    test.admin(Method::POST, "/v1/invitations", Some(body)).await
}

/// The link of a fresh invitation.
async fn link(test: &TestApp, email: &str, role: &str) -> String {
    // So that the letter is the last one.
    test.clock.advance_ms(1000);
    let answer = invite(test, email, role).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    last_to(test, email).await.link(test)
}

async fn register(browser: &mut Browser<'_>, link: &str) -> Answer {
    browser.get(link).await;
    let fields = [
        ("token", token(link)),
        ("name", "Carol"),
        ("new", NEW),
        ("repeat", NEW),
    ];
    browser.post("/invitation", &fields).await
}

async fn role_of(test: &TestApp, email: &str) -> Option<Role> {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let (user, _) = tx.user_by_email(email).await.expect("asked")?;
    let membership = tx.membership(test.made.org, user).await.expect("asked");
    membership.map(|membership| membership.role)
}

async fn set_role(test: &TestApp, role: Role) {
    let mut tx = test.app.store.begin().await.expect("tx");
    let membership = tx.membership(test.made.org, test.made.user).await.expect("asked");
    let version = membership.expect("one").version;
    assert!(
        tx.set_role(test.made.org, test.made.user, role, version)
            .await
            .expect("set")
    );
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn somebody_without_an_account_makes_one_and_joins() {
    let test = TestApp::start_with(with_mail).await;
    let answer = invite(&test, " Carol@Example.com", "member").await;
    assert_eq!(answer.status, 201);
    let id = answer.text("id");
    assert_eq!(
        answer.headers["location"].to_str().expect("text"),
        format!("/v1/invitations/{id}")
    );
    assert_eq!(
        (answer.text("email"), answer.text("role"), answer.text("status")),
        (EMAIL.to_owned(), "member".to_owned(), "pending".to_owned())
    );
    assert!(!answer.raw.contains("link_"), "the link is in the mail only");
    let letter = last_to(&test, EMAIL).await;
    assert!(
        letter.text.contains("join the organisation Default as a member"),
        "{}",
        letter.text
    );
    let link = letter.link(&test);
    let mut browser = Browser::new(&test);
    let page = browser.get(&link).await;
    assert_eq!(
        (page.status.as_u16(), &page.headers["referrer-policy"]),
        (200, &"no-referrer".parse().expect("a value"))
    );
    assert_eq!(role_of(&test, EMAIL).await, None, "opening it does nothing");
    let fields = [
        ("token", token(&link)),
        ("name", "Carol"),
        ("new", "short"),
        ("repeat", "short"),
    ];
    assert_eq!(browser.post("/invitation", &fields).await.status, 422);
    let answer = register(&mut browser, &link).await;
    assert_eq!(
        (answer.status.as_u16(), location(&answer)),
        (303, "/"),
        "{}",
        answer.raw
    );
    assert!(browser.is_signed_in().await);
    assert_eq!(role_of(&test, EMAIL).await, Some(Role::Member));
    assert_eq!(Browser::new(&test).get(&link).await.status, 404, "it works once");
    assert_eq!(
        audited(&test, &id).await,
        ["invitation.accept", "invitation.create"]
    );
    let list = test.admin(Method::GET, "/v1/invitations", None).await;
    assert_eq!(list.body["invitations"][0]["status"], "accepted");
    let revoked = test
        .admin(Method::DELETE, &format!("/v1/invitations/{id}"), None)
        .await;
    assert_eq!(revoked.outcome(), (409, "invitation_accepted"));
    assert_eq!(
        invite(&test, EMAIL, "viewer").await.outcome(),
        (400, "invalid_field"),
        "a member already"
    );
}

#[tokio::test]
async fn somebody_with_an_account_signs_in_and_agrees() {
    let test = TestApp::start_with(with_mail).await;
    let bob = add_member(&test, 77, "bob@example.com").await;
    // Bob is in another organisation only.
    let org = add_org(&test, 500, "Elsewhere", bob).await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let crate::store::Tx::Sqlite(sqlite) = &mut tx else {
        panic!("SQLite")
    };
    sqlx::query("DELETE FROM memberships WHERE user_id = 77 AND org_id <> 500")
        .execute(&mut **sqlite)
        .await
        .expect("left");
    tx.commit().await.expect("commit");

    let link = link(&test, "bob@example.com", "admin").await;
    let mut browser = Browser::new(&test);
    let page = browser.get(&link).await.raw;
    assert!(page.contains("Sign in to it, then you can accept."), "{page}");
    assert!(!page.contains(r#"name="new""#), "no second account");
    let answer = browser
        .post(
            "/invitation",
            &[
                ("token", token(&link)),
                ("name", "B"),
                ("new", NEW),
                ("repeat", NEW),
            ],
        )
        .await;
    assert_eq!(role_of(&test, "bob@example.com").await, None, "{}", answer.raw);
    // Another person's session is not asked, and can not agree.
    browser.sign_in().await;
    assert!(browser.get(&link).await.raw.contains("Sign in to it"));
    browser.get("/account").await;
    browser.post("/invitation", &[("token", token(&link))]).await;
    assert_eq!(role_of(&test, "bob@example.com").await, None);

    browser.try_sign_in("bob@example.com", PASSWORD).await;
    let page = browser.get(&link).await.raw;
    assert!(page.contains(">Accept</button>"), "{page}");
    let mut forged = vec![("token", token(&link).to_owned()), ("csrf", "wrong".to_owned())];
    assert_eq!(
        browser.post_exactly("/invitation", &forged, &[]).await.status,
        403
    );
    forged.clear();
    let answer = browser.post("/invitation", &[("token", token(&link))]).await;
    assert!(answer.raw.contains("You have joined Default"), "{}", answer.raw);
    assert_eq!(role_of(&test, "bob@example.com").await, Some(Role::Admin));
    let page = browser.get("/account").await.raw;
    assert!(
        page.contains("Elsewhere") && page.contains("Switch to Default"),
        "{page}"
    );
    assert!(page.contains(&org.to_string()), "still where they were: {page}");
    assert_eq!(browser.get(&link).await.status, 404, "it works once");
}

#[tokio::test]
async fn nobody_grants_more_than_they_have() {
    let test = TestApp::start_with(with_mail).await;
    let owners = link(&test, "owner@example.com", "owner").await;
    let admins = link(&test, "admin@example.com", "admin").await;
    set_role(&test, Role::Admin).await;
    let refused = invite(&test, EMAIL, "owner").await;
    assert_eq!(refused.outcome(), (403, "exceeds_caller"));
    assert_eq!(invite(&test, EMAIL, "admin").await.status, 201);
    // What the inviter may not give any more, nobody gets.
    assert_eq!(register(&mut Browser::new(&test), &owners).await.status, 404);
    assert_eq!(role_of(&test, "owner@example.com").await, None);
    assert_eq!(register(&mut Browser::new(&test), &admins).await.status, 303);

    let late = link(&test, "late@example.com", "viewer").await;
    set_role(&test, Role::Member).await;
    assert_eq!(
        invite(&test, "dan@example.com", "viewer").await.outcome(),
        (403, "insufficient_scope")
    );
    assert_eq!(register(&mut Browser::new(&test), &late).await.status, 404);
    assert_eq!(role_of(&test, "late@example.com").await, None);
}

#[tokio::test]
async fn a_key_with_less_reach_invites_nobody() {
    let test = TestApp::start_with(with_mail).await;
    let body = || Some(json!({"email": EMAIL, "role": "viewer"}));
    let made = [
        json!({"name": "a", "scope": "admin", "environment": "test"}),
        json!({"name": "b", "scope": "admin", "workspace": test.made.workspace}),
    ];
    for new in made {
        let (_, key) = test.create_key(new).await;
        let answer = test.call(Method::POST, "/v1/invitations", &key, body()).await;
        assert_eq!(answer.outcome(), (403, "exceeds_caller"));
    }
    let (_, key) = test.create_key(json!({"name": "c", "scope": "read"})).await;
    let answer = test.call(Method::POST, "/v1/invitations", &key, body()).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
    assert!(waiting(&test).await.is_empty());
}

#[tokio::test]
async fn an_invitation_ends_when_it_is_taken_back_replaced_or_old() {
    let test = TestApp::start_with(with_mail).await;
    let first = link(&test, EMAIL, "member").await;
    let second = link(&test, EMAIL, "viewer").await;
    let mut browser = Browser::new(&test);
    assert_eq!(browser.get(&first).await.status, 404, "replaced");
    assert_eq!(browser.get(&second).await.status, 200);
    let list = test.admin(Method::GET, "/v1/invitations", None).await;
    let statuses: Vec<_> = (0..2)
        .map(|at| list.body["invitations"][at]["status"].clone())
        .collect();
    assert_eq!(statuses, ["pending", "revoked"], "newest first");
    let id = list.body["invitations"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for _ in 0..2 {
        let revoked = test
            .admin(Method::DELETE, &format!("/v1/invitations/{id}"), None)
            .await;
        assert_eq!(
            (revoked.status.as_u16(), revoked.text("status")),
            (200, "revoked".to_owned())
        );
    }
    assert_eq!(
        audited(&test, &id).await,
        ["invitation.create", "invitation.revoke"]
    );
    assert_eq!(register(&mut browser, &second).await.status, 404);

    let third = link(&test, EMAIL, "member").await;
    test.clock.advance_ms(7 * DAY - 1);
    assert_eq!(browser.get(&third).await.status, 200);
    test.clock.advance_ms(1);
    assert_eq!(register(&mut browser, &third).await.status, 404);
    let list = test.admin(Method::GET, "/v1/invitations", None).await;
    assert_eq!(list.body["invitations"][0]["status"], "expired");
    assert_eq!(role_of(&test, EMAIL).await, None);

    for wrong in ["inv_000000001", "nonsense"] {
        let answer = test
            .admin(Method::DELETE, &format!("/v1/invitations/{wrong}"), None)
            .await;
        assert_eq!(answer.outcome(), (404, "not_found"), "{wrong}");
    }
}

#[tokio::test]
async fn the_body_is_read_strictly() {
    let test = TestApp::start_with(with_mail).await;
    for (body, field) in [
        (json!({"email": "x", "role": "member"}), "email"),
        (json!({"email": EMAIL, "role": "king"}), "role"),
        (json!({"email": EMAIL}), "role"),
        (json!({"email": EMAIL, "role": "member", "org": "x"}), "org"),
    ] {
        let answer = test.admin(Method::POST, "/v1/invitations", Some(body)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.text("field").as_str()),
            (400, field),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn an_organisation_sends_fifty_invitations_in_an_hour() {
    let test = TestApp::start_with(with_mail).await;
    for number in 0..50 {
        let answer = invite(&test, &format!("user{number}@example.com"), "viewer").await;
        assert_eq!(answer.status, 201, "{number}");
    }
    let answer = invite(&test, EMAIL, "viewer").await;
    assert_eq!(answer.outcome(), (429, "rate_limited"));
    assert_eq!(answer.headers["retry-after"], "3600");
    test.clock.advance_ms(HOUR);
    assert_eq!(invite(&test, EMAIL, "viewer").await.status, 201);
}

/// Anybody may have many organisations.
#[tokio::test]
async fn an_address_gets_five_invitations_in_an_hour_whoever_sends_them() {
    let test = TestApp::start_with(with_mail).await;
    let mut inviters = Vec::new();
    for number in 500..506 {
        let org = add_org(&test, number, "Elsewhere", test.made.user).await;
        let mut tx = test.app.store.begin().await.expect("tx");
        let membership = tx.membership(org, test.made.user).await.expect("asked");
        let version = membership.expect("one").version;
        let set = tx.set_role(org, test.made.user, Role::Owner, version).await;
        assert!(set.expect("set"));
        tx.commit().await.expect("commit");
        inviters.push(crate::testing::caller(&test, org, test.made.user).await);
    }
    for inviter in &inviters[..5] {
        let made = crate::people::invite(&test.app, inviter, (EMAIL, Role::Viewer), None).await;
        assert!(made.is_ok(), "{made:?}");
    }
    let last = &inviters[5];
    let refused = crate::people::invite(&test.app, last, (&EMAIL.to_uppercase(), Role::Viewer), None).await;
    assert_eq!(
        refused.expect_err("too many").code(),
        crate::error::Code::RateLimited
    );
    assert_eq!(
        invite(&test, EMAIL, "viewer").await.outcome(),
        (429, "rate_limited")
    );
    let other = crate::people::invite(&test.app, last, ("dan@example.com", Role::Viewer), None).await;
    assert!(other.is_ok(), "{other:?}");
    test.clock.advance_ms(HOUR);
    assert_eq!(invite(&test, EMAIL, "viewer").await.status, 201);
}

#[tokio::test]
async fn owners_invite_on_a_page_and_members_only_look() {
    let test = TestApp::start_with(with_mail).await;
    add_member(&test, 77, "bob@example.com").await;
    let mut owner = Browser::new(&test);
    owner.sign_in().await;
    let moved = owner.get("/account/members").await;
    assert_eq!(
        (moved.status.as_u16(), location(&moved)),
        (308, "/dashboard/people")
    );
    let page = owner.get("/dashboard/people").await.raw;
    assert!(
        page.contains("bob@example.com") && page.contains("Invite somebody"),
        "{page}"
    );
    let form = "/dashboard/people/invite";
    let page = owner.get(form).await.raw;
    assert!(page.contains(r#"value="owner""#), "{page}");
    let fields = |email, role| [("email", email), ("role", role)];
    let answer = owner.post(form, &fields(EMAIL, "viewer")).await;
    assert_eq!(
        (answer.status.as_u16(), location(&answer)),
        (303, "/dashboard/people/invitations"),
        "{}",
        answer.raw
    );
    let page = owner.get("/dashboard/people/invitations").await.raw;
    assert!(page.contains(EMAIL), "{page}");
    for (email, role, expected) in [
        ("carol", "viewer", "not an e-mail address"),
        ("bob@example.com", "viewer", "already belongs to a member"),
        (EMAIL, "king", "Choose a role"),
    ] {
        owner.get(form).await;
        let answer = owner.post(form, &fields(email, role)).await;
        assert_eq!(answer.status, 422);
        assert!(answer.raw.contains(expected), "{}", answer.raw);
    }
    let first = last_to(&test, EMAIL).await.link(&test);

    let mut bob = Browser::new(&test);
    bob.try_sign_in("bob@example.com", PASSWORD).await;
    let page = bob.get("/dashboard/people").await.raw;
    assert!(
        !page.contains("Invite somebody") && !page.contains(EMAIL),
        "{page}"
    );
    let again = path_of(&page_of_invitations(&mut owner).await, "resend");
    for path in [form, again.as_str()] {
        let answer = bob.post(path, &fields("dan@example.com", "viewer")).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    assert_eq!(bob.get("/dashboard/people/invitations").await.status, 403);
    assert_eq!(bob.get(&first).await.status, 200, "it is still there");

    // Sent again: another link, and the first is dead.
    test.clock.advance_ms(1000);
    page_of_invitations(&mut owner).await;
    assert_eq!(owner.post(&again, &[]).await.status, 303);
    let second = last_to(&test, EMAIL).await.link(&test);
    assert_ne!(first, second);
    assert_eq!(bob.get(&first).await.status, 404);
    assert_eq!(bob.get(&second).await.status, 200);
    assert_eq!(owner.post(&again, &[]).await.status, 404, "the old one is over");
    let back = path_of(&page_of_invitations(&mut owner).await, "revoke");
    assert_eq!(owner.post(&back, &[]).await.status, 303);
    assert_eq!(bob.get(&second).await.status, 404);
    let page = page_of_invitations(&mut owner).await;
    assert!(page.contains("Nobody is waiting"), "{page}");
}

async fn page_of_invitations(owner: &mut Browser<'_>) -> String {
    owner.get("/dashboard/people/invitations").await.raw
}

/// Where a button of the first invitation sends its form.
fn path_of(page: &str, action: &str) -> String {
    let prefix = "/dashboard/people/invitations/";
    let mut all = page
        .split(prefix)
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    let found = all.find(|path| path.ends_with(action)).expect("a button");
    format!("{prefix}{found}")
}
