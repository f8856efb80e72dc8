//! Five processes refresh the same token at once, round after round, on a line that loses answers after the server has
//! committed: nobody is ever logged out, and one lineage lives. `RACE_SEED` repeats what a failure printed.

use std::{process::Stdio, time::Duration};

use e2e::{Database, Dropper, Stack};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::oauth::{App, administrator};

const PROCESSES: usize = 5;
const LIMIT: Duration = Duration::from_mins(1);

/// A client process of the operating system.
struct Refresher {
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Refresher {
    fn start(url: &str, client_id: &str) -> Self {
        let root = e2e::files::root();
        let mut process = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("tests/clients/refresher.mjs"))
            .env("TOKEN_URL", url)
            .env("CLIENT_ID", client_id)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("node runs");
        Self {
            to: process.stdin.take().expect("piped"),
            from: BufReader::new(process.stdout.take().expect("piped")).lines(),
            _process: process,
        }
    }

    async fn refresh(&mut self, token: &str) -> Value {
        let line = format!("{token}\n");
        self.to
            .write_all(line.as_bytes())
            .await
            .expect("the process reads");
        let answer = timeout(LIMIT, self.from.next_line())
            .await
            .expect("an answer in time");
        let line = answer.expect("the process writes").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }
}

fn seed() -> u64 {
    let given = e2e::files::variable("RACE_SEED").and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| crate::support::unix_now() ^ (u64::from(std::process::id()) << 32))
}

async fn race(database: Database, rounds: usize) {
    let seed = seed();
    println!("RACE_SEED={seed}");
    let stack = Stack::with().database(database).start().await;
    let (email, password) = administrator(&stack);
    let mut app = App::create(&stack, "memory:read");
    app.sign_in(&email, &password).await.expect(303);
    let code = app.code().await;
    let (mut access, mut token) = app.tokens(app.exchange(&code).await);
    let line = Dropper::start(&stack.control.address(), seed)
        .await
        .expect("a line");
    let url = format!("http://{}/token", line.address());
    let mut processes: Vec<_> = (0..PROCESSES)
        .map(|_| Refresher::start(&url, &app.client_id))
        .collect();
    let mut attempts = 0;
    for round in 0..rounds {
        let answers = processes.iter_mut().map(|process| process.refresh(&token));
        let answers = futures_util::future::join_all(answers).await;
        let mut pairs: Vec<_> = answers
            .iter()
            .map(|answer| {
                assert_eq!(
                    answer["status"], 200,
                    "logged out in round {round}, RACE_SEED={seed}: {answer}"
                );
                attempts += answer["attempts"].as_u64().expect("a number");
                let text = |name: &str| answer["body"][name].as_str().expect(name).to_owned();
                (text("access_token"), text("refresh_token"))
            })
            .collect();
        for (access, refresh) in &pairs {
            stack.secrets.saw(access);
            stack.secrets.saw(refresh);
        }
        pairs.dedup();
        assert_eq!(
            pairs.len(),
            1,
            "two lineages after round {round}, RACE_SEED={seed}"
        );
        let (new_access, new_token) = pairs.remove(0);
        assert_ne!(new_token, token, "round {round}, RACE_SEED={seed}");
        (access, token) = (new_access, new_token);
    }
    println!(
        "{rounds} rounds, {attempts} requests, {} answers lost",
        line.lost()
    );
    let least = u64::try_from(rounds * PROCESSES / 8).expect("small");
    assert!(
        line.lost() >= least,
        "the line was too good: {} lost",
        line.lost()
    );
    stack.caller(&access).get("/v1/memory/x").await.expect(200);
    let (access, _) = app.tokens(app.refresh(&token).await);
    stack.caller(&access).get("/v1/memory/x").await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_logged_out_on_sqlite() {
    race(Database::Sqlite, 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_logged_out_on_postgres() {
    race(Database::Postgres, 50).await;
}
