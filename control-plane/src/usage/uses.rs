//! Last use and number of requests of keys: what lists and details of keys show.

use std::collections::HashMap;

use shared::id::{KeyId, OrgId};

use crate::app::App;
use crate::store::StoreError;
use crate::store::usage::Use;

/// What became of these keys of an organisation, as far as it is applied.
pub async fn of_keys(
    app: &App,
    org: OrgId,
    keys: impl IntoIterator<Item = KeyId>,
) -> Result<HashMap<String, Use>, StoreError> {
    let names: Vec<String> = keys.into_iter().map(|key| key.to_string()).collect();
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let uses = app.store.begin_read().await?.uses_of(org, &names).await?;
    Ok(uses.into_iter().collect())
}
