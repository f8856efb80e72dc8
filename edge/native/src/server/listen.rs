//! Connections: HTTP/1.1 with upgrades, bounded heads, and an end that waits for what is open.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::answer::Body;

/// A caller that takes longer to say what it wants is not worth a connection.
const HEAD_LIMIT: Duration = Duration::from_secs(15);
/// Of a request's head: a path, a credential and a proof have at most 8 KiB each.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 128;
/// When the machine has no more sockets.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is there; then waits for what is open, for `grace` at most.
pub(crate) async fn serve<H, A>(
    listener: TcpListener,
    grace: Duration,
    stop: impl Future<Output = ()>,
    handler: H,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> A + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let handler = Arc::new(handler);
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // A failure costs some time, and nothing else.
        let _ = stream.set_nodelay(true);
        let handler = Arc::clone(&handler);
        let service = service_fn(move |request| {
            let answer = handler(request, peer);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(MAX_HEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut stopped = stopped.clone();
        tokio::spawn(async move {
            let mut connection = pin!(connection);
            let told = async {
                // An error means that the process ends.
                let _ = stopped.wait_for(|stop| *stop).await;
            };
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = told => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
    drop((listener, stopped));
    stopping.send_replace(true);
    // Each connection holds a receiver.
    if tokio::time::timeout(grace, stopping.closed()).await.is_err() {
        tracing::warn!("stopping with requests still open");
    }
}
