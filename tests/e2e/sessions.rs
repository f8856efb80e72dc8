//! When a session ends, its access tokens are dead at the edge with the answer, not an hour later.

use e2e::Stack;

use crate::oauth::{App, administrator};
use crate::support::assert_invalid_token;

const PATH: &str = "/v1/memory/x";
const NEW: &str = "correct horse battery staple";

/// Two browsers of the administrator, and an access and a refresh token from each.
async fn two(stack: &Stack) -> [(App<'_>, String, String); 2] {
    let (email, password) = administrator(stack);
    let mut here = App::create(stack, "memory:read");
    let mut there = here.elsewhere();
    let mut tokens = Vec::new();
    for app in [&mut here, &mut there] {
        app.sign_in(&email, &password).await.expect(303);
        let code = app.code().await;
        let (access, refresh) = app.tokens(app.exchange(&code).await);
        stack.caller(&access).get(PATH).await.expect(200);
        tokens.push((access, refresh));
    }
    let (second, first) = (tokens.remove(1), tokens.remove(0));
    [(here, first.0, first.1), (there, second.0, second.1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_password_ends_all_that_apps_got() {
    let stack = Stack::start().await;
    let (_, old) = administrator(&stack);
    stack.secrets.saw(NEW);
    let [(mut here, mine, my_refresh), (there, theirs, their_refresh)] = two(&stack).await;
    let fields = [("current", old.as_str()), ("new", NEW), ("repeat", NEW)];
    let answer = here
        .submit("/account/password", "/account/password", &fields)
        .await;
    assert_eq!(
        answer.expect(303).header("location"),
        Some("/account?password-changed")
    );
    for (what, token) in [("this session", &mine), ("the other", &theirs)] {
        assert_invalid_token(&stack.caller(token).get(PATH).await, what);
    }
    here.refresh(&my_refresh).await.expect(400);
    there.refresh(&their_refresh).await.expect(400);
    // The session goes on, and what apps get in it from now on works.
    let code = here.code().await;
    let (access, _) = here.tokens(here.exchange(&code).await);
    stack.caller(&access).get(PATH).await.expect(200);
    stack.caller(&stack.admin_key).get(PATH).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_out_everywhere_ends_all_that_apps_got() {
    let stack = Stack::start().await;
    let [(mut here, mine, my_refresh), (_, theirs, _)] = two(&stack).await;
    here.submit("/account/sessions", "/account/sessions/end-all", &[])
        .await
        .expect(303);
    for token in [&mine, &theirs] {
        assert_invalid_token(&stack.caller(token).get(PATH).await, "after log out everywhere");
    }
    here.refresh(&my_refresh).await.expect(400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logging_out_ends_what_apps_got_in_that_session() {
    let stack = Stack::start().await;
    let [(mut here, mine, my_refresh), (_, theirs, _)] = two(&stack).await;
    here.submit("/account", "/logout", &[]).await.expect(303);
    assert_invalid_token(&stack.caller(&mine).get(PATH).await, "after the log-out");
    here.refresh(&my_refresh).await.expect(400);
    stack.caller(&theirs).get(PATH).await.expect(200);
}
