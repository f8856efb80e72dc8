//! A person with a real browser: a single-page app of another origin from sign-in to sign-out, and how the pages look.
//! Pictures are left in `target/spa`.

use std::path::PathBuf;

use e2e::{Port, Stack, files};
use serde_json::json;

/// A stack whose API the app's origin may call, the app's port, and its client id.
struct Scene {
    stack: Stack,
    port: Port,
    client_id: String,
}

impl Scene {
    async fn start() -> Self {
        let port = Port::reserve();
        let origin = format!("http://localhost:{}", port.number());
        let policy = json!({
            "version": 1,
            "resource": "$RESOURCE",
            "scopes": ["memory:read", "memory:write", "memory:delete", "vault:manage", "workspace:manage", "admin"],
            "presets": { "read": ["memory:read"], "admin": ["admin"] },
            "routes": [{ "path": "/v1/memory/**", "methods": ["GET"], "scopes": ["memory:read"], "browser_origins": [origin] }]
        });
        let stack = Stack::with().policy(policy).start().await;
        let created = stack
            .client(
                "Notes",
                &[
                    "--public",
                    "--redirect-uri",
                    &format!("{origin}/callback"),
                    "--post-logout-redirect-uri",
                    &format!("{origin}/signed-out"),
                    "--scopes",
                    "memory:read",
                ],
            )
            .expect("a client");
        let client_id = created["client_id"].as_str().expect("an id").to_owned();
        Self {
            stack,
            port,
            client_id,
        }
    }

    /// Runs a script of `tests/spa` to its last line.
    async fn run(&self, script: &str) {
        let root = files::root();
        let bootstrap = self.stack.control.bootstrap().expect("the first start's secrets");
        let shots: PathBuf = root.join("target/spa").join(script.trim_end_matches(".mjs"));
        let done = tokio::process::Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("tests/spa").join(script))
            .env("ISSUER", self.stack.control.url())
            .env("EDGE", self.stack.edge_url())
            .env("CLIENT_ID", &self.client_id)
            .env("APP_PORT", self.port.number().to_string())
            .env("EMAIL", bootstrap.get("admin_email").unwrap_or("admin@localhost"))
            .env("PASSWORD", bootstrap.get("admin_password").expect("a password"))
            .env("SHOTS", shots)
            .output()
            .await
            .expect("node runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            done.status.success() && text(&done.stdout).ends_with("all good\n"),
            "{script}: {}{}",
            text(&done.stdout),
            text(&done.stderr)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_of_another_origin_signs_in_calls_refreshes_and_signs_out() {
    Scene::start().await.run("drive.mjs").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_page_is_accessible_and_fits_its_screen() {
    Scene::start().await.run("pages.mjs").await;
}
