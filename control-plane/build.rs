//! Rebuilds the crate when a migration is added: `sqlx::migrate!` embeds the folder, and cargo does not see new files in it.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
