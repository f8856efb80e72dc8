//! A small HTTP/1.1 client that sends exactly the bytes it is told to.
//!
//! Ordinary clients normalise paths, refuse odd headers and hide connections; the tests need `/public/..%2fadmin`, raw
//! header bytes, HEAD, and the moment a response's last byte arrived. No TLS, no redirects, no cookies.

use std::{io, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

/// The longest an answer may take. A request that hangs fails its test instead of stopping it.
const LIMIT: Duration = Duration::from_secs(30);

/// One request, not yet bound to a host.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// A request without headers; `target` goes out as it stands.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// `GET target`.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// Asks the verify endpoint about another request.
    pub fn verify(method: &str, uri: &str) -> Self {
        Self::get("/.portcullis/verify")
            .header("x-original-method", method)
            .header("x-original-uri", uri)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds `Authorization: Bearer …`.
    #[must_use]
    pub fn bearer(self, credential: &str) -> Self {
        self.header("authorization", format!("Bearer {credential}"))
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, value: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(value.to_string())
    }

    /// Sets a form body and its content type. Values must need no escapes.
    #[must_use]
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let text = pairs
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("&");
        self.header("content-type", "application/x-www-form-urlencoded")
            .body(text)
    }

    /// The bytes on the wire.
    pub fn encode(&self, host: &str) -> Vec<u8> {
        let mut out = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        let own = |wanted: &str| {
            self.headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        if !own("host") {
            out.extend(format!("host: {host}\r\n").into_bytes());
        }
        for (name, value) in &self.headers {
            out.extend(name.as_bytes());
            out.extend(b": ");
            out.extend(value);
            out.extend(b"\r\n");
        }
        let bodiless = matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS") && self.body.is_empty();
        if !bodiless && !own("content-length") && !own("transfer-encoding") {
            out.extend(format!("content-length: {}\r\n", self.body.len()).into_bytes());
        }
        out.extend(b"\r\n");
        out.extend(&self.body);
        out
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body, de-chunked.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(have, _)| have == name)
            .map(|(_, value)| value.as_str())
    }

    /// All headers of that name, joined as a list.
    pub fn all(&self, name: &str) -> String {
        let values = self
            .headers
            .iter()
            .filter(|(have, _)| have == name)
            .map(|(_, value)| value.as_str());
        values.collect::<Vec<_>>().join(", ")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, or a panic that shows it.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON in the answer {}: {}", self.status, self.text()))
    }

    /// Panics, with the body, unless the status is `wanted`.
    #[expect(clippy::return_self_not_must_use, reason = "most tests want the check only")]
    #[track_caller]
    pub fn expect(self, wanted: u16) -> Self {
        assert_eq!(
            self.status,
            wanted,
            "unexpected answer: {}\n{:?}",
            self.text(),
            self.headers
        );
        self
    }
}

/// One keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
            host: host.to_owned(),
        })
    }

    /// Sends a request and reads the whole answer.
    pub async fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        let bytes = request.encode(&self.host);
        limited(async {
            self.send(&bytes).await?;
            self.read_response(&request.method).await
        })
        .await
    }

    /// Sends raw bytes.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Reads one whole answer to a request of that method.
    pub async fn read_response(&mut self, method: &str) -> io::Result<Response> {
        let mut response = self.read_head().await?;
        while response.status == 100 {
            response = self.read_head().await?;
        }
        let empty = method == "HEAD" || matches!(response.status, 101 | 204 | 304);
        if empty {
            return Ok(response);
        }
        if response
            .all("transfer-encoding")
            .to_ascii_lowercase()
            .contains("chunked")
        {
            while let Some(chunk) = self.read_chunk().await? {
                response.body.extend(chunk);
            }
        } else if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().map_err(|_| bad("content-length"))?;
            response.body.resize(length, 0);
            self.stream.read_exact(&mut response.body).await?;
        } else {
            self.stream.read_to_end(&mut response.body).await?;
        }
        Ok(response)
    }

    /// Reads status line and headers only.
    pub async fn read_head(&mut self) -> io::Result<Response> {
        let line = self.read_line().await?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| bad("status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line().await?;
            if line.is_empty() {
                return Ok(Response {
                    status,
                    headers,
                    body: Vec::new(),
                });
            }
            let (name, value) = line.split_once(':').ok_or_else(|| bad("header"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    /// Reads one chunk of a chunked body; `None` after the last.
    pub async fn read_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let line = self.read_line().await?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad("chunk size"))?;
        let mut chunk = vec![0; size];
        self.stream.read_exact(&mut chunk).await?;
        self.read_line().await?;
        Ok((size > 0).then_some(chunk))
    }

    async fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        if self.stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the connection was closed",
            ));
        }
        while matches!(line.last(), Some(b'\r' | b'\n')) {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }

    /// The bare connection, for a protocol after an upgrade.
    pub fn into_stream(self) -> TcpStream {
        self.stream.into_inner()
    }
}

/// One request on a connection of its own.
pub async fn once(host: &str, request: &Request) -> io::Result<Response> {
    limited(async { Connection::open(host).await?.exchange(request).await }).await
}

/// Raw bytes on a connection of their own, and the answer to them.
pub async fn once_raw(host: &str, bytes: &[u8]) -> io::Result<Response> {
    limited(async {
        let mut connection = Connection::open(host).await?;
        connection.send(bytes).await?;
        connection.read_response("GET").await
    })
    .await
}

async fn limited<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(LIMIT, work).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no answer within {LIMIT:?}"),
        )),
    }
}

fn bad(part: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the answer has a bad {part}"))
}
