//! The whole product on one machine, until Ctrl-C: what `make dev` runs.
//!
//! Control plane on 7070 (`PORTCULLIS_LISTEN`), edge in workerd on 8787 (`EDGE_PORT`), demo origin on 7071
//! (`ORIGIN_LISTEN`). State, logs and `dev.env` (mode 0600) live in `.portcullis/` (`PORTCULLIS_STATE`) and survive a
//! restart. Builds nothing and installs nothing: the Makefile does that first.

mod settings;
mod tour;

use std::{error::Error, process::ExitCode, time::Duration};

use e2e::{
    Admin, ControlPlane, ControlPlaneConfig, Objects, Origin, Process, Request, Secrets, Workerd,
    WorkerdConfig, edge_vars, files, http,
};
use settings::{DevEnv, Settings};
use tokio::signal::unix::{SignalKind, signal};

type Failure = Box<dyn Error>;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("dev: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Failure> {
    // From the first moment on: a Ctrl-C while starting must stop what has started, too.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let settings = Settings::read()?;
    let mut stack = None;
    let result = tokio::select! {
        result = start(&settings, &mut stack) => result,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    if let (Ok(()), Some(running)) = (&result, &mut stack) {
        tokio::select! {
            ended = watch(running) => return Err(ended),
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        println!("\nstopping");
    }
    result
}

/// What runs. Dropped in this order: nothing is left that could push to a closed edge.
struct Running {
    control: ControlPlane,
    edge: Workerd,
    _origin: Origin,
}

async fn start(settings: &Settings, stack: &mut Option<Running>) -> Result<(), Failure> {
    settings.check_ports()?;
    let logs = settings.state.join("logs");
    let origin = Origin::start(&settings.origin).await?;
    let mut control = ControlPlane::prepare(ControlPlaneConfig {
        folder: settings.state.clone(),
        log: logs.join("control-plane.log"),
        port: settings.control_port,
        resource: settings.edge_url(),
        edge: settings.edge_url(),
        database_url: settings.database_url.clone(),
        extra: String::new(),
        environment: Vec::new(),
    })?;
    let edge = Workerd::start(WorkerdConfig {
        modules: files::edge_modules(false),
        folder: settings.state.join("edge"),
        log: logs.join("workerd.log"),
        vars: edge_vars(&control, &origin.url(), &settings.edge_url())?,
        gates: vec![settings.edge_address()],
        store: true,
        kv: None,
        objects: Objects::All,
        cache: false,
        environment: Vec::new(),
    })?;
    control.serve()?;
    let running = stack.insert(Running {
        control,
        edge,
        _origin: origin,
    });
    running.edge.wait().await?;
    running.control.wait().await?;

    let bootstrap = running.control.bootstrap()?;
    let known = DevEnv::read(&settings.state);
    let value = |name: &str| bootstrap.get(name).unwrap_or_default().to_owned();
    let admin_key = value("admin_key");
    admitted(settings, &admin_key).await?;
    let demo_key = demo_key(
        settings,
        &running.control,
        &admin_key,
        known.get("PORTCULLIS_DEMO_KEY"),
    )
    .await?;
    if known.get("PORTCULLIS_DEMO_KEY").is_none() {
        // The first time only: whoever took the demo away does not want it back.
        running.control.run(&["demo", "seed"])?;
    }
    let env = DevEnv::new([
        ("PORTCULLIS_URL", running.control.url()),
        ("PORTCULLIS_EDGE_URL", settings.edge_url()),
        ("PORTCULLIS_ADMIN_KEY", admin_key),
        ("PORTCULLIS_DEMO_KEY", demo_key),
        ("PORTCULLIS_ADMIN_EMAIL", value("admin_email")),
        ("PORTCULLIS_ADMIN_PASSWORD", value("admin_password")),
    ]);
    env.write(&settings.state)?;
    tour::print(settings, running, &value("admin_email"));
    Ok(())
}

/// Waits until the edge lets the admin key in: then keys, policy and index blocks have arrived there.
async fn admitted(settings: &Settings, admin_key: &str) -> Result<(), Failure> {
    let limit = Duration::from_secs(20);
    let waiting = async {
        while status_at_edge(settings, admin_key).await != Some(200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(limit, waiting).await.is_ok() {
        return Ok(());
    }
    let state = settings.state.display();
    let problem = match status_at_edge(settings, admin_key).await {
        None => "the edge does not answer".to_owned(),
        Some(401) => {
            format!("the edge refuses the admin key (was it revoked? remove {state} to start afresh)")
        }
        Some(status) => format!("the edge answers {status} to the admin key"),
    };
    Err(format!("{problem}; logs are in {state}/logs").into())
}

async fn status_at_edge(settings: &Settings, key: &str) -> Option<u16> {
    let request = Request::verify("GET", "/v1/memory/retrieve").bearer(key);
    http::once(&settings.edge_address(), &request)
        .await
        .ok()
        .map(|answer| answer.status)
}

/// The read key of the last time if it still works, else a new one.
async fn demo_key(
    settings: &Settings,
    control: &ControlPlane,
    admin_key: &str,
    known: Option<String>,
) -> Result<String, Failure> {
    if let Some(key) = known
        && status_at_edge(settings, &key).await == Some(200)
    {
        return Ok(key);
    }
    let body =
        serde_json::json!({ "name": "demo", "scope": "read", "workspace": "all", "environment": "live" });
    let admin = Admin::new(&control.address(), admin_key, Secrets::default());
    let create = Request::new("POST", "/v1/auth/keys").json(&body);
    let mut answer = admin.send(create.clone()).await;
    // Right after its first start the hub has not heard of every region yet.
    for _ in 0..100 {
        if answer.status != 503 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        answer = admin.send(create.clone()).await;
    }
    let key = answer.json()["key"].as_str().map(str::to_owned);
    key.filter(|_| answer.status == 201)
        .ok_or_else(|| format!("no demo key: {} {}", answer.status, answer.text()).into())
}

/// Ends, with a sentence, when a part ends by itself.
async fn watch(running: &mut Running) -> Failure {
    loop {
        let processes = [Some(running.edge.process()), running.control.process()];
        for process in processes.into_iter().flatten() {
            if let Some(status) = Process::ended(process) {
                return format!("{} ended with {status}; its log tells more", process.name()).into();
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
