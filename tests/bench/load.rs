//! The load: a bounded number of requests over a few keep-alive connections, and what they cost the server.

use std::{fs, io};

use e2e::{Connection, Request, Response};
use tokio::{task::JoinSet, time::Instant};

/// What a load came to.
pub(crate) struct Sent {
    /// From the first byte to the last.
    pub(crate) seconds: f64,
    /// In no particular order.
    pub(crate) answers: Vec<Response>,
}

/// Sends all requests, each answered by 200.
pub(crate) async fn send(address: &str, requests: Vec<Request>, connections: usize) -> io::Result<Sent> {
    send_for(address, requests, connections, 200).await
}

/// Sends all requests, each answered by this status.
pub(crate) async fn send_for(
    address: &str,
    requests: Vec<Request>,
    connections: usize,
    status: u16,
) -> io::Result<Sent> {
    let mut tasks = JoinSet::new();
    let mut shares: Vec<Vec<Request>> = vec![Vec::new(); connections];
    for (number, request) in requests.into_iter().enumerate() {
        shares[number % connections].push(request);
    }
    let mut opened = Vec::new();
    for share in shares {
        opened.push((Connection::open(address).await?, share));
    }
    let start = Instant::now();
    for (mut connection, share) in opened {
        tasks.spawn(async move {
            let mut answers = Vec::with_capacity(share.len());
            for request in &share {
                let answer = connection.exchange(request).await?;
                if answer.status != status {
                    return Err(io::Error::other(format!("{} {}", answer.status, answer.text())));
                }
                answers.push(answer);
            }
            Ok(answers)
        });
    }
    let mut answers = Vec::new();
    while let Some(result) = tasks.join_next().await {
        answers.extend(result.map_err(io::Error::other)??);
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Sent { seconds, answers })
}

/// CPU seconds that a process has used so far, all threads: from schedstat (nanoseconds) where the kernel has it, else
/// from stat (hundredths of a second).
pub(crate) fn cpu_seconds(process: u32) -> io::Result<f64> {
    let mut nanoseconds = 0.0;
    for task in fs::read_dir(format!("/proc/{process}/task"))? {
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else {
            continue;
        };
        nanoseconds += text
            .split(' ')
            .next()
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or(0.0);
    }
    if nanoseconds > 0.0 {
        return Ok(nanoseconds / 1e9);
    }
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The program's name may hold spaces: count from behind its closing parenthesis. utime and stime are fields 14, 15.
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |field: usize| {
        fields
            .get(field)
            .and_then(|text| text.parse::<f64>().ok())
            .unwrap_or(0.0)
    };
    Ok((ticks(11) + ticks(12)) / 100.0)
}
