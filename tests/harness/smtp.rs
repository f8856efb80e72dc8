//! A mail server that takes everything and keeps it: enough of RFC 5321 for one client, no TLS.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::wait;

/// A mail that arrived.
#[derive(Clone, Debug)]
pub struct Mail {
    /// `MAIL FROM`, without brackets.
    pub from: String,
    /// `RCPT TO`, without brackets.
    pub to: Vec<String>,
    /// Header and body, as they were sent.
    pub data: String,
}

impl Mail {
    /// The text, whatever encoding it came in.
    pub fn text(&self) -> String {
        let (header, body) = self.data.split_once("\r\n\r\n").unwrap_or((&self.data, ""));
        if header.to_lowercase().contains("quoted-printable") {
            return unquoted(body);
        }
        body.to_owned()
    }
}

/// The server. It ends with this value.
#[derive(Debug)]
pub struct MailServer {
    port: u16,
    mails: Arc<Mutex<Vec<Mail>>>,
    task: JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MailServer {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    // A client that goes away in the middle has sent nothing.
                    let _ = converse(stream, &kept).await;
                });
            }
        });
        Self { port, mails, task }
    }

    /// The lines of `portcullis.toml` that lead here.
    pub fn config(&self) -> String {
        format!(
            "[mail]\nsmtp_host = \"127.0.0.1\"\nsmtp_port = {}\nsmtp_tls = \"none\"\nfrom = \"Gate <gate@example.com>\"\n",
            self.port
        )
    }

    /// Leaves the text of every mail in a folder, as `<address>-<n>.txt`, for a script that waits for it. Until the value that it
    /// gives is dropped.
    pub fn keep_in(&self, folder: std::path::PathBuf) -> impl Drop + use<> {
        struct Keeper(JoinHandle<()>);
        impl Drop for Keeper {
            fn drop(&mut self) {
                self.0.abort();
            }
        }
        let mails = Arc::clone(&self.mails);
        Keeper(tokio::spawn(async move {
            let mut written = 0;
            loop {
                let new = mails.lock().unwrap()[written..].to_vec();
                for mail in new {
                    written += 1;
                    let address = mail.to.join("+");
                    let draft = folder.join(format!(".{address}-{written}"));
                    std::fs::write(&draft, mail.text()).unwrap();
                    // Whoever waits for the file finds it whole.
                    std::fs::rename(draft, folder.join(format!("{address}-{written}.txt"))).unwrap();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }))
    }

    /// Everything that came to an address.
    pub fn to(&self, address: &str) -> Vec<Mail> {
        let mails = self.mails.lock().unwrap();
        let theirs = mails.iter().filter(|mail| mail.to.iter().any(|to| to == address));
        theirs.cloned().collect()
    }

    /// The newest mail to an address, as soon as there are `count`.
    pub async fn wait_for(&self, address: &str, count: usize) -> Mail {
        wait::until("a mail", Duration::from_secs(30), || async {
            let mut arrived = self.to(address);
            (arrived.len() >= count).then(|| arrived.pop()).flatten()
        })
        .await
    }
}

async fn converse(stream: TcpStream, kept: &Mutex<Vec<Mail>>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read);
    let empty = || Mail {
        from: String::new(),
        to: Vec::new(),
        data: String::new(),
    };
    let mut mail = empty();
    write.write_all(b"220 test\r\n").await?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_uppercase();
        let address = || {
            let inner = line.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
            inner.map(|(address, _)| address.to_owned()).unwrap_or_default()
        };
        let answer = match verb.as_str() {
            "EHLO" | "HELO" => "250 test",
            "MAIL" => {
                mail = empty();
                mail.from = address();
                "250 ok"
            }
            "RCPT" => {
                mail.to.push(address());
                "250 ok"
            }
            "DATA" => {
                write.write_all(b"354 go on\r\n").await?;
                loop {
                    let mut line = String::new();
                    if lines.read_line(&mut line).await? == 0 {
                        return Ok(());
                    }
                    if line == ".\r\n" {
                        break;
                    }
                    // RFC 5321 §4.5.2: a line that begins with a dot was given another one.
                    mail.data.push_str(line.strip_prefix('.').unwrap_or(&line));
                }
                kept.lock().unwrap().push(std::mem::replace(&mut mail, empty()));
                "250 kept"
            }
            "QUIT" => {
                write.write_all(b"221 bye\r\n").await?;
                return Ok(());
            }
            _ => "250 ok",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

/// RFC 2045 §6.7.
fn unquoted(text: &str) -> String {
    let joined = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = (*first == b'=').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        if let Some(byte) = code {
            bytes.push(byte);
            rest = &tail[2..];
        } else {
            bytes.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
