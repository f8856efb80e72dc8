//! `portcullis serve` and `portcullis migrate`: from a configuration to a running process.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::backup::public;
use super::{CliError, output};
use crate::app::{App, Parts};
use crate::clock::Clock;
use crate::config::{Config, LogFormat};
use crate::jobs;
use crate::orgs::bootstrap::{FirstStart, first_start};
use crate::random::Random;
use crate::routes;
use crate::store::{Store, StoreError};

/// Brings the database up to date and makes the first organisation on an empty one.
pub(super) async fn migrate(config: Config) -> Result<(), CliError> {
    start_log(&config)?;
    prepare(&config).await?;
    output::line("the database is up to date");
    Ok(())
}

/// Runs until a signal.
pub(super) async fn serve(config: Config) -> Result<(), CliError> {
    start_log(&config)?;
    let store = prepare(&config).await?;
    let app = build(config, store).await?;
    let listener = bind(app.config.listen).await?;
    let metrics_listener = match app.config.metrics_listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };
    jobs::start(&app);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let stopping = Arc::clone(&app);
    tokio::spawn(async move {
        wait_for_signal().await;
        tracing::info!("stopping");
        stopping.edges.stop();
        stop.send_replace(true);
    });
    let on_stop = || {
        let mut stopped = stopped.clone();
        async move {
            // An error means that the sender is gone, which is a stop too.
            let _ = stopped.wait_for(|stop| *stop).await;
        }
    };
    if let Some(listener) = metrics_listener {
        let router = routes::metrics_router(Arc::clone(&app));
        let served = axum::serve(listener, router).with_graceful_shutdown(on_stop());
        tokio::spawn(async move {
            if let Err(error) = served.await {
                tracing::error!(%error, "the metrics listener failed");
            }
        });
    }
    tracing::info!(address = %app.config.listen, issuer = %app.config.issuer, "listening");
    let serving = crate::serve(Arc::clone(&app), listener, on_stop());
    let patience = Duration::from_secs(app.config.limits.request_seconds);
    tokio::select! {
        served = serving => served.context("serving failed")?,
        () = async { on_stop().await; tokio::time::sleep(patience).await } => {
            tracing::warn!("stopping with requests still open");
        }
    }
    app.store.close().await;
    Ok(())
}

/// For commands that need the whole application on the server's database.
pub(super) async fn open(config: Config) -> Result<Arc<App>, CliError> {
    start_log(&config)?;
    let store = set_up(&config).await?;
    build(config, store).await
}

/// The database of the configuration, which is the server's: a command in the wrong folder must not make another one, and a
/// master key for it.
async fn set_up(config: &Config) -> Result<Store, CliError> {
    let store = connect_existing(config).await?;
    let read = async || store.begin_read().await.map_err(anyhow::Error::from);
    let schema = read().await?.schema_version().await;
    if schema.map_err(anyhow::Error::from)?.is_none() {
        return Err(nothing_at(config));
    }
    store
        .migrate()
        .await
        .context("the database could not be brought up to date")?;
    let feed = read().await?.feed_state().await;
    if feed.map_err(anyhow::Error::from)?.is_none() {
        return Err(nothing_at(config));
    }
    Ok(store)
}

/// A database that is there; makes none.
pub(super) async fn connect_existing(config: &Config) -> Result<Store, CliError> {
    match Store::connect_existing(&config.database_url).await {
        Err(StoreError::Missing) => Err(nothing_at(config)),
        outcome => Ok(outcome.context("the database can not be opened")?),
    }
}

fn nothing_at(config: &Config) -> CliError {
    CliError::Usage(format!(
        "there is no database at {}; run this where the server's portcullis.toml is, or give --config FILE. A new one is made \
         by `portcullis migrate`",
        public(&config.database_url)
    ))
}

async fn build(config: Config, store: Store) -> Result<Arc<App>, CliError> {
    Ok(App::build(parts(config, store)?).await?)
}

