//! Errors of the functions behind pages: what somebody typed becomes a sentence beside the form, the rest a page.

use axum::http::StatusCode;

use crate::error::{ApiError, Code};
use crate::pages::PageError;
use crate::sessions::Instead;

/// An error as a page. For what shows something: there is no form to put a sentence beside.
#[expect(clippy::needless_pass_by_value, reason = "what map_err gives")]
pub fn refused(error: ApiError) -> Instead {
    page(&error).into()
}

/// The sentence beside the form, or a page where the form is not at fault.
#[expect(clippy::needless_pass_by_value, reason = "what map_err gives")]
pub fn refused_form(error: ApiError) -> Result<String, Instead> {
    match error.code() {
        Code::Internal
        | Code::Busy
        | Code::NotFound
        | Code::InsufficientScope
        | Code::InvalidToken
        | Code::Timeout => Err(page(&error).into()),
        _ => Ok(sentence(&error)),
    }
}

fn page(error: &ApiError) -> PageError {
    let problem = error.problem();
    match error.code() {
        Code::Internal | Code::Timeout => {
            PageError::internal(anyhow::anyhow!("{}: {:?}", problem.detail, problem.cause))
        }
        Code::NotFound => {
            PageError::not_found("There is nothing here, or it belongs to another organisation.")
        }
        Code::Busy => PageError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "Busy",
            "The database is busy. Nothing was changed; try again in a moment.",
        ),
        code => PageError::new(code.status(), code.as_str(), code.title(), sentence(error)),
    }
}

/// The detail as a sentence: details of the API begin with a small letter and have no full stop.
fn sentence(error: &ApiError) -> String {
    let problem = error.problem();
    let mut text = match &problem.field {
        Some(field) if !problem.detail.contains(field.as_str()) => {
            format!("{}: {}", field.replace('_', " "), problem.detail)
        }
        _ => problem.detail.clone(),
    };
    if let Some(first) = text.chars().next() {
        let rest = text.split_off(first.len_utf8());
        text = first.to_uppercase().chain(rest.chars()).collect();
    }
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_becomes_a_sentence() {
        let error = ApiError::invalid_field("expires_at", "must be in the future");
        assert_eq!(
            refused_form(error).expect("a sentence"),
            "Expires at: must be in the future."
        );
        let error = ApiError::new(
            Code::LastOwner,
            "this is the last active owner; make somebody else one first",
        );
        assert_eq!(
            refused_form(error).expect("a sentence"),
            "This is the last active owner; make somebody else one first."
        );
        assert!(refused_form(ApiError::not_found("key")).is_err());
        assert!(refused_form(ApiError::internal(anyhow::anyhow!("secret"))).is_err());
    }
}
