//! Who may do what to whom.

use super::*;

#[tokio::test]
async fn only_an_owner_changes_and_makes_owners() {
    let test = published().await;
    let owner = test.made.user;
    let (admin, key) = member(&test, 71, Role::Admin).await;
    let (bob, _) = member(&test, 72, Role::Member).await;
    for answer in [
        set_role(&test, &key, owner, "member").await,
        post(&test, &key, owner, "suspend").await,
        post(&test, &key, owner, "resume").await,
        post(&test, &key, owner, "deactivate").await,
        set_role(&test, &key, bob, "owner").await,
        set_role(&test, &key, admin, "owner").await,
    ] {
        assert_eq!(answer.outcome(), (403, "exceeds_caller"), "{answer:?}");
    }
    assert_eq!(shown(&test, owner).await["role"], "owner");
    assert_eq!(shown(&test, admin).await["role"], "admin");
    assert_eq!(
        set_role(&test, &key, bob, "admin").await.status,
        200,
        "as high as the caller"
    );
    let made = set_role(&test, &test.made.admin_key, bob, "owner").await;
    assert_eq!((made.status.as_u16(), &made.body["role"]), (200, &json!("owner")));
}

#[tokio::test]
async fn the_last_active_owner_stays() {
    let test = published().await;
    let (owner, key) = (test.made.user, test.made.admin_key.clone());
    let (second, _) = member(&test, 71, Role::Owner).await;
    assert_eq!(post(&test, &key, second, "suspend").await.status, 200);
    for answer in [
        set_role(&test, &key, owner, "admin").await,
        post(&test, &key, owner, "suspend").await,
        post(&test, &key, owner, "deactivate").await,
    ] {
        assert_eq!(
            answer.outcome(),
            (409, "last_owner"),
            "a suspended owner does not count"
        );
    }
    assert_eq!(post(&test, &key, second, "resume").await.status, 200);
    assert_eq!(set_role(&test, &key, owner, "admin").await.status, 200);
    assert_eq!(
        set_role(&test, &key, owner, "owner").await.outcome(),
        (403, "exceeds_caller"),
        "there is no way back for oneself"
    );
}

#[tokio::test]
async fn a_lesser_credential_changes_nobody() {
    let test = published().await;
    let (bob, reader) = member(&test, 71, Role::Member).await;
    let answer = set_role(&test, &reader, bob, "viewer").await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
    let list = test.call(Method::GET, PATH, &reader, None).await;
    assert_eq!(list.outcome(), (403, "insufficient_scope"));
    let body = |more: Value| {
        let mut body = json!({"name": "a", "scope": "admin"});
        body.as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        body
    };
    let workspace = test.made.workspace.to_string();
    for narrow in [
        body(json!({"workspace": workspace})),
        body(json!({"environment": "test"})),
    ] {
        let (_, key) = test.create_key(narrow.clone()).await;
        let answer = set_role(&test, &key, bob, "viewer").await;
        assert_eq!(answer.outcome(), (403, "exceeds_caller"), "{narrow}");
    }
    assert_eq!(shown(&test, bob).await["role"], "member");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let test = published().await;
    let key = test.made.admin_key.clone();
    let nobody = UserId::from_u64(99).expect("small");
    assert_eq!(
        set_role(&test, &key, nobody, "viewer").await.outcome(),
        (404, "not_found")
    );
    assert_eq!(
        post(&test, &key, nobody, "suspend").await.outcome(),
        (404, "not_found")
    );
    let path = format!("{PATH}/nonsense/suspend");
    assert_eq!(
        test.admin(Method::POST, &path, None).await.outcome(),
        (404, "not_found")
    );
    let (bob, _) = member(&test, 71, Role::Member).await;
    assert_eq!(
        set_role(&test, &key, bob, "king").await.outcome(),
        (400, "invalid_field")
    );
    let path = format!("{PATH}/{bob}/suspend?wait=long");
    assert_eq!(
        test.admin(Method::POST, &path, None).await.outcome(),
        (400, "invalid_field")
    );
    let path = format!("{PATH}/{bob}/suspend");
    let answer = test.admin(Method::POST, &path, Some(json!({"why": "x"}))).await;
    assert_eq!(answer.outcome(), (400, "unknown_field"));
    assert_eq!(shown(&test, bob).await["state"], "active");
}

#[tokio::test]
async fn members_are_listed_in_pages() {
    let test = published().await;
    for number in 71..74 {
        member(&test, number, Role::Viewer).await;
    }
    let mut seen = Vec::new();
    let mut path = format!("{PATH}?limit=3");
    loop {
        let page = test.admin(Method::GET, &path, None).await.body;
        let users = page["memberships"].as_array().expect("a list");
        seen.extend(
            users
                .iter()
                .map(|member| member["user"].as_str().expect("an id").to_owned()),
        );
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("{PATH}?limit=3&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    seen.dedup();
    assert_eq!(seen.len(), 4);
    for (query, code) in [("limit=0", "invalid_field"), ("cursor=x", "invalid_cursor")] {
        let answer = test.admin(Method::GET, &format!("{PATH}?{query}"), None).await;
        assert_eq!(answer.outcome(), (400, code));
    }
}
