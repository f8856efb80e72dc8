//! `?wait=`: what the answer to a change waits for. The same for every change that has a receipt.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::ApiError;
use crate::revocation::Wait;

/// The query of a change that says nothing else.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// What the answer waits for; `effective`, if absent.
    #[param(value_type = Option<Wait>, inline)]
    pub wait: Option<String>,
}

/// What an answer waits for.
pub fn wait(text: Option<&str>) -> Result<Wait, ApiError> {
    let expected = "expected `effective`, `ack` or `none`";
    text.map_or(Ok(Wait::default()), |text| {
        text.parse()
            .map_err(|_| ApiError::invalid_field("wait", expected))
    })
}
