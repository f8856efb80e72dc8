//! The list of people, or of service accounts.

use askama::Template;
use axum::response::Response;

use super::{Place, role, state, tone};
use crate::app::App;
use crate::authority::Act;
use crate::dashboard::{Parameters, Shell, Visit, link, refused};
use crate::members::{self, Listing, MemberView};
use crate::pages::Moment;
use crate::sessions::Instead;
use crate::store::members::MemberState;
use crate::store::orgs::Role;

const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "dashboard/people.html")]
struct PeoplePage<'a> {
    shell: Shell,
    place: Place,
    lines: Vec<Line>,
    search: &'a str,
    role: &'static str,
    state: &'static str,
    states: [MemberState; 3],
    may_manage: bool,
    first: String,
    next: String,
    is_filtered: bool,
}

struct Line {
    member: MemberView,
    tone: &'static str,
    since: Moment,
    page: String,
}

pub(super) async fn get(
    app: &App,
    place: Place,
    visit: &Visit,
    query: &Parameters,
) -> Result<Response, Instead> {
    let search = query.value("search").trim();
    let (role, state) = (role(query.value("role")), state(query.value("state")));
    let listing = Listing {
        kind: place.kind,
        role,
        state,
        search,
        cursor: query.some("cursor"),
        limit: PAGE,
    };
    let (members, next) = members::list(app, &visit.caller, listing)
        .await
        .map_err(refused)?;
    let is_filtered =
        !search.is_empty() || role.is_some() || state.is_some() || query.some("cursor").is_some();
    let role = role.map_or("", Role::as_str);
    let state = state.map_or("", MemberState::as_str);
    let filter = [("search", search), ("role", role), ("state", state)];
    let with_cursor = |cursor: &str| {
        let mut all = filter.to_vec();
        all.push(("cursor", cursor));
        link(place.base, &all)
    };
    let lines = members.into_iter().map(|member| Line {
        tone: tone(member.state),
        since: member.created_at.0.into(),
        page: place.page_of(member.user),
        member,
    });
    let page = PeoplePage {
        shell: visit.shell(),
        place,
        lines: lines.collect(),
        search,
        role,
        state,
        states: [
            MemberState::Active,
            MemberState::Suspended,
            MemberState::Deactivated,
        ],
        may_manage: visit.may(Act::ManagePeople),
        first: query
            .some("cursor")
            .map_or_else(String::new, |_| link(place.base, &filter)),
        next: next.as_deref().map_or_else(String::new, with_cursor),
        is_filtered,
    };
    Ok(visit.page(&page))
}