/// What the application is made of, in a process of its own.
pub(super) fn parts(config: Config, store: Store) -> Result<Parts, CliError> {
    let metrics = PrometheusBuilder::new()
        .install_recorder()
        .context("metrics could not be set up")?;
    Ok(Parts {
        config,
        store,
        clock: Clock::system(),
        random: Random::system(),
        metrics,
    })
}

async fn connect(config: &Config) -> Result<Store, CliError> {
    Ok(Store::connect(&config.database_url)
        .await
        .context("the database can not be opened")?)
}

async fn prepare(config: &Config) -> Result<Store, CliError> {
    let store = connect(config).await?;
    store
        .migrate()
        .await
        .context("the database could not be brought up to date")?;
    let moved = store
        .begin_read()
        .await
        .map_err(anyhow::Error::from)?
        .moved_to()
        .await;
    if let Some(place) = moved.map_err(anyhow::Error::from)? {
        return Err(CliError::Refused(format!(
            "this database was moved to {place}: set `database_url` to that. If it has to come back, stop the other one \
             and run `portcullis feed take-over` here"
        )));
    }
    let terminal = std::io::stdout().is_terminal();
    let made = first_start(&store, config, &Clock::system(), &Random::system(), terminal).await?;
    if let Some(made) = made {
        announce(config, &made);
    }
    Ok(store)
}

/// Secrets go to the file or to the terminal, never to the log.
fn announce(config: &Config, made: &FirstStart) {
    if let Some(path) = &config.bootstrap_file {
        tracing::info!(file = %path.display(), org = %made.org, "first start: the secrets that are shown once are in this file");
        return;
    }
    output::line("First start. These are shown once:");
    output::line(&format!("  admin key       {}", made.admin_key));
    output::line(&format!("  owner           {}", made.admin_email));
    output::line(&format!("  owner password  {}", made.admin_password));
    output::line(&format!("  organisation    {}", made.org));
    output::line(&format!("  workspace       {}", made.workspace));
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener, CliError> {
    Ok(TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))?)
}

pub(super) async fn wait_for_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals can not be received: stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

pub(super) fn start_log(config: &Config) -> Result<(), CliError> {
    start_log_with(&config.log_filter, config.log_format)
}

/// The same for a process that has no configuration file.
pub(super) fn start_log_with(filter: &str, format: LogFormat) -> Result<(), CliError> {
    let filter =
        EnvFilter::try_new(filter).map_err(|error| CliError::Usage(format!("`log_filter`: {error}")))?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
        LogFormat::Text => log.try_init(),
    };
    started.map_err(|error| CliError::Failed(anyhow::anyhow!("the log could not be started: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration(folder: &std::path::Path) -> Config {
        Config {
            database_url: format!("sqlite://{}", folder.join("portcullis.db").display()),
            master_key_file: Some(folder.join("portcullis-master.key")),
            ..Config::default()
        }
    }

    #[tokio::test]
    async fn only_a_first_start_makes_a_database() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = configuration(folder.path());
        for outcome in [
            set_up(&config).await.map(drop),
            connect_existing(&config).await.map(drop),
        ] {
            let error = outcome.expect_err("nothing is there");
            assert!(matches!(error, CliError::Usage(_)), "{error}");
            assert!(
                error.to_string().starts_with("there is no database at sqlite://"),
                "{error}"
            );
        }
        assert_eq!(std::fs::read_dir(folder.path()).expect("files").count(), 0);

        // An empty file, and a database whose first start came no further than its tables.
        std::fs::write(folder.path().join("portcullis.db"), "").expect("written");
        assert!(matches!(set_up(&config).await, Err(CliError::Usage(_))));
        let store = Store::connect(&config.database_url).await.expect("a database");
        store.migrate().await.expect("a schema");
        assert!(matches!(set_up(&config).await, Err(CliError::Usage(_))));
        assert!(!folder.path().join("portcullis-master.key").exists());
    }

    #[test]
    fn the_sentence_holds_no_password() {
        let config = Config {
            database_url: "postgres://u:hunter2@db.example/portcullis".to_owned(),
            ..Config::default()
        };
        let said = nothing_at(&config).to_string();
        assert!(said.contains("db.example") && !said.contains("hunter2"), "{said}");
    }
}
