//! The harness proves itself with a Worker of a few lines.

use std::time::Duration;

use e2e::{Objects, Port, Request, Workerd, WorkerdConfig, http, wait};

const HELLO: &str = "
import { DurableObject } from 'cloudflare:workers';
export class Hub extends DurableObject {
  fetch(request) {
    const sql = this.ctx.storage.sql;
    sql.exec('CREATE TABLE IF NOT EXISTS hits (n INTEGER PRIMARY KEY)');
    if (request.method === 'POST') sql.exec('INSERT INTO hits DEFAULT VALUES');
    return new Response(String([...sql.exec('SELECT count(*) AS n FROM hits')][0].n));
  }
}
export default {
  async fetch(request, env) {
    const hub = env.HUB.get(env.HUB.idFromName('hub'));
    await env.SNAPSHOT.put('k', 'v');
    const hits = await (await hub.fetch('http://hub/', { method: request.method })).text();
    return Response.json({ hits, kv: await env.SNAPSHOT.get('k'), greeting: env.GREETING, url: request.url });
  },
};";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gates_share_a_hub_whose_rows_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("build")).unwrap();
    std::fs::write(dir.path().join("build/index.js"), HELLO).unwrap();
    let ports = [Port::reserve(), Port::reserve()];
    let mut workerd = Workerd::start(WorkerdConfig {
        modules: dir.path().join("build"),
        folder: dir.path().join("edge"),
        log: dir.path().join("logs/workerd.log"),
        vars: vec![("GREETING".into(), "say \"hi\"\\".into())],
        gates: ports.iter().map(Port::address).collect(),
        store: true,
        kv: None,
        objects: Objects::Hub,
        cache: false,
        environment: Vec::new(),
    })
    .unwrap();
    workerd.wait().await.unwrap();

    let written = http::once(&ports[0].address(), &Request::new("POST", "/a/..%2fb"))
        .await
        .unwrap()
        .expect(200);
    assert_eq!(written.json()["greeting"], "say \"hi\"\\");
    assert_eq!(written.json()["kv"], "v");
    assert!(
        written.json()["url"].as_str().unwrap().ends_with("/a/..%2fb"),
        "raw paths pass: {}",
        written.text()
    );

    workerd.kill();
    workerd.restart().await.unwrap();
    let address = ports[1].address();
    let hits = wait::until("the second gate answers", Duration::from_secs(5), || async {
        http::once(&address, &Request::get("/")).await.ok()
    })
    .await;
    assert_eq!(hits.json()["hits"], "1");
}
