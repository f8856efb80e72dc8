//! SQL for members that are programs. Everything else about them is that of members.

use shared::id::UserId;
use shared::time::UnixMillis;

use super::{StoreError, Tx, int, rows_affected};

impl Tx {
    /// Adds a program as a user, under its id instead of an address. The table itself refuses it a password, and an address.
    pub async fn insert_service_user(
        &mut self,
        id: UserId,
        name: &str,
        now: UnixMillis,
    ) -> Result<(), StoreError> {
        rows_affected!(
            self,
            sqlx::query(
                "INSERT INTO users (id, email, name, created_at, kind) VALUES ($1, $2, $3, $4, 'service')"
            )
            .bind(int(id.get()))
            .bind(id.to_string())
            .bind(name)
            .bind(int(now.0))
        )?;
        Ok(())
    }

    /// Gives a program another name, in lists too; false if there is none with this id.
    pub async fn rename_service_user(&mut self, id: UserId, name: &str) -> Result<bool, StoreError> {
        let rows = rows_affected!(
            self,
            sqlx::query("UPDATE users SET name = $2 WHERE id = $1 AND kind = 'service'")
                .bind(int(id.get()))
                .bind(name)
        )?;
        if rows == 1 {
            rows_affected!(
                self,
                sqlx::query("UPDATE memberships SET search_name = $2 WHERE user_id = $1")
                    .bind(int(id.get()))
                    .bind(name.to_lowercase())
            )?;
        }
        Ok(rows == 1)
    }
}
